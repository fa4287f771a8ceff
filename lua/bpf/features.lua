-- What this kernel and this build offer, found out by trying, and the one set of words for what
-- they do not: loads that cannot be are refused with the same.

local chain = require "bpf.chain"
local core = require "bpf.core"

local feature <const> = core.feature

local features = {}

local advice <const> = "`bpfctl features` shows what there is"

-- Any of these failing is the reason.
local function all_of(...)
  for _, probe in ipairs { ... } do
    local good, err = probe()
    if not good then return nil, err end
  end
  return true
end

local function program(kind)
  return function() return feature.program(kind) end
end

local function source(name)
  return function() return feature.event_source(name) end
end

local function link(kind)
  return function() return feature.link(kind) end
end

local function engine(name, kind)
  return function() return chain.engine(name).available(kind) end
end

local function type_row(name, ...)
  local probes <const> = { ... }
  return { kind = "type", name = name, probe = function() return all_of(table.unpack(probes)) end }
end

local function row(kind, name, probe) return { kind = kind, name = name, probe = probe } end

local function again(kind)
  return function() return core.freplace.probe_again(kind) end
end

-- In the order in which they are shown. Types are those of `load-from-file`; what they need beside
-- the kernel's program type is a link of the kind, but for tc, which has filters.
local rows <const> = {
  type_row("xdp", program "xdp", link "xdp"),
  type_row("tc", program "tc"),
  type_row("tcx", program "tc", link "tcx"),
  type_row("tracepoint", program "tracepoint", link "perf_event"),
  type_row("raw_tracepoint", program "raw_tracepoint", link "raw_tracepoint"),
  type_row("kprobe", source "kprobe", program "kprobe", link "perf_event"),
  type_row("uprobe", source "uprobe", program "kprobe", link "perf_event"),
  type_row("fentry", program "fentry", link "fentry"),
  type_row("fexit", program "fexit", link "fexit"),
  row("engine", "fuse xdp", engine("fuse", "xdp")),
  row("engine", "fuse tc", engine("fuse", "tc")),
  row("engine", "freplace xdp", engine("freplace", "xdp")),
  row("engine", "freplace tc", engine("freplace", "tc")),
  row("link", "xdp", link "xdp"),
  row("link", "tcx", link "tcx"),
  row("link", "perf_event", link "perf_event"),
  row("link", "raw_tracepoint", link "raw_tracepoint"),
  row("link", "fentry", link "fentry"),
  row("link", "fexit", link "fexit"),
  row("multi-attach", "freplace", again "xdp"),
  row("multi-attach", "kprobe", link "kprobe_multi"),
  row("multi-attach", "uprobe", link "uprobe_multi"),
  row("multi-attach", "tcx", link "tcx"),
  row("kernel", "btf", feature.btf),
  row("build", "libbpf " .. core.feature.libbpf, function() return true end),
}

--- Whether programs of an attach type can run here.
---@param type_name string  as in bpf.attach
---@return true? available
---@return bpf.error? err   with the reason, EOPNOTSUPP
function features.type(type_name)
  for _, known in ipairs(rows) do
    if known.kind == "type" and known.name == type_name then
      local good, err = known.probe()
      if good then return true end
      return nil, err:with_advice(advice)
    end
  end
  error("there is no attach type " .. tostring(type_name), 2)
end

---@class bpf.feature
---@field kind "type"|"engine"|"link"|"multi-attach"|"kernel"|"build"
---@field name string
---@field available boolean
---@field reason string?   why it is not available

--- Everything, or all of one kind, tried anew.
---@param kind string?
---@return bpf.feature[]
function features.list(kind)
  local found = {}
  for _, known in ipairs(rows) do
    if not kind or known.kind == kind then
      local good, err = known.probe()
      table.insert(found, { kind = known.kind, name = known.name, available = good == true,
        reason = err and err.message })
    end
  end
  return found
end

return features
