-- Chains changed by the daemon under traffic: members come, go, change their places and are
-- replaced, and the daemon is killed and stopped. Every packet meets one whole chain: each member
-- leaves its digit behind the packet, so that what a packet has met, in which order and how often,
-- stands there; it must be what one of the chains was, and never an earlier one than the packet
-- before it met. `make test-traffic` makes a thousand changes, and sends as fast as it can.
local uv = require "luv"
local bpf = require "bpf"
local core = require "bpf.core"
local chain_support = require "spec.support.chain"
local daemon = require "spec.support.daemon"
local namespace = require "spec.support.namespace"
local process = require "spec.support.process"
local rounds = require "spec.support.rounds"
local rpc = require "spec.support.rpc"

local BUILD <const> = os.getenv "BUILD" or "build"
local MANY <const> = tonumber(os.getenv "BPFD_TRAFFIC_CHANGES")
local CHANGES <const>, AT_FULL_RATE <const> = MANY or rounds(20, 10), MANY ~= nil
local REPORT <const> = os.getenv "BPFD_TRAFFIC_REPORT" -- a file that is told the figures
local NAME <const> = "traffic.lua"
local PART <const>, PACKETS <const> = 4096, 1 << 24 -- as in spec/objects/chain_path.h
local FIRST <const>, LAST <const> = 1, 9 -- digits of the members that are always there

local hooks <const> = {
  { "XDP", type = "xdp", settings = "" },
  { "TC by a TCX link", type = "tc", settings = 'tc_attach = "tcx",' },
  { "TC by a filter of clsact", type = "tc", settings = 'tc_attach = "clsact",' },
}

local model = {}
model.__index = model

-- What the daemon is told, and which chain that makes.
local function new_model(hook)
  local self = setmetatable({ hook = hook, declared = {}, loaded = {}, chains = {} }, model)
  self.object = ("%s/objects/chain_path_%s.o"):format(BUILD, hook.type)
  self.declared[FIRST], self.declared[LAST] = { priority = 1 }, { priority = 900 }
  return self
end

function model:params(digit, priority, v)
  return { name = "leave_digit", global = { DIGIT = "u32:" .. digit },
    metadata = { v = tostring(v or 1) },
    attach = { type = self.hook.type, iface = "veth0", priority = priority,
      direction = self.hook.type == "tc" and "ingress" or nil } }
end

function model:entries()
  local list = {}
  for digit, member in pairs(self.declared) do
    local entry = self:params(digit, member.priority, member.v)
    entry.label, entry.object = "m" .. digit, self.object
    entry.map_owner = digit ~= FIRST and "m" .. FIRST or nil
    list[#list + 1] = entry
  end
  table.sort(list, function(a, b) return a.label < b.label end)
  return list
end

-- The chain as a packet tells of it.
function model:expect()
  local order = {}
  for digit, member in pairs(self.declared) do order[#order + 1] = { member.priority, digit } end
  for digit, member in pairs(self.loaded) do order[#order + 1] = { member.priority, digit } end
  table.sort(order, function(a, b) return a[1] < b[1] end)
  local path = 0
  for _, place in ipairs(order) do path = path << 4 | place[2] end
  if self.chains[#self.chains] ~= path then self.chains[#self.chains + 1] = path end
end

local function applies(change)
  return function(chain, served)
    change(chain.declared)
    assert(rpc.apply(served, NAME, chain:entries()))
  end
end

-- Over and over; behind the last all is as before the first.
local changes <const> = {
  applies(function(declared) declared[2] = { priority = 200 } end),
  applies(function(declared) declared[3] = { priority = 300 } end),
  function(chain, served)
    local params = chain:params(4, 400)
    params.map_owner_id = chain.owner
    chain.loaded[4] = { priority = 400, id = assert(rpc.load(served, params, chain.object)).id }
  end,
  applies(function(declared) declared[3] = { priority = 100 } end),
  function(_, served)
    served:kill()
    served:restart()
  end,
  applies(function(declared) declared[2] = { priority = 200, v = 2 } end),
  applies(function(declared)
    declared[2], declared[3], declared[5] = { priority = 300, v = 2 }, nil, { priority = 250 }
  end),
  function(chain, served)
    assert(rpc.call(served, "program.unload", { id = chain.loaded[4].id }))
    chain.loaded[4] = nil
  end,
  function(_, served)
    assert(served:stop() == 0)
    served:restart()
  end,
  applies(function(declared) declared[2], declared[5] = nil, nil end),
}

-- Paths of all packets that were sent, by their number.
local function paths(map, sent)
  local at, part = -1, nil
  return function()
    at = at + 1
    if at >= sent then return nil end
    if at % PART == 0 then
      part = { string.unpack("=" .. ("I4"):rep(PART), (assert(map:lookup(
        string.pack("=I4", at // PART))))) }
    end
    return at, part[at % PART + 1]
  end
end

-- Each packet has met one of the chains, none an earlier one than the packet before it. Those that
-- have met none must be those that have not come.
local function judge(map, chains, sent)
  local current, met, none = 1, { [1] = true }, 0
  for number, path in paths(map, sent) do
    if path == 0 then
      none = none + 1
    elseif path ~= chains[current] then
      local before = current
      repeat current = current + 1 until current > #chains or chains[current] == path
      if current > #chains then
        error(("packet %d of %d has met %x; behind chain %d, %x, that is none"):format(number, sent,
          path, before, chains[before]))
      end
      met[current] = true
    end
  end
  local count = 0
  for _ in pairs(met) do count = count + 1 end
  return none, count
end

local function report(text, ...)
  if not REPORT then return end
  local file <close> = assert(io.open(REPORT, "a"))
  file:write(text:format(...), "\n")
end

for _, engine in ipairs { "fuse", "freplace" } do
  describe(("under traffic, a chain of %s"):format(engine), function()
    for _, hook in ipairs(hooks) do
      it(("on %s is met whole by every packet #traffic"):format(hook[1]), function()
        local refusal = chain_support.refusal(engine, hook.type)
        if refusal then return pending(refusal) end
        if hook[1]:find "TCX" and not core.chain.has_tcx() then
          return pending "this kernel has no TCX"
        end
        local near <close> = namespace.new()
        local far <close> = namespace.new()
        local pair <const> = namespace.join(near, far, "veth0")
        local served <close> = daemon.start { namespace = pair.near, log_level = "warning",
          config = ([[return { interfaces = { ["*"] = { engine = "%s", libxdp = "never", %s } } }]])
            :format(engine, hook.settings) }
        local chain = new_model(hook)
        assert(rpc.apply(served, NAME, chain:entries()))
        chain:expect()
        chain.owner = assert(rpc.call(served, "program.list")).programs[1].id
        local owner = assert(rpc.call(served, "program.get", { id = chain.owner }))
        local map <close> = assert(bpf.map.open_pin(owner.map_pin_path .. "/packets"))

        local received <const>, started = pair.near:received(), uv.hrtime()
        local stop = namespace.traffic(pair, nil, AT_FULL_RATE)
        for number = 1, CHANGES do
          changes[(number - 1) % #changes + 1](chain, served)
          chain:expect()
        end
        local seconds <const> = (uv.hrtime() - started) / 1e9
        local sent <const> = stop()
        assert.is_true(sent < PACKETS, "more packets than can be told apart")
        local here
        process.eventually(function()
          here = pair.near:received() - received
          return here == sent
        end, 3000)
        local none, met = judge(map, chain.chains, sent)
        report("%s, %s: %d changes, %d packets in %.0f s, %d of %d chains met, %d packets lost \z
          before the hook", engine, hook[1], CHANGES, sent, seconds, met, #chain.chains, none)
        assert.equal(sent - here, none)
        assert.is_true(met > 1, "the traffic has met one chain alone")
      end)
    end
  end)
end
