-- Member records outlive the process that loaded the members: chains are rebuilt from pins alone.
local bpf_link = require "bpf.link"
local bpf_map = require "bpf.map"
local bpf_program = require "bpf.program"
local chain = require "bpf.chain"
local core = require "bpf.core"
local namespaces = require "spec.support.namespace"
local network = require "bpf.network"
local process = require "spec.support.process"
local support = require "spec.support.chain"
local uv = require "luv"

local PASS_MASK <const> = 0x80000004

---Every kind that keeps something in a map: data sections, timers, locks, program arrays, ring
---buffers.
local KINDS <const> = {
  "count", "statics", "globals", "loop", "timer", "lock", "tail_hit", "tail_below", "submit",
}

describe("a member record", function()
  it("gives back the caller's note", function()
    local member <close> = support.member("xdp", "chain_xdp", "count", nil, "any\0bytes")
    assert.equal("any\0bytes", chain.note(member.record))
    local note, err = chain.note("bpfdfuse and nothing")
    assert.is_nil(note)
    assert.equal("EINVAL", err.code)
    note, err = chain.note("something else")
    assert.is_nil(note)
    assert.equal("EINVAL", err.code)
  end)

  it("is refused when its types name what is not there", function()
    local member <close> = support.member("xdp", "chain_xdp", "globals")
    assert(core.chain.describe(member.record))
    -- the name of the first type behind BTF's header
    local header = assert(member.record:find(("=I2BB"):pack(0xeb9f, 1, 0), 1, true))
    local damaged = member.record:sub(1, header + 23) .. ("=I4"):pack(0x7ffffff)
      .. member.record:sub(header + 28)
    local described, err = core.chain.describe(damaged)
    assert.is_nil(described)
    assert.equal("cannot read the record: a damaged member record", err.message)
  end)
end)

for _, engine in ipairs { "fuse", "freplace" } do
  describe(("a chain by %s whose builder was killed"):format(engine), function()
    local refusal = support.refusal(engine, "xdp")
    if refusal then
      it("is rebuilt", function() pending(refusal) end)
      return
    end

    local directory, pair, owner

    ---A member as a later process finds it: nothing but pins.
    local function found(position)
      local home, maps = ("%s/%d"):format(directory, position), {}
      local scan = assert(uv.fs_scandir(home .. "/maps"))
      for name in function() return uv.fs_scandir_next(scan) end do
        maps[tonumber(name)] = assert(bpf_map.open_pin(home .. "/maps/" .. name))
      end
      local record = assert(bpf_map.open_pin(home .. "/record"))
      return {
        name = KINDS[position], mask = PASS_MASK, maps = maps,
        program = assert(bpf_program.open_pin(home .. "/program")), record = assert(record:blob()),
      }
    end

    ---By the member's own count.
    local function runs(place)
      for _, map in pairs(place.maps) do
        if map:info().name:find "%.bss$" then
          return (string.unpack("i8", assert(map:lookup(("\0"):rep(4)))))
        end
      end
    end

    setup(function()
      directory = assert(uv.fs_mkdtemp "/tmp/bpfd-spec-XXXXXX")
      process.check { "mount", "-t", "bpf", "bpf", directory }
      pair = namespaces.pair "veth0"
      support.enter(pair.near)
      local output = os.tmpname()
      owner = process.start({ "lua5.4", "spec/support/chain_owner.lua", engine, directory,
        pair.near.path, tostring(assert(network.index "veth0")), table.unpack(KINDS) },
        { output = output })
      process.eventually(function()
        local file <close> = assert(io.open(output))
        local text = file:read "a"
        assert(owner:alive() or text == "ready\n", text)
        return text == "ready\n"
      end)
      os.remove(output)
      owner:signal "sigkill"
      owner:wait()
    end)

    teardown(function()
      process.check { "umount", directory }
      uv.fs_rmdir(directory)
      pair.near:close()
      pair.far:close()
    end)

    it("still runs, and is rebuilt with a member more from pins alone", function()
      local link = assert(bpf_link.open_pin(directory .. "/link"))
      local old = assert(link:info()).prog_id
      local places = {}
      for position in ipairs(KINDS) do places[position] = found(position) end
      namespaces.send(pair, 10)
      for _, place in ipairs(places) do
        process.eventually(function() return runs(place) == 10 end)
        assert.equal(10, runs(place), place.name)
      end
      assert.equal("note count", chain.note(places[1].record))
      local added <close> = support.member("xdp", "chain_xdp", "packet", nil, nil, engine)
      added:choose(2)
      table.insert(places, 5, added:with(PASS_MASK))

      local build <close> = assert(chain.engine(engine).build({ type = "xdp" }, places))
      assert.equal(2, (support.run(build.program)))
      local hook = assert(chain.hook { type = "xdp", ifindex = assert(network.index "veth0") })
      assert(hook:replace(link, build.program, old))
      assert.equal(build.program:info().id, (hook:running(link)))
      local before = added:runs()
      namespaces.send(pair, 10)
      process.eventually(function() return added:runs() == before + 10 end)
      assert.equal(before + 10, added:runs())
      if engine == "fuse" then assert.equal(11, chain.counters(build).ended) end
      assert(link:detach())
    end)
  end)
end
