-- Requests to a daemon of a spec's own, without bpfctl between.
local client = require "bpf.client"
local core = require "bpf.core"
local process = require "spec.support.process"
local residue = require "spec.support.residue"

local rpc = {}

local BUILD <const> = os.getenv "BUILD" or "build"

rpc.object = BUILD .. "/objects/daemon.o"
rpc.other_object = BUILD .. "/objects/daemon_other.o"
rpc.sharer_object = BUILD .. "/objects/daemon_sharer.o"

---@param daemon table
function rpc.connect(daemon)
  return assert(client.connect { socket = daemon.socket })
end

---Asks for one thing on a connection of its own.
---@return any result, bpf.error|table err_or_descriptors
function rpc.call(daemon, method, params, options)
  local session <close> = rpc.connect(daemon)
  return session:call(method, params, options)
end

---Loads from an object file, passed as a descriptor.
---@param params table  of program.load, without fd
---@param path string?  rpc.object when left out
---@return table? program, bpf.error? err
function rpc.load(daemon, params, path)
  local file <close> = assert(core.system.open(path or rpc.object))
  local sent = { fd = 0 }
  for key, value in pairs(params) do sent[key] = value end
  return rpc.call(daemon, "program.load", sent, { descriptors = { file } })
end

---Applies a declaration, and prunes.
---@param name string
---@param entries table[]  as they travel, with `object`, the path of the object file
---@param options table?   of the call, without descriptors
---@return table? result, bpf.error? err, integer? rpc_code
function rpc.apply(daemon, name, entries, options)
  local sent, place_of, call = {}, {}, { descriptors = {} }
  for key, value in pairs(options or {}) do call[key] = value end
  for at, one in ipairs(entries) do
    if not place_of[one.object] then
      table.insert(call.descriptors, assert(core.system.open(one.object)))
      place_of[one.object] = #call.descriptors - 1
    end
    sent[at] = {}
    for key, value in pairs(one) do sent[at][key] = value end
    sent[at].object, sent[at].fd = nil, place_of[one.object]
  end
  local result, err, rpc_code = rpc.call(daemon, "declaration.apply",
    { name = name, programs = sent, prune = true }, call)
  for _, descriptor in ipairs(call.descriptors) do descriptor:close() end
  return result, err, rpc_code
end

---Attaches count_xdp to XDP.
---@return table? program, bpf.error? err
function rpc.load_xdp(daemon, iface, priority, more)
  local params = { name = "count_xdp",
    attach = { type = "xdp", iface = iface, priority = priority } }
  for key, value in pairs(more or {}) do params[key] = value end
  return rpc.load(daemon, params)
end

---Ids of a chain's members, in running order.
---@return integer[]
function rpc.chain(daemon, params)
  local found = rpc.call(daemon, "chain.get", params)
  local ids = {}
  for i, member in ipairs(found and found.members or {}) do ids[i] = member.id end
  return ids
end

---How often a program of the spec's object has run, from its pinned map.
---@return integer
function rpc.hits(program)
  local bpf = require "bpf"
  local map <close> = assert(bpf.map.open_pin(program.map_pin_path .. "/hits"))
  return ((string.unpack("=i8", assert(map:lookup(string.pack("=I4", 0))))))
end

---A residue scan in which the chain's own program, which every change makes anew, has no number.
---@param text string
---@return string
function rpc.masked(text)
  return (text:gsub("(chains/%a+%-%d+%-[%w-]+)/%d+", "%1/N"):gsub("xdp %d+", "xdp N")
    :gsub("( 0xbfd .-) id %d+", "%1 id N"))
end

---The masked scan, once it equals that of `before`, or the last within a second.
---@return string
function rpc.settled(daemon, before)
  local wanted <const>, after = rpc.masked(before), nil
  process.eventually(function()
    after = rpc.masked(residue.scan(daemon))
    return after == wanted
  end, 1000)
  return after
end

---Unloads everything, newest first.
function rpc.unload_all(daemon)
  local list = assert(rpc.call(daemon, "program.list")).programs
  for i = #list, 1, -1 do assert(rpc.call(daemon, "program.unload", { id = list[i].id })) end
end

return rpc
