-- A machine that loses its power, twice: what is on its disk then is all that bpfd has. What is
-- persisted and declared runs again, and packets meet it.
local machine = require "spec.support.machine"

-- Run again after each boot. Each step prints one line `sSTAGE_NAME: what was seen`. The files of
-- programs.d are the administrator's, and so is their `sync`; nothing else of it is ever called.
local script <const> = [[
set -u
stage=$(cat /etc/stage 2>/dev/null || echo 0)
stage=$((stage + 1)); echo $stage >/etc/stage
say() { echo "s${stage}_$1: $2"; }
objects=$PWD/build/examples
export PATH=$PWD/build:$PATH
say boot "$(cat /proc/sys/kernel/random/boot_id)"
say nothing "$(bpftool prog show | wc -l)"

start() {
  bpfd 2>>/var/log/bpfd & daemon=$!
  until bpfctl list >/dev/null 2>&1; do sleep 1; done
}
load() { bpfctl -q load-from-file -p "$@"; }
count() {
  bpftool map dump pinned "/run/bpfd/fs/maps/$1/xdp_stats_map" |
    awk '/rx_packets/ { sum += $2 } END { print sum + 0 }'
}
packets() { lua5.4 spec/support/send_packets.lua 127.0.0.1 9 20 >/dev/null; }
counted() {
  before=$(count $1); packets; after=$(count $1)
  [ $((after - before)) -ge 20 ] && echo all || echo $((after - before))
}
names() { bpfctl list | awk 'NR > 1 { print $2 }' | sort | paste -sd' '; }
states() {
  bpfctl status -o json | lua5.4 -e '
    local status = require("dkjson").decode(io.read "a")
    for _, list in ipairs { status.declarations, status.persisted } do
      for _, one in ipairs(list) do io.write(one.name, "=", one.state, " ") end
    end'
}
owners() {
  bpfctl list -q -p xdp | while read -r id; do
    bpfctl get $id | awk '/Map Owner ID/ { print $4 }'
  done | sort | paste -sd' '
}
add_late() { ip link add late type veth peer name other; }
cut_power() { echo b >/proc/sysrq-trigger; sleep 600; }

case $stage in
1)
  mkdir -p -m 755 /etc/bpfd/programs.d
  cat >/etc/bpfd/programs.d/edge.lua <<LUA
program "edge" { path = "$objects/accept-all.o", name = "accept",
  attach = { type = "tc", iface = "lo", direction = "ingress", priority = 10 } }
program "later" { path = "$objects/xdp_pass_kern.o", name = "pass",
  attach = { type = "xdp", iface = "late", priority = 90 } }
LUA
  echo 'program "broken" {' >/etc/bpfd/programs.d/broken.lua
  sync
  start
  cp $objects/go-xdp-counter/bpf_bpfel.o /var/tmp/stats.o
  first=$(load /var/tmp/stats.o -n xdp_stats --persist -m place=first xdp -i lo -p 50)
  load /var/tmp/stats.o -n xdp_stats --persist --map-owner-id $first xdp -i lo -p 60 >/dev/null
  load $objects/xdp_pass_kern.o -n pass xdp -i lo -p 70 >/dev/null
  load $objects/kprobe.o -n calls --persist kprobe -f try_to_wake_up >/dev/null
  say loaded "$(names)"
  say first "$first"
  load $objects/sys_enter_openat.o -n sys_enter_openat --persist \
    tracepoint -t syscalls/sys_enter_openat >/dev/null
  cut_power ;;
2)
  rm -f /var/tmp/stats.o
  start
  say loaded "$(names)"
  say states "$(states)"
  first=$(bpfctl list -m place=first -q)
  say counted "$(counted $first)"
  say owners "$(owners)"
  say first "$first"
  add_late
  until names | grep -q pass; do sleep 1; done
  say states_then "$(states)"
  before=$(bpfctl -q list | paste -sd' ')
  kill $daemon; wait $daemon; start
  say restarted "$([ "$before" = "$(bpfctl -q list | paste -sd' ')" ] && echo the same)"
  bpfctl unload "$(bpfctl list -q -p tracepoint)"
  cut_power ;;
3)
  start
  say loaded "$(names)"
  say counted "$(counted $(bpfctl list -m place=first -q))"
  sed 's/^/log: /' /var/log/bpfd ;;
esac
]]

describe("a machine that loses its power", function()
  local session, seen

  setup(function()
    session = machine.run(script, { seconds = 1200, reboots = true, env = { VM_CPUS = "1" } })
    seen = session.seen
  end)

  local function check(name, expected) session:check(name, expected) end

  it("has booted three times", function()
    check("s1_loaded", "accept calls pass xdp_stats xdp_stats")
    assert.truthy(seen.s3_boot, session.text)
    assert.not_equal(seen.s1_boot, seen.s2_boot)
    assert.not_equal(seen.s2_boot, seen.s3_boot)
    check("s2_nothing", seen.s1_nothing)
  end)

  it("runs what was persisted before the last answer, and what is declared", function()
    check("s2_loaded", "accept calls sys_enter_openat xdp_stats xdp_stats")
    check("s2_states", "broken.lua=failed edge.lua=waiting xdp_stats=running xdp_stats=running \z
      calls=running sys_enter_openat=running ")
    check("s2_counted", "all")
    check("s2_owners", seen.s2_first .. " None")
  end)

  it("loads what waits when its interface has come, and nothing twice", function()
    check("s2_states_then", "broken.lua=failed edge.lua=applied xdp_stats=running \z
      xdp_stats=running calls=running sys_enter_openat=running ")
    check("s2_restarted", "the same")
  end)

  it("does not run again what was unloaded before the power went", function()
    check("s3_loaded", "accept calls xdp_stats xdp_stats")
    check("s3_counted", "all")
  end)
end)
