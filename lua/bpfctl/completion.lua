-- What a shell may offer for the last word of an unfinished line, by the commands' declarations.

local options = require "bpfctl.options"
local values_of = require "bpfctl.values"

---@class bpfctl.offer
---@field [1] string   the word
---@field [2] string?  what it is

local line = {}
line.__index = line

local function find_in(list, word)
  for _, option in ipairs(list) do
    if word == values_of.long(option) or word == "--" .. (option.also or option.name) then
      return option
    end
    if option.short and word == "-" .. option.short then return option end
  end
  return nil
end

function line:find_option(word)
  return find_in(self.command.options, word) or find_in(options.common, word)
end

-- A word in front of the one that is being completed.
function line:pass(word)
  if self.awaited and word == "=" then return end
  local is_option <const> = word:sub(1, 1) == "-" and word ~= "-"
  if self.awaited and not is_option then
    self.continued = self.awaited.continues and self.awaited or nil
    self.awaited = nil
    return
  end
  self.awaited = nil
  if is_option and not self.only_operands then
    self.continued = nil
    if word == "--" then self.only_operands = true end
    local option <const> = self:find_option(word)
    if option then self.used[option] = true end
    self.awaited = option and option.kind ~= "flag" and option or nil
    return
  end
  if self.continued and self.continued.continues(word)
    and not (self.command.commands and self.command.find(word)) then
    return
  end
  self.continued = nil
  self:pass_operand(word)
end

function line:pass_operand(word)
  if self.command.commands then
    if word == "help" then self.asks_help = true end
    self.command = self.command.find(word) or self.command
    return
  end
  self.operands = self.operands + 1
  if self.command.verbatim then self.only_operands = true end
end

local function first_line(text) return text and text:match "^[^\n]*" end

function line:values(option)
  if option.complete == "file" then
    self.wants_files = true
    return {}
  end
  local found = {}
  local values = option.values or {}
  if type(option.complete) == "function" then values = option.complete(self.session) or {} end
  for i, value in ipairs(values) do found[i] = type(value) == "table" and value or { value } end
  return found
end

function line:options()
  local found = {}
  local function add(list)
    for _, option in ipairs(list) do
      local again <const> = option.repeated or option.continues
      if again or not self.used[option] then
        found[#found + 1] = { values_of.long(option), first_line(option.text) }
      end
    end
  end
  add(self.command.options)
  if not self.asks_help then
    add(options.common)
    found[#found + 1] = { "--help", "Print help" }
  end
  return found
end

function line:commands()
  local found = {}
  for i, name in ipairs(options.commands_of(self.command)) do
    local command <const> = self.command.find(name)
    found[i] = { name, command and command.summary }
  end
  if not self.asks_help then
    found[#found + 1] = { "help", "Print this page, or that of the command behind it" }
  end
  return found
end

-- The operand that the next word would be for; the last one takes all that follow.
function line:operand()
  local list <const> = self.command.operands or {}
  local last <const> = list[#list]
  if list[self.operands + 1] then return list[self.operands + 1] end
  return last and last.repeated and last or nil
end

function line:offered(current)
  if self.awaited then return self:values(self.awaited) end
  if current:sub(1, 1) == "-" and not self.only_operands then return self:options() end
  if self.command.commands then
    local found <const> = self:commands()
    if self.continued then
      for _, value in ipairs(self:values(self.continued)) do found[#found + 1] = value end
    end
    return found
  end
  local operand <const> = not self.asks_help and self:operand()
  local found = operand and self:values(operand) or {}
  if self.continued then found = self:values(self.continued) end
  if #found == 0 and not self.wants_files and not self.only_operands then
    return self:options()
  end
  return found
end

-- --option=valu is the option and the beginning of its value.
local function split(word)
  local option, value = word:match "^(%-%-[^=]+)=(.*)$"
  return option, value
end

--- Offers for the last of the words.
---@param root bpfctl.command
---@param words string[]
---@param session bpfctl.session
---@return bpfctl.offer[] offers
---@return boolean wants_files   names of files fit as well
return function(root, words, session)
  local self <const> = setmetatable({
    command = root, used = {}, operands = 0, session = session,
  }, line)
  local current, prefix = words[#words] or "", ""
  for i = 1, #words - 1 do self:pass(words[i]) end
  local option, value = split(current)
  if option and not self.only_operands then
    self:pass(option)
    current, prefix = value, option .. "="
  elseif current == "=" and self.awaited then
    current = ""
  end
  local found = {}
  for _, offer in ipairs(self:offered(current)) do
    if offer[1]:sub(1, #current) == current then
      found[#found + 1] = { prefix .. offer[1], offer[2] }
    end
  end
  return found, self.wants_files or false
end
