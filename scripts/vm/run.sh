#!/bin/sh
# run.sh SERIES [COMMAND...]: runs a command as root on a stock Debian kernel in qemu, in this directory of this machine's
# own root (changes stay in the VM's memory), and ends with its exit status. Without a command: a shell.
# VM_TIMEOUT seconds (default 900) for all, VM_BOOT_TIMEOUT (300) until userland; 124 when either is passed, 125 when
# the VM ended without a status (its console's last lines are shown). VM_MEMORY, VM_OPTIONS (more words for qemu),
# VM_INIT=systemd: the command runs under a systemd that is process 1.
# VM_DISK=FILE: what the VM writes goes to this disk image, made if it is not there, and stays over reboots of the VM: the
# command is run again after each, and the VM ends when it returns.
# VM_ACCEL (default tcg,thread=single: with threads newer kernels panic when programs are swapped under traffic), VM_CPUS, VM_CPU
# (default all that can be emulated but the fifth level of page tables, which costs a sixth of the time).
set -u

series=${1:?usage: run.sh SERIES [COMMAND...]}
shift
here=$(dirname "$0")
for tool in qemu-system-x86_64 busybox cpio; do
	command -v $tool >/dev/null || {
		echo "run.sh: $tool is missing: scripts/deps.sh vm installs what the test VM needs" >&2
		exit 125
	}
done
kernel=$("$here/kernel.sh" "$series") || exit 125

exchange=$(mktemp -d)
machine=
watcher=
finish() {
	[ -z "$watcher" ] || kill "$watcher" 2>/dev/null
	[ -z "$machine" ] || kill "$machine" 2>/dev/null
	rm -rf "$exchange"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

"$here/initramfs.sh" "$kernel" "$exchange/initramfs" || exit 125
reboots=-no-reboot
disk=
if [ -n "${VM_DISK:-}" ]; then
	[ -e "$VM_DISK" ] || { truncate -s 1G "$VM_DISK" && /sbin/mkfs.ext4 -q -F "$VM_DISK"; } || exit 125
	reboots="-action reboot=reset"
	disk="-drive file=$VM_DISK,format=raw,if=virtio"
fi
mkdir "$exchange/shared"
release=$(cat "$kernel/release")
realpath "$kernel/lib/modules/$release" >"$exchange/shared/modules"
pwd >"$exchange/shared/directory"
[ "${VM_INIT:-}" != systemd ] || : >"$exchange/shared/systemd"
if [ $# -gt 0 ]; then
	printf '%s\n' "$*" >"$exchange/shared/command"
else
	: >"$exchange/shared/shell"
fi

# no_timer_check: the kernel's test of its timer counts ticks that a busy machine does not give it, and then it hangs
# ("8254 timer not connected to IO-APIC").
boot() {
	# shellcheck disable=SC2086
	exec qemu-system-x86_64 -machine pc -cpu "${VM_CPU:-max,-la57}" -accel "${VM_ACCEL:-tcg,thread=single}" \
		-smp "${VM_CPUS:-2}" -m "${VM_MEMORY:-1024}" -nodefaults -no-user-config -display none $reboots \
		-kernel "$kernel/vmlinuz" -initrd "$exchange/initramfs" \
		-append "console=ttyS0 panic=-1 quiet loglevel=4 mitigations=off no_timer_check" \
		-chardev "file,id=console,path=$exchange/console" -serial chardev:console \
		-chardev stdio,id=terminal,signal=off -serial chardev:terminal \
		-virtfs local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap \
		-virtfs "local,path=$exchange/shared,mount_tag=exchange,security_model=none,multidevs=remap" \
		$disk ${VM_OPTIONS:-}
}

if [ $# -eq 0 ]; then
	saved=$(stty -g 2>/dev/null) && stty raw -echo
	(boot)
	[ -z "$saved" ] || stty "$saved"
	exit "$(cat "$exchange/shared/status" 2>/dev/null || echo 125)"
fi

boot </dev/null &
machine=$!
# Polls, because the VM's only words are files; ends with the machine.
(
	seconds=0
	while kill -0 $machine 2>/dev/null; do
		if [ $seconds -ge "${VM_BOOT_TIMEOUT:-300}" ] && [ ! -e "$exchange/shared/started" ]; then
			echo "run.sh: no userland after $seconds seconds" >"$exchange/late"
			kill -KILL $machine
		elif [ $seconds -ge "${VM_TIMEOUT:-900}" ]; then
			echo "run.sh: stopped after $seconds seconds" >"$exchange/late"
			kill -KILL $machine
		fi
		sleep 1
		seconds=$((seconds + 1))
	done
) &
watcher=$!
wait $machine
machine=

if [ -e "$exchange/late" ]; then
	status=124
elif [ -s "$exchange/shared/status" ]; then
	exit "$(cat "$exchange/shared/status")"
else
	echo "run.sh: the VM ended without a word" >"$exchange/late"
	status=125
fi
{
	cat "$exchange/late"
	echo "run.sh: the last of its console:"
	tail -n 80 "$exchange/console" 2>/dev/null
} >&2
exit $status
