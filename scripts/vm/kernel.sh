#!/bin/sh
# kernel.sh SERIES: fetches Debian's newest kernel of a series (6.1, 6.12, 7) through this machine's own package
# sources and prints the directory with vmlinuz, modules/ and release. Nothing is installed; the second call is free.
# Exit status 69: it cannot be had here, for want of a network, say.
set -eu

series=${1:?usage: kernel.sh SERIES}
cache=${VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/bpfd/vm}
kernel=$cache/linux-$series
if [ -e "$kernel/release" ]; then
	echo "$kernel"
	exit 0
fi

fail() {
	echo "kernel.sh: $*" >&2
	exit 1
}

unavailable() {
	echo "kernel.sh: $*" >&2
	exit 69
}

[ "$(uname -m)" = x86_64 ] || unavailable "the test VM is an x86-64 machine that runs this machine's programs; they are for $(uname -m)"
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [ -e "$kernel/release" ]; then
	echo "$kernel"
	exit 0
fi

suites="bookworm bookworm-backports trixie trixie-backports"
. "$(dirname "$0")/archive.sh"
pattern="^linux-image-$(echo "$series" | sed 's/\./\\./g')\\.[^ ]*-amd64\$"
image=$(apt apt-cache pkgnames linux-image- | grep -E "$pattern" |
	grep -vE -- '-(cloud|rt)-amd64$' | sort -V | tail -n 1)
[ -n "$image" ] || unavailable "no kernel of series $series in the archive, or no way to it (apt's words: $private/update.log)"
release=${image#linux-image-}

# From 7 on the image package is empty and the files come with two others.
packages=$(apt apt-cache pkgnames "linux-" |
	grep -Fx -e "$image" -e "linux-binary-$release" -e "linux-modules-$release")
(cd "$private/archives" && apt apt-get download $packages >"$private/download.log" 2>&1) ||
	unavailable "cannot fetch $packages (apt's words: $private/download.log)"

rm -rf "$kernel.new"
mkdir -p "$kernel.new/root"
for package in $packages; do
	dpkg-deb -x "$private/archives/${package}_"*.deb "$kernel.new/root"
done
rm -f "$private"/archives/*.deb
for place in "boot/vmlinuz-$release" "usr/lib/modules/$release/vmlinuz"; do
	[ ! -e "$kernel.new/root/$place" ] || mv "$kernel.new/root/$place" "$kernel.new/vmlinuz"
done
[ -e "$kernel.new/vmlinuz" ] || fail "$packages: no kernel image inside"
mkdir -p "$kernel.new/lib/modules"
for place in "lib/modules/$release" "usr/lib/modules/$release"; do
	[ ! -d "$kernel.new/root/$place/kernel" ] || mv "$kernel.new/root/$place" "$kernel.new/lib/modules/"
done
[ -d "$kernel.new/lib/modules/$release" ] || fail "$packages: no modules inside"
rm -rf "$kernel.new/root"
/sbin/depmod -b "$kernel.new" "$release" 2>/dev/null || fail "depmod failed"
echo "$release" >"$kernel.new/release"
rm -rf "$kernel"
mv "$kernel.new" "$kernel"
echo "$kernel"
