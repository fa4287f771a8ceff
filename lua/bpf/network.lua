-- Interfaces, network namespaces, and what runs on an interface's XDP and TC hooks.

local core = require "bpf.core"

local network = {}

---@param name string
---@return integer? ifindex
---@return bpf.error? err
function network.index(name) return core.network.index(name) end

---@param ifindex integer
---@return string? name
---@return bpf.error? err
function network.name(ifindex) return core.network.name(ifindex) end

---@class bpf.interface
---@field index integer
---@field name string
---@field kind string? "veth", "bridge" ...; nil for plain devices
---@field mtu integer
---@field up boolean

---@return bpf.interface[]?
---@return bpf.error? err
function network.interfaces() return core.network.interfaces() end

---A descriptor that can be read from when interfaces of this namespace come, change or go.
---@return table? descriptor
---@return bpf.error? err
function network.watch() return core.network.watch() end

---@class bpf.interface_change: bpf.interface as it is now or, when it is gone, was last
---@field gone boolean deleted, or moved to another namespace

---What changed, in order: those that the kernel told of together. EAGAIN: nothing more for now.
---ENOBUFS: some were missed, and only a new list of the interfaces tells what is.
---@param watch table
---@return bpf.interface_change[]?
---@return bpf.error? err
function network.changes(watch) return core.network.changes(watch) end

---A number that tells an interface from all others that have had its number or its name while the
---machine runs. It stays with the interface when that is renamed.
---@param ifindex integer
---@return integer?
---@return bpf.error? err
function network.identity(ifindex) return core.network.identity(ifindex) end

---A number that tells this network namespace from all others while the machine runs.
---@return integer?
---@return bpf.error? err
function network.namespace_cookie() return core.network.namespace_cookie() end

---Move this thread into the namespace behind a descriptor (of /run/netns/NAME or /proc/PID/ns/net).
---@param fd integer
---@return true?
---@return bpf.error? err
function network.enter(fd) return core.network.enter(fd) end

---What XDP runs there; nil alone where nothing does.
---@param ifindex integer
---@return { prog_id: integer, mode: "native"|"generic"|"hardware" }?
---@return bpf.error? err
function network.xdp(ifindex)
  local prog_id, mode = core.network.xdp(ifindex)
  if not prog_id then return nil, mode end
  return { prog_id = prog_id, mode = mode }
end

---Ids of the programs under TCX there, in running order.
---@param ifindex integer
---@param direction "ingress"|"egress"
---@return integer[]?
---@return bpf.error? err EOPNOTSUPP: this kernel has no TCX
function network.tcx(ifindex, direction) return core.network.tcx(ifindex, direction) end

---The qdisc at the one place that "clsact" and "ingress" share; nil alone where neither is.
---@param ifindex integer
---@return "clsact"|"ingress"|nil
---@return bpf.error? err
function network.qdisc(ifindex) return core.network.qdisc(ifindex) end

network.clsact = {}

---@param ifindex integer
---@return boolean?
---@return bpf.error? err
function network.clsact.is_present(ifindex)
  local kind, err = core.network.qdisc(ifindex)
  if err then return nil, err end
  return kind == "clsact"
end

---@param ifindex integer
---@return true?
---@return bpf.error? err EEXIST: there is one, or an `ingress` qdisc
function network.clsact.add(ifindex) return core.network.add_clsact(ifindex) end

---With all filters under it.
---@param ifindex integer
---@return true?
---@return bpf.error? err
function network.clsact.remove(ifindex) return core.network.remove_clsact(ifindex) end

---@class bpf.filter
---@field kind string "bpf", or another classifier
---@field priority integer
---@field handle integer
---@field prog_id integer? of "bpf"
---@field name string?
---@field direct boolean? the program's verdict is the action

---The filters under clsact, in running order.
---@param ifindex integer
---@param direction "ingress"|"egress"
---@return bpf.filter[]?
---@return bpf.error? err
function network.filters(ifindex, direction) return core.network.filters(ifindex, direction) end

network.filter = {}

local known_place <const> = { direction = true, priority = true, handle = true, name = true }

local function check_place(place)
  for key in pairs(place) do
    if not known_place[key] then error("a filter's place has no " .. tostring(key), 3) end
  end
end

---@class bpf.filter_place
---@field direction "ingress"|"egress"
---@field priority integer
---@field handle integer
---@field name string? to be shown

---A new filter under clsact whose program's verdict is the action.
---@param ifindex integer
---@param place bpf.filter_place
---@param program bpf.program
---@return true?
---@return bpf.error? err EEXIST: the handle is taken
function network.filter.add(ifindex, place, program)
  check_place(place)
  return core.network.set_filter(ifindex, place.direction, place.priority, place.handle, program,
    place.name or "bpf", "add")
end

---The program of a filter in place: a packet meets the old or the new one. The kernel does not ask
---whose filter it was; `network.filters` tells.
---@param ifindex integer
---@param place bpf.filter_place
---@param program bpf.program
---@return true?
---@return bpf.error? err
function network.filter.replace(ifindex, place, program)
  check_place(place)
  return core.network.set_filter(ifindex, place.direction, place.priority, place.handle, program,
    place.name or "bpf", "replace")
end

---@param ifindex integer
---@param place bpf.filter_place
---@return true?
---@return bpf.error? err
function network.filter.remove(ifindex, place)
  check_place(place)
  return core.network.remove_filter(ifindex, place.direction, place.priority, place.handle)
end

return network
