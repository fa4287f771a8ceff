-- Programs on tracepoints, functions and TCX (spec/objects/probe.bpf.c), and events to count.
local uv = require "luv"
local bpf = require "bpf"
local expected = require "spec.support.expected"

local probe = {}

local BUILD <const> = os.getenv "BUILD" or uv.cwd() .. "/build"
local ZERO <const> = string.pack("<I4", 0)

probe.object = BUILD .. "/objects/probe.o"
probe.pid = math.tointeger(uv.os_getpid())

---Calls libc's getpriority this many times, and the kernel's as often.
function probe.trigger(times)
  for _ = 1, times do assert(uv.os_getpriority(0)) end
end

probe.tracepoint = "syscalls/sys_enter_getpriority"

-- getpriority's number
local numbers <const> = { x86_64 = 140, aarch64 = 141, riscv64 = 141 }

---With this, on_raw_tracepoint on the tracepoint sys_enter counts getpriority alone.
probe.call = assert(numbers[uv.os_uname().machine])

-- What the kernel's own part of the call is named, by architecture.
local function find_function()
  local known = { __x64_sys_getpriority = true, __arm64_sys_getpriority = true,
    __riscv_sys_getpriority = true, __s390x_sys_getpriority = true, sys_getpriority = true }
  for line in io.lines "/proc/kallsyms" do
    local name = line:match "^%x+ [tT] (%S+)$"
    if known[name] then return name end
  end
  error "this kernel has no system call getpriority"
end

local function_name

---The kernel's function that a call of getpriority runs, once.
---@return string
function probe.kernel_function()
  function_name = function_name or find_function()
  return function_name
end

---Why this kernel has no programs of the type; nil where it has.
---@return string?
function probe.missing(type_name)
  local good, err = bpf.features.type(type_name)
  return not good and err.message or nil
end

---@class spec.probe
---@field id string
---@field printed string   what the load printed
---@field step integer     what each event adds
local loaded = {}
loaded.__index = loaded

local made, open = 0, {}

---The line that loads `name`, with its own STEP, for events of one process only.
---@param options { pid: integer?, call: integer?, global: string[]? }  pid: this process when left
---out, 0 for all
---@return string[] arguments, integer step
function probe.line(name, type_words, options)
  made = made + 1
  local step = 1000 + made
  local line = { "load-from-file", "-p", probe.object, "-n", name,
    "-g", ("STEP=u64:%d"):format(step), ("ONLY_PID=u32:%d"):format(options.pid or probe.pid) }
  if options.call then line[#line + 1] = ("CALL=i64:%d"):format(options.call) end
  table.move(options.global or {}, 1, #(options.global or {}), #line + 1, line)
  table.move(type_words, 1, #type_words, #line + 1, line)
  return line, step
end

---Loads through bpfctl; its map stays open here, so that late events would be seen.
---@return spec.probe
function probe.load(bpfd, name, type_words, options)
  local line, step = probe.line(name, type_words, options or {})
  local self = setmetatable({ bpfd = bpfd, name = name, step = step, options = options or {},
    type_words = type_words }, loaded)
  self.printed = bpfd:check(table.unpack(line))
  self.id = assert(self.printed:match "\n ID: +(%d+)\n")
  self.map = assert(bpf.map.open_pin(("%s/fs/maps/%s/events"):format(bpfd.run_dir, self.id)))
  open[#open + 1] = self
  return self
end

---Closes the maps of all that have been loaded.
function probe.close_all()
  for _, one in ipairs(open) do one.map:close() end
  open = {}
end

---How often it has run, which its own global value tells.
---@return integer
function loaded:events()
  local sum = string.unpack("<I8", assert(self.map:lookup(ZERO)))
  assert(sum % self.step == 0, "it does not count by its own STEP")
  return sum // self.step
end

function loaded:unload()
  self.bpfd:check("unload", self.id)
end

local function hex(format, number)
  return (string.pack(format, number):gsub(".", function(c) return ("%02X"):format(c:byte()) end))
end

---What the load must have printed, and `get` prints, given the rows of its type.
---@return string
function loaded:expected(rows)
  local time = self.bpfd:check("list"):match("\n " .. self.id .. " [^\n]*  (%S+)\n")
  local pid <const>, call <const> = self.options.pid or probe.pid, self.options.call
  return expected.loaded({
    name = self.name, path = uv.fs_realpath(probe.object), used_by = self.id,
    maps = ("%s/fs/maps/%s"):format(self.bpfd.run_dir, self.id),
    global = (call and ("CALL=%s\n"):format(hex("<i8", call)) or "")
      .. ("ONLY_PID=%s\nSTEP=%s"):format(hex("<I4", pid), hex("<I8", self.step)),
  }, rows) .. "\n" .. expected.kernel_state(self.bpfd, self.id, self.name:sub(1, 15),
    self.type_words[1], time)
end

return probe
