-- What a daemon holds and what stands in its namespace, as one text: two of them are compared to
-- prove that a request left nothing behind.
local uv = require "luv"
local client = require "bpf.client"
local json = require "bpf.json"
local process = require "spec.support.process"

local residue = {}

local function walk(lines, path)
  local scan = uv.fs_scandir(path)
  if not scan then return end
  for name, kind in function() return uv.fs_scandir_next(scan) end do
    local inside = path .. "/" .. name
    -- SQLite's own side files come and go
    if not name:find "%-wal$" and not name:find "%-shm$" and not name:find "%-journal$" then
      lines[#lines + 1] = ("%s %s"):format(kind, inside)
    end
    if kind == "directory" then walk(lines, inside) end
  end
end

local function descriptors(lines, pid)
  local scan = uv.fs_scandir(("/proc/%d/fd"):format(pid))
  for name in function() return scan and uv.fs_scandir_next(scan) end do
    local target = uv.fs_readlink(("/proc/%d/fd/%s"):format(pid, name)) or ""
    -- SQLite closes a database's later than it is done with it
    if not target:find "/bpfd%.db" and (target:find "bpf" or target:find "memfd"
        or target:find "%.o$") then
      lines[#lines + 1] = "descriptor " .. target
    end
  end
end

-- A process that waits for its next job must hold nothing of the last.
local function children(lines, pid)
  for child, name in pairs(process.children(pid)) do
    if name == "bpfd-idle" then
      local held = {}
      descriptors(held, child)
      for _, line in ipairs(held) do
        if not line:find "/log$" and not line:find "/jobs%.lock$" then
          lines[#lines + 1] = "idle " .. line
        end
      end
    else
      lines[#lines + 1] = "child " .. child
    end
  end
end

-- A line of qdiscs that every interface has, to tell one list of filters from the next.
local BETWEEN <const> = "qdisc show dev lo"

-- Of all interfaces by two processes: a scan is made often.
local function filters(lines, namespace, links)
  local commands, places = { BETWEEN }, {}
  for name in links:gmatch "\n?%d+: ([^:@]+)" do
    for _, side in ipairs { "ingress", "egress" } do
      commands[#commands + 1] = ("filter show dev %s %s"):format(name, side)
      commands[#commands + 1] = BETWEEN
      places[#places + 1] = name .. " "
    end
  end
  local told = namespace:run({ "tc", "-force", "-batch", "-" },
    { stdin = table.concat(commands, "\n") .. "\n" }).stdout
  local at = 0
  for line in told:gmatch "[^\n]+" do
    if line:find "^qdisc " then
      at = at + 1
    else
      lines[#lines + 1] = places[at] .. line
    end
  end
  assert(at == #places + 1, "tc did not tell all")
end

local function namespace_state(lines, namespace)
  local links = namespace:check { "ip", "-details", "link", "show" }
  for name, rest in links:gmatch "\n?%d+: ([^:@]+)[^\n]*\n(.-)%f[\n\0]" do -- the first line of each
    lines[#lines + 1] = ("interface %s%s"):format(name, rest:match "prog/xdp id %d+" or "")
  end
  for id in links:gmatch "prog/xdp id (%d+)" do lines[#lines + 1] = "xdp " .. id end
  for line in namespace:check({ "tc", "qdisc", "show" }):gmatch "[^\n]+" do
    lines[#lines + 1] = line
  end
  filters(lines, namespace, links)
end

local function listed(daemon)
  local session <close> = assert(client.connect { socket = daemon.socket })
  return json.encode(assert(session:call "program.list"))
end

---@param daemon table
---@return string
function residue.scan(daemon)
  local lines = {}
  walk(lines, daemon.run_dir)
  walk(lines, daemon.state_dir)
  if daemon.process:alive() then
    descriptors(lines, daemon.pid)
    children(lines, daemon.pid)
    lines[#lines + 1] = listed(daemon)
  end
  if daemon.options.namespace then namespace_state(lines, daemon.options.namespace) end
  table.sort(lines)
  return table.concat(lines, "\n") .. "\n"
end

---The scan once it equals `before`, or the last within a second: a job's end is no residue.
---@return string
function residue.settled(daemon, before)
  local after
  process.eventually(function()
    after = residue.scan(daemon)
    return after == before
  end, 1000)
  return after
end

return residue
