-- Parses the command line by the tables of the commands, by one set of rules for all.

local values_of = require "bpfctl.values"

---@class bpfctl.option: bpf.field
---@field short string?       one letter
---@field text string         for the help page; the first line stands behind Required: or Optional:
---@field metavar string?     else the name in capitals
---@field also string?        a further long name, not shown
---@field repeated boolean?   may be given again; the values become a list
---@field continues (fun(word: string): boolean)?  takes several words: whether this one is another
---@field empty string?       the complaint about a list without words
---@field not_a_number string?  the complaint about a word where a number must be
---@field complete (string|fun(session: bpfctl.session): string[])?  "file", or possible values
---@field finish (fun(values: any): any, string?)?  value or list -> what the command gets

---@class bpfctl.operand: bpfctl.option
---@field repeated boolean?   takes all words that the others leave
---@field most integer?       words that it may take
---@field may_be_empty boolean?  the empty word is one, too

---@class bpfctl.command
---@field name string
---@field summary string
---@field options bpfctl.option[]
---@field operands bpfctl.operand[]?  what stands without a dash, in order
---@field commands string[]?         names of the commands below it
---@field more (fun(): string[])?     names of further ones
---@field noun string?               what those are called
---@field find (fun(name: string): bpfctl.command?, bpf.error?)?
---@field verbatim boolean?          behind the first operand all words are operands as they stand
---@field draws string|bpfctl.draw|nil  kind of the data that run returns; "nothing"; nil: any
---@field validate (fun(values: table): string?)?
---@field plain (fun(data: any): any)?   the data for formats that have no function for its kind
---@field run (fun(session: table, arguments: table): any, any)?

local options = {}

--- Taken anywhere on the line.
options.common = require "bpfctl.common_options"

--- The names of all commands below one, also of those that are found only by looking for them.
---@return string[]
function options.commands_of(command)
  local names = table.move(command.commands, 1, #command.commands, 1, {})
  local more <const> = command.more and command.more() or {}
  return table.move(more, 1, #more, #names + 1, names)
end

local help_option <const> = { name = "help", short = "h", kind = "flag", text = "Print help" }

local parser = {}
parser.__index = parser

local function new_level(command, above)
  local path = above and table.move(above.path, 1, #above.path, 1, {}) or {}
  if above then path[#path + 1] = command.name end
  return { command = command, path = path, above = above, values = {} }
end

function parser:problem(format, ...)
  return { message = format:format(...), path = self.level.path }
end

local function find_in(list, letter, long)
  for _, option in ipairs(list) do
    if letter and option.short == letter then return option end
    if long and (option.name:gsub("_", "-") == long or option.also == long) then return option end
  end
  return nil
end

function parser:find(letter, long)
  local own <const> = find_in(self.level.command.options, letter, long)
  if own then return own, self.level.values end
  if letter == "h" or long == "help" then return help_option end
  return find_in(options.common, letter, long), self.common
end

function parser:known_names()
  local names = {}
  local function add(list)
    for _, option in ipairs(list) do
      names[#names + 1] = values_of.long(option)
      if option.short then names[#names + 1] = "-" .. option.short end
    end
  end
  add(self.level.command.options)
  add { help_option }
  add(options.common)
  return names
end

-- An option that exists, but on the other side of the type, is told so instead of unknown.
function parser:unknown_option(given, letter, long)
  local above = self.level.above
  while above do
    local option = find_in(above.command.options, letter, long)
    if option then
      return self:problem("%s belongs before %s", values_of.long(option), self.level.command.name)
    end
    above = above.above
  end
  local command <const> = self.level.command
  for _, name in ipairs(command.run and command.commands or {}) do
    local option = find_in(command.find(name).options, letter, long)
    if option then return self:problem("%s belongs behind %s", values_of.long(option), name) end
  end
  local nearest <const> = require "bpf.nearest"
  return self:problem("no option %s; did you mean %s?", given, nearest(given, self:known_names()))
end

-- Words that begin with a dash are options; a negative number is a value out of range.
local function is_option(word)
  return word:sub(1, 1) == "-" and word ~= "-" and not word:find "^%-%d"
end

function parser:refused(option, why)
  if why == option.not_a_number then return self:problem("%s", why) end
  return self:problem("%s %s", values_of.long(option), why)
end

function parser:take_words(option, first)
  local words = {}
  if first then words[1] = first end
  while self.words[self.at] and not is_option(self.words[self.at])
    and option.continues(self.words[self.at]) do
    words[#words + 1] = self.words[self.at]
    self.at = self.at + 1
  end
  if #words > 0 then return words end
  return nil, self:problem("%s needs %s", values_of.long(option), option.empty)
end

function parser:take_word(option, inline)
  if inline then return { inline } end
  local word <const> = self.words[self.at]
  if not word or is_option(word) then
    return nil, self:problem("%s needs a value: %s <%s>", values_of.long(option),
      values_of.long(option), values_of.metavar(option))
  end
  self.at = self.at + 1
  return { word }
end

-- Stores what is given; returns a problem.
function parser:take(option, values, inline)
  if option == help_option then
    self.shows_help = true
    return nil
  end
  if option.kind == "flag" then
    if inline then return self:problem("%s takes no value", values_of.long(option)) end
    values[option.name] = true
    return nil
  end
  local words, problem
  if option.continues then
    words, problem = self:take_words(option, inline)
  else
    words, problem = self:take_word(option, inline)
  end
  if problem then return problem end
  local several <const> = option.repeated or option.continues
  if values[option.name] ~= nil and not several then
    return self:problem("%s is given twice", values_of.long(option))
  end
  for _, word in ipairs(words) do
    local value, why = values_of.read_word(option, word)
    if why then return self:refused(option, why) end
    if several then
      values[option.name] = values[option.name] or {}
      table.insert(values[option.name], value)
    else
      values[option.name] = value
    end
  end
  return nil
end

function parser:long_option(word)
  local name, inline = word:match "^%-%-([^=]*)=(.*)$"
  name = name or word:sub(3)
  local option, values = self:find(nil, name)
  if not option then return self:unknown_option("--" .. name, nil, name) end
  return self:take(option, values, inline)
end

function parser:short_options(word)
  for at = 2, #word do
    local letter = word:sub(at, at)
    local option, values = self:find(letter, nil)
    if not option then return self:unknown_option("-" .. letter, letter, nil) end
    if option.kind ~= "flag" then
      local rest = word:sub(at + 1):gsub("^=", "")
      return self:take(option, values, at < #word and rest or nil)
    end
    local problem = self:take(option, values)
    if problem or self.shows_help then return problem end
  end
  return nil
end

function parser:descend(name)
  local command <const> = self.level.command
  local found, err = command.find(name)
  if not found and err then return { failure = err } end
  if not found then
    local nearest <const> = require "bpf.nearest"
    local names = options.commands_of(command)
    names[#names + 1] = "help"
    return self:problem("no %s '%s'; did you mean %s?", command.noun, name, nearest(name, names))
  end
  self.level = new_level(found, self.level)
  self.only_operands = false
  return nil
end

function parser:operand(word)
  local command <const> = self.level.command
  if word == "help" and not self.only_operands then
    self.shows_help, self.after_help = true, true
    return nil
  end
  if command.commands then return self:descend(word) end
  if not command.operands then
    return self:problem("%s takes no argument '%s'", command.name, word)
  end
  self.level.words = self.level.words or {}
  table.insert(self.level.words, word)
  if command.verbatim then self.only_operands = true end
  return nil
end

-- `help load-from-file xdp`: the words behind it name the page.
function parser:find_page()
  for at = self.at, #self.words do
    local word = self.words[at]
    if word ~= "help" and not is_option(word) then
      if not self.level.command.commands then return nil end
      local problem = self:descend(word)
      if problem then return problem end
    end
  end
  return nil
end

function parser:finish_level(level)
  local command <const> = level.command
  local wrong = values_of.take_operands(level)
  if wrong then return self:problem("%s", wrong) end
  local missing <const> = values_of.missing(level)
  if #missing > 0 then
    return self:problem("%s needs %s", command.name, table.concat(missing, " and "))
  end
  for _, option in ipairs(command.options) do
    local value, why = values_of.finish(option, level.values[option.name])
    if why then return self:refused(option, why) end
    level.values[option.name] = value
  end
  wrong = command.validate and command.validate(level.values)
  return wrong and self:problem("%s", wrong)
end

function parser:finish()
  local levels, level = {}, self.level
  while level.above do
    table.insert(levels, 1, level)
    level = level.above
  end
  -- Each in its turn is the level that problems are told of; the last is the innermost again.
  for _, each in ipairs(levels) do
    self.level = each
    local problem = self:finish_level(each)
    if problem then return problem end
  end
  local command <const> = self.level.command
  if command.commands and #levels > 0 then
    return self:problem("%s needs a %s: %s", command.name, command.noun,
      table.concat(command.commands, ", "))
  end
  self.levels = levels
  return nil
end

function parser:next_word()
  local word <const> = self.words[self.at]
  self.at = self.at + 1
  if self.only_operands or not is_option(word) then return self:operand(word) end
  if word == "--" then
    self.only_operands = true
    return nil
  end
  if word:sub(1, 2) == "--" then return self:long_option(word) end
  return self:short_options(word)
end

---@class bpfctl.invocation
---@field common { quiet: boolean?, output: string?, socket: string? }
---@field level table      the innermost: command, path, values, above
---@field levels table[]   from the command inwards
---@field shows_help boolean?

--- Parses the words of a command line.
---@param root bpfctl.command
---@param words string[]
---@return bpfctl.invocation?
---@return { message: string, path: string[], failure: bpf.error? }? problem
function options.parse(root, words)
  local self <const> = setmetatable({
    words = words, at = 1, level = new_level(root), common = {},
  }, parser)
  while self.at <= #words do
    local problem = self:next_word()
    if not problem and self.after_help then problem = self:find_page() end
    if problem then return nil, problem end
    if self.shows_help then return self end
    if self.level.values.version then return self end
  end
  local problem <const> = self:finish()
  if problem then return nil, problem end
  return self
end

--- Whether a line that could not be parsed asked for JSON; behind kprobe and uprobe, -o does not.
function options.wants_json(words)
  local short = true
  for i, word in ipairs(words) do
    if word == "kprobe" or word == "uprobe" then short = false end
    if word == "--output=json" or word == "--output" and words[i + 1] == "json" then return true end
    if short and (word == "-ojson" or word == "-o=json") then return true end
    if short and word == "-o" and words[i + 1] == "json" then return true end
  end
  return false
end

return options
