#!/bin/sh
# Installs what is missing; silent when nothing is. Groups: build, demo, test, fuzz,
# valgrind, bench, vm.
# shellcheck disable=SC2086 # lists of words, split on purpose
set -eu

build="gcc make pkg-config clang libc6-dev linux-libc-dev libbpf-dev libelf-dev libnl-3-dev libnl-route-3-dev
libsqlite3-dev libcurl4-openssl-dev libarchive-dev libssl-dev libmd-dev libjson-c-dev libsodium-dev libcapstone-dev libedit-dev liblua5.4-dev lua5.4 lua-luv lua-lpeg"
# What programs with clang's sanitizers run on, of its own version where that is installed already.
version=$(clang -dumpversion 2>/dev/null) || version=
fuzz="$build util-linux libclang-rt-${version:+${version%%.*}-}dev"
demo="$build iproute2 util-linux lua-dkjson"
machine="qemu-system-x86 busybox-static cpio kmod xz-utils debian-archive-keyring xdp-tools"
test="$demo $fuzz lua-busted lua-check clang-format bpftool docker-registry skopeo umoci zstd apache2-utils openssl luarocks socat systemd $machine"
valgrind="$build valgrind libc6-dbg"
bench="$test"
vm="$test"

[ $# -gt 0 ] || set -- build
wanted=
for group in "$@"; do
	case $group in
	build) wanted="$wanted $build" ;;
	demo) wanted="$wanted $demo" ;;
	test) wanted="$wanted $test" ;;
	fuzz) wanted="$wanted $fuzz" ;;
	valgrind) wanted="$wanted $valgrind" ;;
	bench) wanted="$wanted $bench" ;;
	vm) wanted="$wanted $vm" ;;
	*)
		echo "deps.sh: unknown group '$group'; there are build, demo, test, fuzz, valgrind, bench and vm" >&2
		exit 64
		;;
	esac
done
wanted=$(printf '%s\n' $wanted | sort -u)

list() {
	printf '  %s\n' $1 >&2
}

# Without dpkg there is nobody to ask what is missing: if the tools answer, all is taken to be well.
if ! command -v dpkg-query >/dev/null 2>&1; then
	command -v clang >/dev/null && command -v lua5.4 >/dev/null && pkg-config --exists libbpf && exit 0
	echo "deps.sh: only Debian and Ubuntu are served here. Install what your distribution calls these:" >&2
	list "$wanted"
	exit 1
fi

missing=
for package in $wanted; do
	state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) || state=
	[ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
	echo "deps.sh: missing, and to be installed by root:" >&2
	list "$missing"
	exit 1
fi

echo "installing:$missing" >&2
export DEBIAN_FRONTEND=noninteractive
# The package lists of a fresh machine are empty, or name versions that are gone.
install() {
	apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 $missing >"$1" 2>&1
}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! install "$log" && ! { apt-get update -qq && install "$log"; }; then
	cat "$log" >&2
	exit 1
fi
