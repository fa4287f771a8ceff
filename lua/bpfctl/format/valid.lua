-- Text for formats that are UTF-8: what a path or a name holds otherwise becomes U+FFFD.

---@param text string
---@return string
return function(text)
  while true do
    local _, wrong = utf8.len(text)
    if not wrong then return text end
    text = text:sub(1, wrong - 1) .. "\u{FFFD}" .. text:sub(wrong + 1)
  end
end
