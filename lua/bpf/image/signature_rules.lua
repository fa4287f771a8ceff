-- Which images must be signed, and by whom: the rules of the configuration, the first that fits.

-- What reads keys and signatures is loaded when the first rule needs it: the daemon checks its
-- configuration by this module, and verifies in other processes.
local error_object = require "bpf.error"

local LARGEST <const> = 64 * 1024 -- bytes of a file of keys

---@class bpf.image.signature_rule
---@field match string   a repository with its registry; * stands for anything
---@field require "required"|"optional"|"off"
---@field key string?    a file of PEM public keys

---@class bpf.image.decision
---@field decision "signed"|"unsigned"|"off"
---@field signed_by string?  the file of the key that verified it
---@field reason string

---@class bpf.image.signature_rules
local methods = {}
local metatable = { __index = methods }

local signature_rules = {}

local function refuse(message)
  return nil, error_object.new { code = "EINVAL", message = message }
end

local function read_keys(path)
  local file <close>, why = io.open(path, "rb")
  if not file then return refuse("cannot read the key " .. why) end
  local text <const> = file:read(LARGEST) or ""
  local keys, err = require("bpf.image.key").public(text)
  if not keys then return nil, err:because("reading the key " .. path) end
  return text
end

--- What is wrong with a rule that can never hold: it would leave its images unprotected without a
--- word.
---@param rule bpf.image.signature_rule
---@return string?
function signature_rules.complaint(rule)
  if rule.match:find "/.*[:@][^/]*$" then
    return ("a rule matches repositories; %s names a tag or a digest"):format(rule.match)
  end
  if rule.require == "required" and not rule.key then
    return ("the rule for %s requires signatures but names no key"):format(rule.match)
  end
  return nil
end

local function pattern_of(match)
  return "^" .. match:gsub("[^%w*]", "%%%0"):gsub("%*+", ".*") .. "$"
end

--- Reads the rules and their keys.
---@param configured bpf.image.signature_rule[]
---@return bpf.image.signature_rules?
---@return bpf.error?
function signature_rules.new(configured)
  local rules = {}
  for place, rule in ipairs(configured) do
    local complaint <const> = signature_rules.complaint(rule)
    if complaint then return refuse(complaint) end
    local text, err
    if rule.key and rule.require ~= "off" then
      text, err = read_keys(rule.key)
      if not text then return nil, err end
    end
    rules[place] = { pattern = pattern_of(rule.match), match = rule.match, require = rule.require,
      path = rule.key, key = text }
  end
  return setmetatable(rules, metatable)
end

local function rule_for(self, reference)
  for _, rule in ipairs(self) do
    if reference:name():find(rule.pattern) then return rule end
  end
  return nil
end

--- Whether signatures must be looked for.
---@param reference bpf.reference
---@return boolean
function methods:wants(reference)
  local rule <const> = rule_for(self, reference)
  return rule ~= nil and rule.key ~= nil
end

--- Decides. Nil where the rule requires a signature and none is good.
---@param reference bpf.reference
---@param digests string[]
---@param signatures bpf.image.signatures[]
---@return bpf.image.decision?
---@return bpf.error?
function methods:decide(reference, digests, signatures)
  local rule <const> = rule_for(self, reference)
  if not rule then return { decision = "off", reason = "no rule matches it" } end
  if not rule.key then
    return { decision = "off", reason = ("the rule for %s looks for no signature"):format(
      rule.match) }
  end
  local good, err = require("bpf.image.signature").verify {
    reference = reference, digests = digests, signatures = signatures, key = rule.key,
  }
  if good then
    return { decision = "signed", signed_by = rule.path,
      reason = ("signed as the rule for %s wants it"):format(rule.match) }
  end
  if rule.require == "optional" and (err.code == "ENOKEY" or err.code == "EKEYREJECTED") then
    return { decision = "unsigned", reason = err.message }
  end
  return nil, err:with_advice(("the rule for %s requires a signature by %s"):format(rule.match,
    rule.path))
end

return signature_rules
