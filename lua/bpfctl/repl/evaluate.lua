-- A line as Lua: an expression where it is one, else statements.

local pretty = require "bpf.pretty"
local sandbox = require "bpf.sandbox"

local evaluate = {}

local chunk_name <const> = "=line"

local function is_incomplete(why) return why:find "<eof>$" ~= nil end

--- Compiles a text. `= EXPRESSION` is an expression, too.
---@param text string
---@return function? chunk
---@return string? why
---@return boolean? is_incomplete   more lines could make it right
function evaluate.compile(text)
  local expression <const> = text:match "^%s*=(.*)$"
  local function read(of) return sandbox.compile("line", load, of, chunk_name, "t") end
  local chunk, why = read("return " .. (expression or text))
  if chunk then return chunk end
  if not expression then chunk, why = read(text) end
  if chunk then return chunk end
  return nil, why, is_incomplete(why)
end

--- What a chunk gave, as text; nothing where it gave nothing.
---@param results table   as of table.pack
---@param style bpfctl.style
---@return string
function evaluate.shown(results, style)
  if results.n == 0 then return "" end
  local texts, is_tall = {}, false
  for i = 1, results.n do
    texts[i] = pretty.text(results[i], { width = style.width, color = style.color })
    is_tall = is_tall or texts[i]:find "\n" ~= nil
  end
  return table.concat(texts, is_tall and "\n" or "\t") .. "\n"
end

return evaluate
