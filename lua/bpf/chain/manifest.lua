-- The manifest of a running chain: who is in it, in order. A frozen map pinned beside the chain's
-- other pins.

local error_object = require "bpf.error"
local field = require "bpf.field"
local json = require "bpf.json"

local manifest = {}

local VERSION <const> = 1

---@class bpf.chain.manifest
---@field engine "fuse"|"freplace"
---@field members bpf.chain.manifest.member[] in running order
---@field segments integer?   programs in the line
---@field type "xdp"|"tc"|nil where it runs, for who finds it again without knowing
---@field iface string?
---@field ifindex integer?
---@field direction "ingress"|"egress"|nil
---@field netns string?       path; nil in the namespace of who built it
---@field shared "libxdp"|nil who else changes it
---@field dispatcher_version integer?  of a shared one's dispatcher
---@field replaces integer?   id of the dispatcher in whose place a shared one was put

---@class bpf.chain.manifest.member
---@field id integer
---@field priority integer
---@field mask integer
---@field name string?        so that the next change need not read it from the member's note
---@field owner "libxdp"|nil  who has loaded it, if not bpfd
---@field flags integer?      of a member with an owner, as its dispatcher tells them

local facts <const> = {
  engine = "string", segments = "integer", type = "string", iface = "string", ifindex = "integer",
  direction = "string", netns = "string", shared = "string", dispatcher_version = "integer",
  replaces = "integer",
}
local needed <const> = { id = "integer", priority = "integer", mask = "integer" }
local possible <const> = { name = "string", owner = "string", flags = "integer" }

local function copy_facts(from, to)
  for key in pairs(facts) do to[key] = from[key] end
  return to
end

local function is_member(value)
  return type(value) == "table" and field.are_of_kind(value, needed, true)
    and field.are_of_kind(value, possible)
end

local function damaged()
  return nil, error_object.new { code = "EINVAL", message = "a damaged chain manifest" }
end

---@param chain bpf.chain.manifest
---@return string
function manifest.encode(chain)
  local members = {}
  for position, member in ipairs(chain.members) do
    members[position] = { id = member.id, priority = member.priority, mask = member.mask,
      name = member.name, owner = member.owner, flags = member.flags }
  end
  return json.encode(copy_facts(chain, { version = VERSION, members = members }))
end

---@param bytes string
---@return bpf.chain.manifest?
---@return bpf.error? err
function manifest.decode(bytes)
  local value = json.decode(bytes)
  if type(value) ~= "table" or type(value.members) ~= "table" then return damaged() end
  if value.version ~= VERSION then
    return nil, error_object.new {
      code = "EINVAL", message = "a chain manifest of another version of bpfd",
    }
  end
  if not field.are_of_kind(value, facts) then return damaged() end
  for _, member in ipairs(value.members) do
    if not is_member(member) then return damaged() end
  end
  return copy_facts(value, { members = value.members })
end

---Pins it as DIRECTORY/manifest.
---@param chain bpf.chain.manifest
---@param directory string
---@return true|nil
---@return bpf.error? err
function manifest.pin(chain, directory)
  local map <close>, err = require("bpf.map").blob(manifest.encode(chain), "manifest")
  if not map then return nil, err end
  return map:pin(directory .. "/manifest")
end

---@param directory string
---@return bpf.chain.manifest?
---@return bpf.error? err
function manifest.read(directory)
  local map <close>, err = require("bpf.map").open_pin(directory .. "/manifest")
  if not map then return nil, err end
  local bytes
  bytes, err = map:blob()
  if not bytes then return nil, err end
  return manifest.decode(bytes)
end

return manifest
