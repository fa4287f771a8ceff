-- Where uprobes may stand: at the beginning of an instruction, which a disassembler must confirm.
local bpf = require "bpf"
local library = require "bpf.library"
local process = require "spec.support.process"
local uv = require "luv"

local FUNCTIONS <const> = 120 -- of each file, from all over it

---@class spec.disassembled
---@field start integer    address
---@field size integer
---@field begins table<integer, true>  offsets behind the start

-- Functions of an executable or library, by name, where the name stands for one only.
local function disassemble(path)
  local functions, names, seen = {}, {}, {}
  local current
  for line in process.check({ "objdump", "-d", "-w", "--no-show-raw-insn", path },
    { seconds = 300 }):gmatch "[^\n]+" do
    local start, name = line:match "^(%x+) <([^>@]+)[^>]*>:$"
    if start then
      current = { start = tonumber(start, 16), begins = {}, known = true }
      seen[name] = (seen[name] or 0) + 1
      functions[name] = current
      names[#names + 1] = name
    end
    local address, text = line:match "^ *(%x+):\t(.*)$"
    if address and current then
      current.begins[tonumber(address, 16) - current.start] = true
      -- constants among code, and what binutils itself cannot read
      if text:find "%(bad%)" or text:find "^%.byte" then current.known = false end
    end
  end
  local unique = {}
  for _, name in ipairs(names) do
    if seen[name] == 1 and functions[name].known then unique[#unique + 1] = name end
  end
  return functions, unique
end

local function sizes_of(path)
  local sizes = {}
  for line in process.check({ "readelf", "-sW", "--dyn-syms", path }):gmatch "[^\n]+" do
    local address, size, name = line:match "^ +%d+: (%x+) +(%w+) FUNC +%u+ +%u+ +%d+ ([^@%s]+)"
    if address then
      sizes[name] = { size = math.tointeger(tonumber(size)), start = tonumber(address, 16) }
    end
  end
  return sizes
end

local function check_function(path, name, facts, size)
  for offset = 1, size - 1 do
    local found, err = bpf.link.locate { path = path, fn_name = name, offset = offset }
    local begins = facts.begins[offset] or false
    if begins ~= (found ~= nil) then
      error(("%s of %s, offset %d: %s"):format(name, path, offset,
        err and err.message or "taken, and objdump has none there"), 0)
    end
    if err then assert.equal("EILSEQ", err.code) end
  end
end

describe("a place for a uprobe", function()
  local libc = assert(uv.fs_realpath(assert(library.find "libc")))

  for _, path in ipairs { libc, (os.getenv "BUILD" or "build") .. "/bpf/core.so" } do
    it("is where objdump has an instruction, in " .. path:match "[^/]+$", function()
      local functions, names = disassemble(path)
      local sizes, checked, places = sizes_of(path), 0, 0
      local step = math.max(1, #names // FUNCTIONS)
      for i = 1, #names, step do
        local name = names[i]
        local facts, symbol = functions[name], sizes[name]
        if symbol and symbol.start == facts.start and symbol.size > 1 then
          local size = math.min(symbol.size, 120)
          check_function(path, name, facts, size)
          checked, places = checked + 1, places + size
        end
      end
      assert.is_true(checked > 30, "only " .. checked)
      assert.is_true(places > 2000, "only " .. places)
    end)
  end

  it("is told with where instructions begin around it, also in the file's own offsets", function()
    local functions = disassemble(libc)
    local begins = functions.getpriority and functions.getpriority.begins
    local start = assert(bpf.link.locate { path = libc, fn_name = "getpriority" })
    local inside = 1
    while begins[inside] do inside = inside + 1 end
    local before, after = inside, inside
    while before > 0 and not begins[before] do before = before - 1 end
    while not begins[after] do after = after + 1 end
    local _, by_name = bpf.link.locate { path = libc, fn_name = "getpriority", offset = inside,
      name = "libc" }
    assert.equal(("offset %d of getpriority in libc lies inside an instruction: they begin at %d \z
      and at %d there"):format(inside, before, after), by_name.message)
    local _, by_offset = bpf.link.locate { path = libc, offset = start + inside, name = "libc" }
    assert.equal(("offset %d of libc lies inside an instruction: they begin at %d and at %d there")
      :format(start + inside, start + before, start + after), by_offset.message)
    assert.equal(start + after, bpf.link.locate { path = libc, offset = start + after })
  end)
end)
