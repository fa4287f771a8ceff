#!/bin/sh
# setup.sh install | uninstall | reinstall | examples: bpfd as a systemd service, from this checkout.
# PREFIX (/usr/local) is where programs and libraries go.
set -eu

cd "$(dirname "$0")/.."
prefix=${PREFIX:-/usr/local}
units=/etc/systemd/system
tmpfiles=/etc/tmpfiles.d/bpfd.conf
installed="bpfd.service bpfd.socket run-bpfd-fs.mount"

fail() {
	echo "setup.sh: $*" >&2
	exit 1
}

# Without systemd as process 1 (a container, a chroot) files are laid down and nothing is started.
runs_systemd() {
	[ -d /run/systemd/system ]
}

filled_in() {
	sed "s|@PREFIX@|$prefix|g" "scripts/systemd/$1"
}

lay_down_examples() {
	filled_in bpfd.tmpfiles >"$tmpfiles"
	rm -rf /run/bpfd/examples
	systemd-tmpfiles --create "$tmpfiles"
}

install_service() {
	command -v systemd-tmpfiles >/dev/null || fail "systemd is missing; \`make install\` installs without a service"
	scripts/deps.sh build
	make --no-print-directory -j"$(nproc)" all
	make --no-print-directory install PREFIX="$prefix" >/dev/null
	getent group bpfd >/dev/null || groupadd --system bpfd
	getent passwd bpfd >/dev/null ||
		useradd --system --gid bpfd --home-dir /run/bpfd --no-create-home --shell /usr/sbin/nologin bpfd
	install -d -m 0755 /etc/bpfd /etc/bpfd/programs.d "$units" "$(dirname "$tmpfiles")"
	for unit in $installed; do
		filled_in "$unit" >"$units/$unit"
	done
	lay_down_examples
	if ! runs_systemd; then
		echo "setup.sh: systemd does not run here: installed, not started"
		return
	fi
	systemctl daemon-reload
	systemctl enable --quiet --now bpfd.socket bpfd.service
	echo "bpfd runs. To use bpfctl without sudo: sudo usermod -a -G bpfd \$USER, then log in again."
}

# Programs go by bpfd itself, which takes away its own qdiscs, links and pins and nobody else's. One that was stopped is
# started for it: filters of a clsact qdisc would outlive their pins.
unload_programs() {
	[ -x "$prefix/bin/bpfctl" ] || return 0
	if runs_systemd && [ -e "$units/bpfd.service" ]; then systemctl start bpfd.service || true; fi
	[ -S /run/bpfd/bpfd.sock ] || return 0
	if ! ids=$("$prefix/bin/bpfctl" -q list); then
		echo "setup.sh: bpfd does not answer: what it has loaded is not unloaded in order" >&2
		return 0
	fi
	# shellcheck disable=SC2086 # a list of numbers
	[ -z "$ids" ] || "$prefix/bin/bpfctl" unload $ids
}

remove_service() {
	if runs_systemd; then
		systemctl disable --quiet --now bpfd.service bpfd.socket 2>/dev/null || true
	fi
	for unit in $installed; do
		rm -f "$units/$unit"
	done
	rm -f "$tmpfiles"
	if runs_systemd; then systemctl daemon-reload; fi
	make --no-print-directory uninstall PREFIX="$prefix" >/dev/null
}

uninstall_service() {
	unload_programs
	remove_service
	if mountpoint -q /run/bpfd/fs; then umount /run/bpfd/fs; fi
	rm -rf --one-file-system /run/bpfd /var/lib/bpfd
	rmdir /etc/bpfd/programs.d 2>/dev/null || true
	if [ -d /etc/bpfd ] && ! rmdir /etc/bpfd 2>/dev/null; then
		echo "setup.sh: /etc/bpfd holds files of yours and stays"
	fi
	if getent passwd bpfd >/dev/null; then userdel bpfd; fi
	if getent group bpfd >/dev/null; then groupdel bpfd; fi
}

[ "$(id -u)" = 0 ] || fail "must be run as root: sudo scripts/setup.sh ${1:-install}"
case ${1:-} in
install) install_service ;;
uninstall) uninstall_service ;;
reinstall)
	# what is loaded keeps running meanwhile, and the new daemon takes it over
	remove_service
	install_service
	;;
examples) lay_down_examples ;;
*)
	echo "usage: scripts/setup.sh install | uninstall | reinstall | examples" >&2
	exit 64
	;;
esac
