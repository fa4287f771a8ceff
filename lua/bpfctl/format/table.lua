-- The guide's tables.

local columns_of = require "bpfctl.format.columns"
local local_time = require "bpfctl.format.time"
local printable = require "bpfctl.printable"
local section = require "bpfctl.format.section"

local new_rows <const>, shown <const> = section.new_rows, section.shown

local function shown_time(text) return text and local_time(text) or shown(text) end

local function shown_assignments(assignments)
  local lines = {}
  for name, value in pairs(assignments or {}) do
    lines[#lines + 1] = printable(name .. "=" .. tostring(value))
  end
  table.sort(lines)
  return lines
end

local function shown_ids(ids)
  local sorted = table.move(ids or {}, 1, #(ids or {}), 1, {})
  table.sort(sorted)
  for i, id in ipairs(sorted) do sorted[i] = shown(id) end
  return sorted
end

local short_directions <const> = { ingress = "in", egress = "eg" }

local function probe_type(name)
  return function(attach) return (attach.retprobe and name .. "retprobe" or name .. "probe") end
end

-- Rows of each type: label, and the field of attach or a function of it.
local priority <const> = { "Priority:", "priority" }
local iface <const> = { "Iface:", "iface" }
local position <const> = { "Position:", "position" }
local direction <const> = {
  "Direction:", function(attach) return short_directions[attach.direction] or attach.direction end,
}
local proceed_on <const> = {
  "Proceed On:", function(attach) return table.concat(attach.proceed_on or {}, ", ") end,
}
local function_name <const> = { "Function Name:", "fn_name" }
local offset <const> = { "Offset:", "offset" }

local type_rows <const> = {
  xdp = { priority, iface, position, proceed_on },
  tc = { priority, iface, position, direction, proceed_on },
  tcx = { priority, iface, direction },
  tracepoint = { { "Tracepoint:", "tracepoint" } },
  raw_tracepoint = { { "Tracepoint:", "tracepoint" } },
  kprobe = { { "Probe Type:", probe_type "k" }, function_name, offset },
  uprobe = {
    { "Probe Type:", probe_type "u" }, function_name, offset, { "Target:", "target" },
    { "PID:", "pid" }, { "Container PID:", "container_pid" },
  },
  fentry = { function_name },
  fexit = { function_name },
}

local function shown_amendments(amended)
  local lines = {}
  for i, change in ipairs(amended or {}) do
    lines[i] = ("%s (%s: %s -> %s)"):format(shown(change.hook), shown(change.field),
      shown(change.from), shown(change.to))
  end
  return lines
end

local function add_uncommon(add, program, attach)
  if attach.xdp_mode == "generic" then add("Mode:", "generic") end
  if attach.engine and attach.engine ~= "fuse" then add("Engine:", attach.engine) end
  if attach.netns then add("Netns:", attach.netns) end
  if program.signed_by then add("Signed By:", program.signed_by) end
  if program.label then add("Label:", program.label) end
  if program.declared_by then add("Declared By:", program.declared_by) end
  if program.persist then add("Persist:", "true") end
  if program.amended and #program.amended > 0 then
    add("Amended By:", shown_amendments(program.amended))
  end
end

local function bpfd_rows(program)
  local rows, add = new_rows()
  local attach <const> = program.attach or {}
  add("Name:", program.name)
  if program.image_url then
    add("Image URL:", program.image_url)
    add("Pull Policy:", program.pull_policy)
  else
    add("Path:", program.path)
  end
  add("Global:", shown_assignments(program.global))
  add("Metadata:", shown_assignments(program.metadata))
  add("Map Pin Path:", program.map_pin_path)
  add("Map Owner ID:", program.map_owner_id)
  add("Map Used By:", shown_ids(program.map_used_by))
  for _, row in ipairs(type_rows[attach.type] or {}) do
    local value = row[2]
    if type(value) == "function" then value = value(attach) else value = attach[value] end
    add(row[1], value)
  end
  add_uncommon(add, program, attach)
  return rows
end

local function kernel_rows(kernel)
  local rows, add = new_rows()
  add("ID:", kernel.id)
  add("Name:", kernel.name)
  add("Type:", kernel.type)
  add("Loaded At:", shown_time(kernel.loaded_at))
  add("Tag:", kernel.tag)
  add("GPL Compatible:", kernel.gpl_compatible)
  add("Map IDs:", kernel.map_ids and "[" .. table.concat(shown_ids(kernel.map_ids), ", ") .. "]")
  add("BTF ID:", kernel.btf_id)
  add("Size Translated (bytes):", kernel.bytes_xlated)
  add("JITed:", kernel.jited)
  add("Size JITed (bytes):", kernel.bytes_jited)
  add("Kernel Allocated Memory (bytes):", kernel.bytes_memlock)
  add("Verified Instruction Count:", kernel.verified_insns)
  return rows
end

local draw = { any = require "bpfctl.format.any" }

local dashes_over_none <const> = 15

--- `get`, and what a load prints.
---@param program table
---@param style { bold: boolean? }
function draw.program(program, style)
  local ours
  if program.managed then
    ours = section.draw("Bpfd State", bpfd_rows(program), style)
  else
    ours = section.title("Bpfd State", style) .. ("-"):rep(dashes_over_none) .. "\nNONE\n"
  end
  return ours .. "\n" .. section.draw("Kernel State", kernel_rows(program.kernel or {}), style)
end

local program_columns <const> = { "Program ID", "Name", "Type", "Load Time" }

--- `list`.
function draw.programs(programs)
  local rows = {}
  for i, program in ipairs(programs) do
    rows[i] = {
      shown(program.id), printable(program.name or ""), shown(program.type),
      shown_time(program.loaded_at),
    }
  end
  return columns_of(program_columns, rows)
end

local feature_columns <const> = { "Kind", "Name", "Available", "Reason" }

--- `features`.
function draw.features(found)
  local rows = {}
  for i, feature in ipairs(found.features) do
    rows[i] = {
      shown(feature.kind), shown(feature.name), feature.available and "yes" or "no",
      printable(feature.reason or ""),
    }
  end
  return columns_of(feature_columns, rows)
end

-- Of these rarely, and of programs often: what draws them is loaded when it is asked for.
local elsewhere <const> = {
  policies = "policies", policy_outcomes = "policies", policy_events = "policies",
  status = "status", maps = "maps", entries = "maps", entry = "maps", change = "maps",
}

return setmetatable(draw, {
  __index = function(_, kind)
    return require("bpfctl.format." .. (elsewhere[kind] or "images"))[kind]
  end,
})
