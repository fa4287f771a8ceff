-- What `status` shows: sections like those of `get`, and lists of what is to run by itself.

local columns_of = require "bpfctl.format.columns"
local local_time = require "bpfctl.format.time"
local printable = require "bpfctl.printable"
local section = require "bpfctl.format.section"
local size_of = require "bpfctl.format.size"

local draw = {}

local function shown_socket(socket)
  local text = ("%s (%s, root:%s"):format(socket.path, socket.mode, socket.group or "root")
  local allow <const> = table.concat(socket.allow or {}, " ")
  if allow ~= "*" then text = text .. ", for " .. allow end
  if socket.from_service_manager then text = text .. ", by the service manager" end
  return printable(text .. ")")
end

local units <const> = { { 86400, "d" }, { 3600, "h" }, { 60, "m" }, { 1, "s" } }

-- The two largest units that are not zero.
local function shown_duration(seconds)
  local parts, left = {}, math.tointeger(seconds) or 0
  for _, unit in ipairs(units) do
    local count <const> = left // unit[1]
    if count > 0 and #parts < 2 then parts[#parts + 1] = count .. unit[2] end
    left = left % unit[1]
  end
  return #parts > 0 and table.concat(parts, " ") or "0s"
end

local function daemon_rows(status)
  local rows, add = section.new_rows()
  local sockets = {}
  for i, socket in ipairs(status.sockets) do sockets[i] = shown_socket(socket) end
  add("Version:", status.version)
  add("PID:", status.pid)
  add("Started At:", local_time(status.started_at))
  add("Uptime:", shown_duration(status.uptime))
  add("Sockets:", sockets)
  add("Configuration:", status.config)
  add("Run Directory:", status.run_dir)
  add("State Directory:", status.state_dir)
  add("Capabilities:", table.concat(status.capabilities, ", "))
  add("Refused System Calls:", status.refused_calls)
  add("Resident Memory:", size_of(math.tointeger(status.resident_bytes) or 0))
  add("Programs:", status.programs)
  add("Chains:", status.chains)
  add("Policy Hooks:", status.policies.hooks)
  if status.policies.problem then add("Policy Problem:", status.policies.problem) end
  if status.programs_directory.problem then
    add("Problem:", status.programs_directory.path .. ": " .. status.programs_directory.problem)
  end
  return rows
end

local function kernel_rows(kernel)
  local rows, add = section.new_rows()
  local engines = {}
  for i, engine in ipairs(kernel.engines) do
    engines[i] = printable(engine.available and engine.name
      or ("%s: no, %s"):format(engine.name, engine.reason or "for no known reason"))
  end
  add("Release:", kernel.release)
  add("Machine:", kernel.machine)
  add("Engines:", engines)
  return rows
end

local function shown_state(one)
  if one.state == "failed" then return printable("failed: " .. (one.problem or "")) end
  local waiting_for <const> = table.concat(one.waiting_for or {}, ", ")
  if one.state ~= "waiting" then return one.state end
  return printable(waiting_for ~= "" and "waiting for " .. waiting_for or "waiting")
end

local function declarations(list)
  local rows = {}
  for i, one in ipairs(list) do
    rows[i] = { printable(one.name), section.shown(one.programs), shown_state(one) }
  end
  return columns_of({ "Declaration", "Programs", "State" }, rows)
end

local function persisted(list)
  local rows = {}
  for i, one in ipairs(list) do
    rows[i] = { section.shown(one.number), section.shown(one.id), printable(one.name),
      section.shown(one.type), one.iface and printable(one.iface) or "", shown_state(one) }
  end
  return columns_of({ "Persisted", "Program ID", "Name", "Type", "Iface", "State" }, rows)
end

--- `status`.
function draw.status(status, style)
  local parts = { section.draw("Daemon", daemon_rows(status), style),
    section.draw("Kernel", kernel_rows(status.kernel), style) }
  if #status.declarations > 0 then parts[#parts + 1] = declarations(status.declarations) end
  if #status.persisted > 0 then parts[#parts + 1] = persisted(status.persisted) end
  return table.concat(parts, "\n")
end

return draw
