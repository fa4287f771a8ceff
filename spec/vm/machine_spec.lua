-- The test VM itself: a command's output and exit status come out, and what hangs is a failure.
local uv = require "luv"
local process = require "spec.support.process"

local kernel = os.getenv "KERNEL" or "6.1"

local function run(command, env)
  return process.run({ "scripts/vm/run.sh", kernel, command }, { env = env, seconds = 240 })
end

describe("The test VM", function()
  it("runs a command on its own kernel, as root, in this directory", function()
    local result = run 'uname -r; id -u; pwd; seq 1 2000; echo told >&2; exit 7'
    local lines = {}
    for line in result.stdout:gmatch "[^\n]*" do lines[#lines + 1] = line end
    assert.equal(7, result.exit)
    assert.equal(kernel .. ".", lines[1]:sub(1, #kernel + 1))
    assert.same({ "0", uv.cwd(), "1", "2" }, { table.unpack(lines, 2, 5) })
    assert.equal("2000\ntold\n", result.stdout:sub(-10))
  end)

  it("has what network specs need, and keeps the machine's files as they are", function()
    local result = run([[
      set -e
      ip link add near type veth peer name far
      tc qdisc add dev near clsact
      ip netns add inner
      mkdir -p /sys/fs/bpf/inner
      bpftool prog show
      echo changed > ]] .. uv.cwd() .. "/spec-vm-was-here")
    assert.equal("", result.stderr)
    assert.equal(0, result.exit)
    assert.is_nil(uv.fs_stat(uv.cwd() .. "/spec-vm-was-here"))
  end)

  it("fails when the command hangs", function()
    local result = run("echo begun; exec tail -f /dev/null", { VM_TIMEOUT = "60" })
    assert.equal("begun\n", result.stdout)
    assert.equal(124, result.exit)
    assert.matches("stopped after 60 seconds", result.stderr)
  end)

  it("fails when userland is not reached in time", function()
    local result = run("true", { VM_BOOT_TIMEOUT = "1" })
    assert.equal(124, result.exit)
    assert.matches("no userland after 1 seconds", result.stderr)
  end)

  it("fails and shows the console when the kernel panics", function()
    local result = run "echo c >/proc/sysrq-trigger"
    assert.equal(125, result.exit)
    assert.matches("ended without a word", result.stderr)
    assert.matches("sysrq", result.stderr)
  end)
end)

describe("The matrix", function()
  local told <const> = [[echo "spec/kernel/a_spec.lua    3 passed, 1 skipped  (0.1 s)"; ]]
  local row <const> = "\nspec/kernel/a_spec.lua +3, 1 skipped\n"
  local output

  before_each(function() output = os.tmpname() end)
  after_each(function() os.remove(output) end)

  local function printed()
    local file <close> = assert(io.open(output))
    return file:read "a"
  end

  local function matrix(command, ...)
    return process.start({ "lua5.4", "scripts/vm/matrix.lua", command, ... }, { output = output })
  end

  it("ends with a table", function()
    local ran = matrix(told .. "echo 3 passed, 0 failed, 1 skipped", kernel)
    assert.equal(0, ran:wait(240000), printed())
    assert.matches("\npassed +kernel " .. kernel .. row .. "all +3, 1 skipped\nexit status +0\n",
      printed())
  end)

  it("fails where a kernel came to no end, and tells how far it came", function()
    local ran = matrix(told .. "printf \"spec/kernel/b_spec.lua  \"; stty -F /dev/ttyS1 raw; "
      .. "echo o >/proc/sysrq-trigger; sleep 60", kernel)
    assert.equal(1, ran:wait(240000), printed())
    assert.matches(row .. "spec/kernel/b_spec.lua +not done\nall +not done\nexit status +125\n",
      printed())
  end)

  it("tells what it knows as it comes, and in its table when it is stopped", function()
    local ran = matrix(told .. "exec tail -f /dev/null", kernel, kernel)
    assert(process.eventually(function() return printed():find "a_spec" end, 240000))
    ran:signal "sigterm"
    assert.equal(1, ran:wait(60000), printed())
    assert.matches(row:gsub("\n$", " .*\n") .. "all +not done .*stopped by SIGTERM\n$", printed())
  end)
end)
