-- How often specs repeat what they repeat. SPEC_DIVISOR=4: a fourth of it, where a machine is
-- emulated, say. What is repeated stays the same.
local DIVISOR <const> = tonumber(os.getenv "SPEC_DIVISOR") or 1

---@param usual integer
---@param least integer?  below this the spec would say nothing; 1 when left out
---@return integer
return function(usual, least)
  return math.max(least or 1, usual // DIVISOR)
end
