-- What a soak declares: which labels are wanted, where, and whether they run.
local bpfctl = require "spec.support.bpfctl"
local process = require "spec.support.process"
local rpc = require "spec.support.rpc"
local interfaces = require "scripts.soak_interfaces"

local declarations = {}

local DECLARATION <const> = "soak.lua"

local function declaration_text(soak)
  local lines = {}
  for label, entry in pairs(soak.declared) do
    lines[#lines + 1] = ('program "%s" { path = "%s", name = "count_xdp", \z
      metadata = { step = "%s" }, attach = { type = "xdp", iface = "%s", priority = %d } }\n')
      :format(label, rpc.object, entry.step, entry.iface, entry.priority)
  end
  table.sort(lines)
  return table.concat(lines)
end

-- What the daemon has of the declaration, taken into the model as far as it is what was declared.
local function take_declared(soak)
  local labelled = {}
  for id, program in pairs(soak.model.programs) do
    if program.label then labelled[id] = true end
  end
  soak.model:settle(soak.daemon, { removed = labelled, added = function(program)
    local entry <const> = program.declared_by == DECLARATION and soak.declared[program.label]
    return entry and entry.iface == program.attach.iface and entry.step == program.metadata.step
  end })
  local list <const> = rpc.call(soak.daemon, "program.list").programs
  for _, program in ipairs(list) do
    local known <const> = soak.model.programs[program.id]
    if known and known.label then soak.model:add(program) end -- an apply moves what it keeps
  end
end

-- Which labels run, against those that should.
local function labels_missing(soak, wanted)
  local there = {}
  for _, program in pairs(soak.model.programs) do
    if program.label then there[program.label] = true end
  end
  for label in pairs(wanted) do
    if not there[label] then return label end
  end
  return nil
end

local function apply(soak)
  return bpfctl.run(soak.daemon, { "apply", "-", "--as", DECLARATION, "--prune", "-q" },
    { stdin = declaration_text(soak) })
end

---Wants some labels no more and others somewhere else, and applies that; a second time changes
---nothing.
function declarations.apply(soak)
  for i = 1, 6 do
    local label <const> = "label-" .. i
    local dice <const> = math.random(3)
    if dice == 1 then
      soak.declared[label] = nil
    elseif dice == 2 then
      soak.declared[label] = { iface = interfaces.random(soak), priority = math.random(2, 1000),
        step = tostring(soak.step) }
    end
  end
  for label, entry in pairs(soak.declared) do -- what is not there cannot be applied
    local is_there <const> = entry.iface == interfaces.fixed or soak.ifaces[entry.iface]
    if not is_there then soak.declared[label] = nil end
  end
  local result = apply(soak)
  assert(result.exit == 0, result.stderr)
  take_declared(soak)
  local missing <const> = labels_missing(soak, soak.declared)
  assert(not missing, ("%s was applied and does not run"):format(missing))
  result = apply(soak)
  assert(result.exit == 0 and result.stdout == "", "a second apply changes something")
end

local function declared_on(soak, iface)
  local labels = {}
  for label, entry in pairs(soak.declared) do
    if entry.iface == iface then labels[label] = true end
  end
  return labels
end

---The daemon hears of an interface that has come or gone by and by; then what is declared for it
---runs, or goes.
function declarations.await(soak, iface)
  local missing
  process.eventually(function()
    take_declared(soak)
    missing = labels_missing(soak, soak.ifaces[iface] and declared_on(soak, iface) or {})
    return not missing and not soak.model:difference(rpc.call(soak.daemon, "program.list").programs)
  end, 30000)
  assert(not missing, ("%s was declared for %s, which is there again"):format(missing, iface))
end

return declarations
