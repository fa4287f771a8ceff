-- A process with a root directory and a mount namespace of its own, and its own C library in it.
local uv = require "luv"
local process = require "spec.support.process"

local container = {}
container.__index = container

local made = 0

-- Copies lua5.4 and what it is linked with to where no file of ours is; only the library cache
-- tells where. Then waits for numbers and calls clock() that often.
local SETUP <const> = [[
set -e
mount -t tmpfs tmpfs "$1"
cd "$1"
mkdir -p etc inside sbin
cp "$(readlink -f "$(command -v lua5.4)")" sbin/lua
ldd sbin/lua | while read -r name arrow path rest; do
  case $name in
  /*) mkdir -p ".${name%/*}" && cp -L "$name" ".$name" ;;
  *) [ "$arrow" != "=>" ] || cp -L "$path" "inside/$name" ;;
  esac
done
echo /inside > etc/ld.so.conf
/sbin/ldconfig -r .
ln -s /inside/libc.so.6 linked
echo $$ > pid
exec chroot . /sbin/lua -e '
  for line in io.lines() do
    for _ = 1, tonumber(line) do os.clock() end
    local done <close> = io.open("/done", "a")
    done:write(line, "\n")
  end'
]]

local function read(path)
  local file <close> = io.open(path)
  return file and file:read "a"
end

---@return table container  `pid` is its process
function container.start()
  made = made + 1
  local self = setmetatable({}, container)
  self.directory = ("/tmp/bpfd-spec-%d-container-%d"):format(uv.os_getpid(), made)
  assert(uv.fs_mkdir(self.directory, tonumber("755", 8)))
  local errors = self.directory .. ".log"
  local output = assert(uv.fs_open(errors, "w", tonumber("600", 8)))
  self.input = uv.new_pipe()
  self.process, self.pid = uv.spawn("unshare", {
    args = { "--mount", "sh", "-c", SETUP, "sh", self.directory },
    stdio = { self.input, output, output },
  }, function() self.ended = true end)
  uv.fs_close(output)
  local root = ("/proc/%d/root"):format(self.pid)
  local ready = process.eventually(function()
    uv.run "nowait"
    return self.ended or read(root .. "/pid") and read(root .. self.directory .. "/pid") == nil
  end)
  local said = read(errors)
  os.remove(errors)
  if not ready or self.ended then error("no container: " .. tostring(said)) end
  self.done = ""
  return self
end

---Lets it call clock() this many times.
function container:trigger(times)
  self.input:write(times .. "\n")
  self.done = self.done .. times .. "\n"
  local path = ("/proc/%d/root/done"):format(self.pid)
  assert(process.eventually(function()
    uv.run "nowait"
    return read(path) == self.done
  end), "the container does not answer")
end

function container:close()
  self.input:close()
  assert(process.eventually(function()
    uv.run "nowait"
    return self.ended
  end), "the container does not end")
  self.process:close()
  uv.run "nowait"
  assert(uv.fs_rmdir(self.directory))
end
container.__close = container.close

return container
