-- Drawings: texts made straight from bytes, by a list of steps that core/drawing.c follows.

local core = require "bpf.core"

local drawing = {}
drawing.__index = drawing

--- Fixed text.
function drawing:text(text)
  self.pending = self.pending .. text
end

local function flush(self)
  if self.pending == "" then return end
  self.steps[#self.steps + 1] = { kind = "text", text = self.pending }
  self.pending = ""
end

--- A value, by what a scalar's `drawn` says of it.
---@param offset integer
---@param drawn table  kind, and what else core/drawing.h knows: size, signed, big_endian, names ...
function drawing:value(offset, drawn)
  flush(self)
  local step = { offset = offset, quoted = self.style == "json" }
  for key, value in pairs(drawn) do step[key] = value end
  local bare <const> = drawn.kind == "hex" and self.style == "json"
  if bare then step.kind = "integer" end
  self.steps[#self.steps + 1] = step
end

--- What `each` adds, so many times, every `stride` bytes.
function drawing:list(offset, count, stride, each)
  self:text "["
  flush(self)
  local step <const> = {
    kind = "list", offset = offset, count = count, stride = stride, text = self:separator(),
  }
  self.steps[#self.steps + 1] = step
  local before <const> = #self.steps
  each(self)
  flush(self)
  step.steps = #self.steps - before
  self:text "]"
end

--- What stands between the parts of a value.
function drawing:separator() return self.style == "json" and "," or ", " end

--- What stands before a member.
function drawing:name(name)
  self:text((self.style == "json" and '"%s":' or "%s: "):format(name))
end

--- The steps of a layout.
---@param layout bpf.layout
---@param style "json"|"literal"  literal: for people; what JSON quotes as a word stands bare
---@return table drawing  of core.drawing
function drawing.compile(layout, style)
  local self <const> = setmetatable({ style = style, steps = {}, pending = "" }, drawing)
  layout.place(self, 0)
  flush(self)
  return core.drawing.compile(self.steps)
end

--- The text of a layout's bytes.
---@param layout bpf.layout
---@param style "json"|"literal"
---@return fun(bytes: string, offset: integer?): string
function drawing.of(layout, style)
  local compiled <const>, draw <const> = drawing.compile(layout, style), core.drawing.draw
  return function(bytes, offset) return draw(compiled, bytes, offset) end
end

return drawing
