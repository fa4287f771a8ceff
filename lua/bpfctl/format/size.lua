-- Sizes as people read them.

local units <const> = { "KiB", "MiB", "GiB", "TiB" }

---@param bytes integer
---@return string
return function(bytes)
  local unit, value = "B", bytes
  for _, larger in ipairs(units) do
    if value < 1024 then break end
    unit, value = larger, value / 1024
  end
  return unit == "B" and ("%d B"):format(bytes) or ("%.1f %s"):format(value, unit)
end
