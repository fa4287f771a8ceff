-- Random chains against a model of a few lines, the same each time. BPFD_CHAINS: how many of each
-- type; BPFD_SEED: the first seed, for others.
local chain = require "bpf.chain"
local model = require "spec.support.chain_model"
local support = require "spec.support.chain"

local CHAINS <const> = tonumber(os.getenv "BPFD_CHAINS") or 1000
local FIRST_SEED <const> = tonumber(os.getenv "BPFD_SEED") or 1
local ROUNDS <const> = 4
local INSTANCES <const> = 2
local END <const> = { xdp = 2, tc = -1 }

-- An empty slot of a dispatcher lets packets proceed, and so does a member that returns the same.
local LIMITS <const> = { fuse = {}, freplace = { longest = 10, always = 1 << 31 } }

local function load_pool(engine, kind)
  local pool = {}
  for _, value in ipairs(model.verdicts[kind]) do
    local member = support.member(kind, "chain_" .. kind, "plain",
      { fixed = string.pack("i8", value) }, nil, engine)
    member.fixed = value
    pool[#pool + 1] = member
  end
  for _, name in ipairs(model.kinds(kind)) do
    for _ = 1, INSTANCES do
      pool[#pool + 1] = support.member(kind, "chain_" .. kind, name, nil, nil, engine)
    end
  end
  return pool
end

local function check_members(places)
  local seen = {}
  for _, place in ipairs(places) do
    local member = place.member
    if not seen[member] and member.name ~= "plain" then
      seen[member] = true
      local runs = member:runs()
      if runs - (member.before or 0) ~= member.expected then
        return ("%s ran %d times, not %d"):format(member.name, runs - (member.before or 0),
          member.expected)
      end
    end
  end
end

local function check_counters(build, stops)
  local counters = assert(chain.counters(build))
  local runs = stops[#stops]
  if counters.ended ~= runs then return ("ended %d, not %d"):format(counters.ended, runs) end
  for position = #stops - 1, 1, -1 do
    runs = runs + stops[position]
    local found = counters[position]
    if found.stops ~= stops[position] or found.runs ~= runs then
      return ("position %d: %d stops and %d runs, not %d and %d"):format(
        position, found.stops, found.runs, stops[position], runs)
    end
  end
end

---Builds one chain and sends it packets; returns what is wrong, and the chain.
local function try(engine, kind, pool, options)
  local places = model.draw(kind, pool, chain.order, LIMITS[engine])
  for _, place in ipairs(places) do
    local member = place.member
    member.expected, member.before = 0, member.name ~= "plain" and member:runs() or 0
  end
  local build, err = chain.engine(engine).build({ type = kind }, places, options)
  if not build then return tostring(err) .. "\n" .. (err.log or ""), places end
  local _ <close> = build
  local stops = {}
  for position = 1, #places + 1 do stops[position] = 0 end
  for _ = 1, ROUNDS do
    model.assign(kind, places)
    local expected, stopped = model.run(kind, places, END[kind])
    stops[stopped] = stops[stopped] + 1
    local verdict = support.run(build.program)
    if verdict ~= expected then
      return ("verdict %#x, not %#x (stopped at %d)"):format(verdict, expected, stopped), places
    end
  end
  local wrong = check_members(places)
  if not wrong and engine == "fuse" then wrong = check_counters(build, stops) end
  return wrong, places, build
end

-- libxdp's two layouts of a dispatcher are two objects.
local VARIANTS <const> = {
  { engine = "fuse", kinds = { "xdp", "tc" } },
  { engine = "freplace", kinds = { "xdp", "tc" } },
  { engine = "freplace", kinds = { "xdp" }, options = { version = 3 } },
}

for _, variant in ipairs(VARIANTS) do
  local engine <const> = variant.engine
  local version <const> = variant.options and " with dispatchers of version 3" or ""
  describe(("the %s engine%s, against a model"):format(engine, version), function()
    for _, kind in ipairs(variant.kinds) do
      it(("runs %d random %s chains as the model says #smoke"):format(CHAINS, kind), function()
        local refusal = support.refusal(engine, kind)
        if refusal then return pending(refusal) end
        local pool = load_pool(engine, kind)
        for seed = FIRST_SEED, FIRST_SEED + CHAINS - 1 do
          math.randomseed(seed)
          local wrong, places = try(engine, kind, pool, variant.options)
          if wrong then
            error(("%s\nBPFD_SEED=%d BPFD_CHAINS=1 shows it again:\n%s"):format(
              wrong, seed, model.describe(places)), 0)
          end
        end
        for _, member in ipairs(pool) do member:close() end
      end)
    end
  end)
end
