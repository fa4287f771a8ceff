-- bpfd as a systemd service, where process 1 is systemd: scripts/setup.sh from end to end.
local machine = require "spec.support.machine"

local SECONDS <const> = 1800 -- emulated, and this machine may have other work

-- Each step prints one line `NAME: what was seen`. Packets come over a veth pair and are counted by
-- the chain's programs in their maps.
local script <const> = [[
set -u
say() { echo "$1: $2"; }
count() {
  bpftool map dump pinned "/run/bpfd/fs/maps/$1/xdp_stats_map" |
    awk '/rx_packets/ { sum += $2 } END { print sum + 0 }'
}
packets() { ip netns exec far lua5.4 spec/support/send_packets.lua 10.9.0.1 9 20 >/dev/null; }
residue() {
  for place in /etc/bpfd /run/bpfd /var/lib/bpfd /etc/systemd/system/bpfd.service \
      /etc/systemd/system/bpfd.socket /etc/systemd/system/run-bpfd-fs.mount \
      /etc/tmpfiles.d/bpfd.conf /opt/bpfd/sbin/bpfd /opt/bpfd/bin/bpfctl /opt/bpfd/lib/lua/5.4/bpf \
      /opt/bpfd/share/bpfd; do
    [ ! -e $place ] || echo $place
  done
  getent passwd bpfd; getent group bpfd
  ip -d link show near | grep -o 'prog/xdp id [0-9]*'
  tc qdisc show dev near | grep -v noqueue
}
export PREFIX=/opt/bpfd PATH=/opt/bpfd/bin:$PATH
ip netns add far
ip link add near type veth peer name near netns far
ip addr add 10.9.0.1/24 dev near; ip link set near up
ip -n far addr add 10.9.0.2/24 dev near; ip -n far link set near up
# others' qdiscs: where bpfd never is, and where it has a chain beside their filter
tc qdisc add dev lo clsact
ip link add shared type veth peer name shared-peer
tc qdisc add dev shared clsact
tc filter add dev shared ingress prio 7 matchall action pass

scripts/setup.sh install >/tmp/install.log 2>&1; say install "$?"
say active "$(systemctl is-active bpfd.service bpfd.socket run-bpfd-fs.mount | paste -sd' ')"
say socket "$(stat -c '%a %U:%G' /run/bpfd/bpfd.sock)"
cd /run/bpfd/examples
say examples "$(stat -c '%a %U:%G' . xdp_pass_kern.o | paste -sd' ')"
say kept "$(journalctl -u bpfd -o cat | grep -o 'capabilities kept')"
say security "$(systemd-analyze security --no-pager bpfd.service | tail -n 1)"

load() { bpfctl -q load-from-file -p "$@"; }
id=$(load go-xdp-counter/bpf_bpfel.o -n xdp_stats xdp -i near -p 50)
load accept-all.o -n accept tc -d ingress -i near -p 40 >/dev/null
load accept-all.o -n accept tc -d ingress -i shared -p 40 >/dev/null
cd "$OLDPWD"
say loaded "$(bpfctl -q list | wc -l)"
su -s /bin/sh -c "/opt/bpfd/bin/bpfctl list" nobody >/tmp/nobody 2>&1; say nobody "$?"
say audit "$(journalctl -u bpfd -p notice..notice -o cat | grep -c 'load result=done uid=0')"
before=$(count $id); packets; say counts "$(( $(count $id) >= before + 20 ))"

systemctl stop bpfd.socket bpfd.service
say stopped "$(systemctl is-active bpfd.service)"
before=$(count $id); packets; say counts_when_stopped "$(( $(count $id) >= before + 20 ))"
say map_pin_path "$(ls -d /run/bpfd/fs/maps/$id)"
say pins "$(bpftool map show pinned /run/bpfd/fs/maps/$id/xdp_stats_map >/dev/null && echo opens)"

bpfctl list >/tmp/none 2>&1; say no_daemon "$?"
systemctl start bpfd.socket
say activated "$(bpfctl -q list | head -n 1)"
say adopted "$(( $(bpfctl -q list | head -n 1) == id ))"

pid=$(systemctl show -p MainPID --value bpfd)
kill -KILL $pid
for i in 1 2 3 4 5 6 7 8 9 10; do systemctl is-active -q bpfd && break; sleep 1; done
say after_kill "$(bpfctl -q list | head -n 1)"
scripts/setup.sh reinstall >/tmp/reinstall.log 2>&1; say reinstall "$?"
say after_reinstall "$(bpfctl -q list | head -n 1)"
before=$(count $id); packets; say counts_in_the_end "$(( $(count $id) >= before + 20 ))"

systemctl stop bpfd.socket bpfd.service # what it has loaded goes all the same
scripts/setup.sh uninstall >/tmp/uninstall.log 2>&1; say uninstall "$?"
say residue "$(residue | paste -sd' ')"
say others_qdisc "$(tc qdisc show dev lo | grep -o clsact)"
say others_filter "$(tc filter show dev shared ingress | grep -c matchall)"
say own_filters "$(tc filter show dev shared ingress | grep -c bpf)"
cat /tmp/install.log /tmp/uninstall.log | sed 's/^/log: /'
]]

describe("bpfd as a service", function()
  local session, seen

  setup(function()
    session = machine.run(script, { seconds = SECONDS, env = { VM_INIT = "systemd" } })
    seen = session.seen
  end)

  local function check(name, expected) session:check(name, expected) end

  it("is installed and started by scripts/setup.sh", function()
    check("install", "0")
    check("active", "active active active")
    check("kept", "capabilities kept")
    check("audit", "3")
  end)

  it("has a socket for group bpfd, and the examples", function()
    check("socket", "660 root:bpfd")
    check("examples", "750 bpfd:bpfd 640 bpfd:bpfd")
    check("nobody", "77")
  end)

  it("runs a chain that packets meet, also while it is stopped", function()
    check("loaded", "3")
    check("counts", "1")
    check("stopped", "inactive")
    check("counts_when_stopped", "1")
    check("no_daemon", "69")
  end)

  it("keeps its map pins where everybody sees them", function()
    assert.matches("^/run/bpfd/fs/maps/%d+$", seen.map_pin_path)
    check("pins", "opens")
  end)

  it("is started by who asks, and takes over what runs", function()
    check("adopted", "1")
    check("after_kill", seen.activated)
    check("reinstall", "0")
    check("after_reinstall", seen.activated)
    check("counts_in_the_end", "1")
  end)

  it("leaves nothing behind when it is uninstalled, and others' qdiscs alone", function()
    check("uninstall", "0")
    check("residue", "")
    check("others_qdisc", "clsact")
    assert.not_equal("0", seen.others_filter)
    check("own_filters", "0")
  end)
end)
