-- How a test's result is told from one process to another: a Lua table constructor a line.

local results_form = {}

---@class spec.result
---@field status "passed"|"failed"|"skipped"|"complete"  complete: nothing follows
---@field name string
---@field message string?

---@param result spec.result
---@return string line  with its end
function results_form.line(result)
  local line = ("{ status = %q, name = %q, message = %q }\n"):format(
    result.status, result.name, result.message or "")
  return (line:gsub("\\\n", "\\n"))
end

---@param line string
---@return spec.result?  nil for what is none
function results_form.read(line)
  if line:sub(1, 11) ~= "{ status = " then return nil end
  local chunk = load("return " .. line, "=results", "t", {})
  return chunk and chunk()
end

return results_form
