-- Maps of every type with Lua values: found, read, written, watched; and what is refused how.
require "spec.support.root"

local bpf = require "bpf"
local process = require "spec.support.process"
local uv = require "luv"

local OBJECT <const> = os.getenv "BUILD" .. "/objects/map_types.o"
local PACKET <const> = { data = ("\0"):rep(64) }

describe("the maps of an object", function()
  local object, maps

  before_each(function()
    object = assert(bpf.object.open(OBJECT))
    assert(object:load())
    maps = object.maps
  end)

  after_each(function() object:close() end)

  local function id_of(name) return maps[name]:info().id end

  local function refused(code, pattern, ok, err)
    assert.is_nil(ok)
    assert.equal(code, err.code)
    assert.matches(pattern, err.message)
  end

  it("are opened by id, by pin and by name, with their types", function()
    local id <const> = id_of "tallies"
    local found <close> = assert(bpf.map.open { id = id })
    assert(found:set({ source = 1 }, { packets = 5, colour = "GREEN", name = "eth0" }))
    local program_id <const> = object.programs.types:info().id
    local by_name <close> = assert(bpf.map.open { program_id = program_id, name = "tallies" })
    assert.equal(5, by_name:get({ source = 1 }).packets)
    refused("ENOENT", "no map talies", bpf.map.open { program_id = program_id, name = "talies" })
    refused("ENOENT", "no map with id", bpf.map.open { id = 4294967294 })
    assert.has_error(function() bpf.map.open { ident = id } end)
    assert.has_error(function() bpf.map.open {} end)
    local reading <close> = assert(bpf.map.open { id = id, mode = "r" })
    assert.equal("eth0", reading:get({ source = 1 }).name)
    refused("EPERM", "opened for reading only", reading:set({ source = 2 }, {}))
  end)

  it("give their entries, those per CPU as lists, and objects as ids", function()
    local by_colour = assert(maps.by_colour:typed())
    assert(by_colour:set("GREEN", 7))
    assert(by_colour:set("BLUE", math.mininteger))
    local seen = {}
    for key, value in by_colour:entries() do seen[key] = value end
    assert.same({ GREEN = 7, BLUE = math.mininteger }, seen)

    local by_name = assert(maps.by_name:typed())
    assert(by_name:set("eth0", 1))
    assert.equal(1, by_name:get "eth0")

    local per_cpu = assert(maps.cpu_hash:typed())
    local values = {}
    for cpu = 1, per_cpu:cpu_count() do values[cpu] = { little = -cpu, big = cpu } end
    assert(per_cpu:set(3, values))
    assert.same(values, per_cpu:get(3))

    local routes = assert(maps.routes:typed())
    assert(routes:set({ bits = 8, address = { 10 } }, 4))
    assert.equal(4, routes:get { bits = 32, address = { 10, 1, 2, 3 } })

    assert.equal(id_of "leaf", maps.outer:typed():get(0))
    local program_id <const> = object.programs.types:info().id
    assert(maps.jumps:typed():set(1, program_id))
    assert.equal(program_id, maps.jumps:typed():get(1))
    refused("ENOENT", "program", maps.jumps:typed():set(0, 4294967294))
    assert.equal(7, maps[".rodata"]:typed():get(0).LIMIT)
  end)

  it("refuse with a reason what cannot be", function()
    local by_colour = assert(maps.by_colour:typed())
    for i = 1, 3 do assert(by_colour:set(i, 0)) end
    refused("E2BIG", "map by_colour is full: it takes 3 entries", by_colour:set(4, 0))
    refused("EEXIST", "has this key already", by_colour:set(1, 0, "new"))
    refused("ENOENT", "has no such key", by_colour:set(9, 0, "existing"))
    assert.is_nil((by_colour:get(9)))
    assert.is_false(by_colour:delete(9))
    local array = assert(maps.array:typed())
    refused("E2BIG", "no key 4: its keys are 0 to 3", array:set(4, 0))
    refused("EINVAL", "cannot be deleted", array:delete(0))
    refused("EPERM", "map_type.rodata is frozen", maps[".rodata"]:typed():set(0, {}))
    refused("ENOENT", "map untyped has no types", maps.untyped:typed())
    refused("EOPNOTSUPP", "map ring is a ringbuf", maps.ring:typed())
    refused("EOPNOTSUPP", "map queue is a queue: it has values and no keys", maps.queue:typed())
    local typed = assert(bpf.map.open { id = id_of "array" })
    typed:close()
    local ok, message = pcall(typed.get, typed, 0)
    assert.is_false(ok)
    assert.matches("map is closed", message)
  end)

  it("without types are read by formats", function()
    local typed = assert(maps.untyped:typed { key = "ip:ip4 port:be16 pad[2]",
      value = "packets:u64 name:char[8]" })
    assert(typed:set({ ip = "10.0.0.1", port = 80 }, { packets = 3, name = "web" }))
    for key in maps.untyped:pairs() do assert.equal("\10\0\0\1\0\80\0\0", key) end
    assert.same({ packets = 3, name = "web" }, typed:get { ip = "10.0.0.1", port = 80 })
    local by_type = assert(maps.untyped:typed { key = "struct key", value = "hex",
      btf = maps.tallies:btf() })
    for key in by_type:entries() do assert.equal((("=I2"):unpack "\0\80"), key.port) end
    refused("EINVAL", "describes 4 bytes, and there are 8", maps.untyped:typed { key = "u32",
      value = "hex" })
    refused("ENOENT", "no type keys", maps.untyped:typed { key = "struct keys", value = "hex",
      btf = maps.tallies:btf() })
  end)

  it("can be walked while others delete and add", function()
    local tallies = maps.tallies
    local function key(i) return ("=I4I2I2"):pack(i, 0, 0) end
    local value <const> = ("\0"):rep(tallies:info().value_size)
    for i = 1, 20000 do assert(tallies:update(key(i), value)) end
    local seen, extra = {}, 0
    for bytes in tallies:pairs() do
      local i <const> = ("=I4"):unpack(bytes)
      if i <= 20000 then
        assert.is_nil(seen[i])
        seen[i] = true
        if i % 2 == 0 then tallies:delete(key(i)) end
        tallies:update(key(20000 + i), value)
      else
        extra = extra + 1
      end
    end
    for i = 1, 20000, 2 do assert.is_true(seen[i]) end
    assert.is_true(extra <= 20000)
  end)

  it("draw as JSON what they give as Lua values", function()
    local tallies = assert(maps.tallies:typed())
    for i = 1, 3000 do assert(tallies:set({ source = i }, { packets = i * 7, balance = -i })) end
    local texts = {}
    for text in tallies:json_entries() do texts[#texts + 1] = text end
    local entries = assert(bpf.json.decode("[" .. table.concat(texts):sub(2) .. "]"))
    assert.equal(3000, #entries)
    for _, entry in ipairs(entries) do assert.same(entry.value, tallies:get(entry.key)) end
    local cpu_array = assert(maps.cpu_array:typed())
    local all = ""
    for text in cpu_array:json_entries() do all = all .. text end
    assert.equal(cpu_array:cpu_count(), #bpf.json.decode("[" .. all:sub(2) .. "]")[3].values)
  end)

  local function events_of(ring, options)
    local events, cpus = {}, {}
    for event, cpu in ring:events(options) do
      events[#events + 1], cpus[#cpus + 1] = event, cpu
    end
    return events, cpus
  end

  local function send(count)
    assert(object.programs.types:test_run { data = PACKET.data, ["repeat"] = count })
  end

  for _, name in ipairs { "ring", "events" } do
    it("hand out the records of " .. name .. " in order, by their type", function()
      local ring <close> = assert(maps[name]:ring())
      send(3)
      local events, cpus = events_of(ring, { type = "event", timeout = 0.05 })
      local numbers = {}
      for i, event in ipairs(events) do
        numbers[i] = event.number
        assert.same({ "hello", -1 }, { event.name, event.stamp })
      end
      assert.same({ 1, 2, 3 }, numbers)
      assert.equal(name == "events" and 3 or 0, #cpus)
      assert.equal(0, #events_of(ring, { timeout = 0.01 }))
      send(1)
      local bytes = events_of(ring, { timeout = 0.05 })[1]
      assert.equal(4, (("=I4"):unpack(bytes)))
      send(1)
      assert.equal(5, events_of(ring, { type = "n:u32 name:char[12]", timeout = 0.05 })[1].n)
    end)
  end

  it("tell how many records a perf event array had no room for", function()
    local ring <close> = assert(maps.events:ring { pages = 1 })
    send(500)
    local sent, seen = 500, 0
    process.eventually(function() -- told before the next record of the same CPU
      seen = seen + #events_of(ring, { timeout = 0.02 })
      send(1)
      sent = sent + 1
      return ring:lost() > 0
    end)
    seen = seen + #events_of(ring, { timeout = 0.02 })
    assert.is_true(ring:lost() > 0)
    assert.equal(sent, seen + ring:lost())
  end)

  it("refuse to be read as rings when they are none, or when their records differ", function()
    refused("EINVAL", "map array is a array, which holds no records", maps.array:ring())
    local ring = assert(maps.ring:ring())
    send(1)
    local ok, err = pcall(events_of, ring, { type = "evnt", timeout = 0.05 })
    assert.is_false(ok)
    assert.matches("no type evnt", err.message)
    ok, err = pcall(events_of, ring, { type = "everything", timeout = 0.05 })
    assert.is_false(ok)
    assert.matches("a record has 24 bytes, and everything has 240", err.message)
    assert.has_error(function() ring:events { kind = "event" } end)
    assert.has_error(function() maps.events:ring { pages = 3 } end)
    ring:close()
    ring:close()
    assert.has_error(function() ring:take() end)
  end)

  it("are read by a ring that outlives its map's handle", function()
    local map = assert(bpf.map.open_id(id_of "events"))
    local ring <close> = assert(map:ring())
    map:close()
    send(2)
    assert.equal(2, #events_of(ring, { timeout = 0.05 }))
  end)

  it("wake who waits for a record", function()
    local ring <close> = assert(maps.ring:ring())
    local started <const> = uv.hrtime()
    assert.is_false(ring:wait(0.02))
    assert.is_true(uv.hrtime() - started >= 15e6)
    send(1)
    assert.is_true(ring:wait())
  end)

  it("show the same content as bpftool", function()
    local tallies = assert(maps.tallies:typed())
    for i = 1, 500 do
      assert(tallies:set({ source = i, port = i }, { packets = i << 40, balance = -i,
        colour = i % 2 == 0 and "GREEN" or "RED", name = "name " .. i }))
    end
    local theirs = assert(bpf.json.decode(process.check { "bpftool", "map", "dump", "-j", "id",
      tostring(tallies.info.id) }))
    assert.equal(500, #theirs)
    for _, entry in ipairs(theirs) do
      assert.same(entry.formatted.value, tallies:get(entry.formatted.key))
    end
  end)
end)
