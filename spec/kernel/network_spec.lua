require "spec.support.root"

local bpf = require "bpf"
local namespace = require "spec.support.namespace"
local process = require "spec.support.process"

local path <const> = os.getenv "BUILD" .. "/objects/handles_counter.o"

-- Entering a namespace is for ever, so it is done in children.
local prelude <const> = [[
  local bpf = require "bpf"
  local core = require "bpf.core"
  local path, place = ...
  local outside <const> = assert(bpf.network.namespace_cookie())
  local descriptor <close> = assert(core.system.open(place))
  assert(bpf.network.enter(descriptor:fd()))
  local ifindex <const> = assert(bpf.network.index "near")
  local function loaded()
    local object = assert(bpf.object.open(path))
    assert(object:choose "accept")
    assert(object:load())
    return object.programs.accept
  end
]]

local function inside(script)
  local here <close> = namespace.new()
  here:check { "ip", "link", "add", "near", "mtu", "1300", "type", "veth", "peer", "name", "far" }
  here:check { "ip", "link", "set", "near", "up" }
  local told = process.run({ "lua5.4", "-", path, here.path }, { stdin = prelude .. script })
  assert.equal(0, told.exit, told.stderr)
end

describe("the network", function()
  it("names and numbers interfaces, in the namespace that was entered", function()
    inside [[
      assert(bpf.network.namespace_cookie() ~= outside)
      assert(bpf.network.name(ifindex) == "near")
      local found = {}
      for _, each in ipairs(assert(bpf.network.interfaces())) do found[each.name] = each end
      assert(found.near.kind == "veth" and found.near.mtu == 1300 and found.near.up)
      assert(found.near.index == ifindex and not found.far.up and found.lo)
    ]]
    local none, err = bpf.network.index "no-such-iface"
    assert.is_nil(none)
    assert.equal("there is no interface no-such-iface", err.message)
    assert.equal("ENODEV", err.code)
    none, err = bpf.network.name(99999999)
    assert.is_nil(none)
    assert.equal("there is no interface 99999999", err.message)
  end)

  it("tells an interface from one that has its number and its name after it", function()
    inside [[
      local function run(command) assert(os.execute(command)) end
      local identity <const> = assert(bpf.network.identity(ifindex))
      assert(identity ~= bpf.network.identity(1))
      run "ip link set near down" -- 6.1 renames none that is up (bd039b5ea2a9)
      run "ip link set near name nearer"
      assert(identity == bpf.network.identity(ifindex))
      run "ip link del nearer"
      local none, err = bpf.network.identity(ifindex)
      assert(none == nil and err.code == "ENODEV")
      run(("ip link add near index %d type veth peer name far"):format(ifindex))
      assert(identity ~= assert(bpf.network.identity(ifindex)))
    ]]
  end)

  it("tells of interfaces that come, change and go, and not of a bridge's ports", function()
    inside [[
      local watch <close> = assert(bpf.network.watch())
      local function told()
        local lines = {}
        while true do
          local changes, err = bpf.network.changes(watch)
          if not changes then
            assert(err.code == "EAGAIN", tostring(err))
            return table.concat(lines, ",")
          end
          for _, each in ipairs(changes) do
            if each.index ~= ifindex then
              local how = each.gone and "gone" or each.up and "up" or "down"
              local line = ("%s %s %s"):format(each.name, each.kind, how)
              if lines[#lines] ~= line then lines[#lines + 1] = line end
            end
          end
        end
      end
      assert(told() == "")
      assert(os.execute "ip link add br0 type bridge && ip link set br0 up")
      assert(told() == "br0 bridge down,br0 bridge up", told())
      assert(os.execute "ip link set near master br0 && ip link set near nomaster")
      assert(not told():find "gone")
      assert(os.execute "ip link set br0 down && ip link set br0 name br1")
      assert(told():find "br1 bridge down$")
      assert(os.execute "ip link del br1")
      assert(told():find "br1 bridge gone$")
    ]]
  end)

  it("has a cookie that stays", function()
    assert.equal(bpf.network.namespace_cookie(), bpf.network.namespace_cookie())
    local ok, err = bpf.network.enter(0)
    assert.is_nil(ok)
    assert.is_truthy(err.code)
  end)

  it("tells clsact from a foreign ingress qdisc", function()
    inside [[
      assert(bpf.network.qdisc(ifindex) == nil)
      assert(bpf.network.clsact.is_present(ifindex) == false)
      assert(os.execute "tc qdisc add dev near ingress")
      assert(bpf.network.qdisc(ifindex) == "ingress")
      assert(bpf.network.clsact.is_present(ifindex) == false)
      local ok, err = bpf.network.clsact.add(ifindex)
      assert(not ok and err.code == "EEXIST", err and err.code)
      assert(os.execute "tc qdisc del dev near ingress")
      assert(bpf.network.clsact.add(ifindex))
      assert(bpf.network.clsact.is_present(ifindex))
      assert(bpf.network.clsact.remove(ifindex))
      assert(bpf.network.qdisc(ifindex) == nil)
    ]]
  end)

  it("adds, replaces, lists and removes filters at places of our choice", function()
    inside [[
      local first, second = loaded(), loaded()
      assert(#bpf.network.filters(ifindex, "ingress") == 0)
      assert(bpf.network.clsact.add(ifindex))
      local place <const> =
        { direction = "ingress", priority = 3069, handle = 0xbfd, name = "ours" }
      local earlier <const> = { direction = "ingress", priority = 7, handle = 1 }
      assert(bpf.network.filter.add(ifindex, place, first))
      local ok, err = bpf.network.filter.add(ifindex, place, second)
      assert(not ok and err.code == "EEXIST")
      assert(bpf.network.filter.add(ifindex, earlier, second))
      local filters = assert(bpf.network.filters(ifindex, "ingress"))
      assert(#filters == 2 and filters[1].kind == "bpf" and filters[1].priority == 7)
      local ours = filters[2]
      assert(ours.priority == 3069 and ours.handle == 0xbfd and ours.name == "ours" and ours.direct)
      assert(ours.prog_id == first:info().id)
      assert(bpf.network.filter.replace(ifindex, place, second))
      filters = assert(bpf.network.filters(ifindex, "ingress"))
      assert(#filters == 2 and filters[2].prog_id == second:info().id)
      assert(#bpf.network.filters(ifindex, "egress") == 0)
      assert(bpf.network.filter.remove(ifindex, place))
      assert(#bpf.network.filters(ifindex, "ingress") == 1)
      ok, err = bpf.network.filter.remove(ifindex, place)
      assert(not ok and err.code == "ENOENT", err and err.code)
    ]]
  end)
end)
