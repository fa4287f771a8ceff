-- A machine that is installed by scripts/setup.sh and rebooted by systemd, in good order: what was
-- declared and persisted runs again before anybody has asked for it.
local machine = require "spec.support.machine"

local SECONDS <const> = 1800

-- Run again after the reboot. Each step prints one line `sSTAGE_NAME: what was seen`.
local script <const> = [[
set -u
stage=$(cat /etc/stage 2>/dev/null || echo 0)
stage=$((stage + 1)); echo $stage >/etc/stage
say() { echo "s${stage}_$1: $2"; }
export PREFIX=/opt/bpfd PATH=/opt/bpfd/bin:$PATH
examples=/run/bpfd/examples
load() { bpfctl -q load-from-file -p "$@"; }
names() { bpfctl list | awk 'NR > 1 { print $2 }' | sort | paste -sd' '; }
count() {
  bpftool map dump pinned "/run/bpfd/fs/maps/$1/xdp_stats_map" |
    awk '/rx_packets/ { sum += $2 } END { print sum + 0 }'
}
counted() {
  before=$(count $1); lua5.4 spec/support/send_packets.lua 127.0.0.1 9 20 >/dev/null
  after=$(count $1)
  [ $((after - before)) -ge 20 ] && echo all || echo $((after - before))
}

case $stage in
1)
  scripts/setup.sh install >/tmp/install.log 2>&1; say install "$?"
  cat >/etc/bpfd/programs.d/edge.lua <<LUA
program "edge" { path = "$examples/accept-all.o", name = "accept",
  attach = { type = "tc", iface = "lo", direction = "ingress", priority = 10 } }
LUA
  bpfctl reload; say reload "$?"
  first=$(load $examples/go-xdp-counter/bpf_bpfel.o -n xdp_stats --persist -m place=first \
    xdp -i lo -p 50)
  load $examples/xdp_pass_kern.o -n pass xdp -i lo -p 70 >/dev/null
  until names | grep -q accept; do sleep 1; done
  say loaded "$(names)"
  say counted "$(counted $first)"
  say boot "$(cat /proc/sys/kernel/random/boot_id)"
  sync # the disk lies below an overlay, and was found unwritten after systemd's own shutdown
  systemctl reboot; sleep 600 ;;
2)
  say boot "$(cat /proc/sys/kernel/random/boot_id)"
  say socket "$(systemctl is-active bpfd.socket)"
  say examples "$(stat -c '%a %U:%G' $examples $examples/xdp_pass_kern.o | paste -sd' ')"
  # as multi-user.target would: this machine's other services are not for an emulated one
  wanted=$(systemctl show -p Wants -p Requires --value multi-user.target | tr ' ' '\n' | grep bpfd)
  say wanted "$wanted"
  systemctl start $wanted; say start "$?"
  say loaded "$(names)"
  say status "$(bpfctl status | grep -c edge.lua)"
  say counted "$(counted "$(bpfctl list -m place=first -q)")"
  before=$(bpfctl list -q | paste -sd' ')
  systemctl restart bpfd
  say restarted "$([ "$before" = "$(bpfctl list -q | paste -sd' ')" ] && echo the same)"
  journalctl -b -u bpfd -o cat | sed 's/^/log: /' ;;
esac
]]

describe("a machine that is rebooted", function()
  local session, seen

  setup(function()
    session = machine.run(script,
      { seconds = SECONDS, reboots = true, env = { VM_INIT = "systemd" } })
    seen = session.seen
  end)

  local function check(name, expected) session:check(name, expected) end

  it("has run bpfd before, and has booted twice", function()
    check("s1_install", "0")
    check("s1_reload", "0")
    check("s1_loaded", "accept pass xdp_stats")
    check("s1_counted", "all")
    assert.truthy(seen.s2_boot, session.text)
    assert.not_equal(seen.s1_boot, seen.s2_boot)
  end)

  it("has its socket, its examples and its service again", function()
    check("s2_socket", "active")
    check("s2_examples", "750 bpfd:bpfd 640 bpfd:bpfd")
    check("s2_wanted", "bpfd.service")
    check("s2_start", "0")
  end)

  it("runs what is declared and what was persisted, once, and nothing else", function()
    check("s2_loaded", "accept xdp_stats")
    check("s2_status", "1")
    check("s2_counted", "all")
    check("s2_restarted", "the same")
  end)
end)
