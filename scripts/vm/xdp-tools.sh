#!/bin/sh
# xdp-tools.sh [SUITE]: fetches a Debian suite's xdp-tools (trixie, forky) with the libraries that they want, and prints the
# path of an xdp-loader that runs with them on this machine. Nothing is installed; the second call is free.
set -eu

suite=${1:-trixie}
cache=${VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/bpfd/vm}
tools=$cache/xdp-tools-$suite
if [ -e "$tools/xdp-loader" ]; then
	echo "$tools/xdp-loader"
	exit 0
fi

unavailable() {
	echo "xdp-tools.sh: $*" >&2
	exit 69
}

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
suites=$suite
. "$(dirname "$0")/archive.sh"

packages="xdp-tools libxdp1 libbpf1 libelf1t64 zlib1g libpcap0.8t64 libc6 libzstd1 libdbus-1-3 libsystemd0 libcap2
	liblzma5 liblz4-1 libgcrypt20 libgpg-error0"
rm -rf "$tools.new"
mkdir -p "$tools.new/packages"
(cd "$tools.new/packages" && apt apt-get download $(printf "%s/$suite " $packages) >"$private/download.log" 2>&1) ||
	unavailable "cannot fetch xdp-tools of $suite (apt's words: $private/download.log)"
for package in "$tools.new"/packages/*.deb; do
	dpkg-deb -x "$package" "$tools.new/root"
done
rm -rf "$tools.new/packages"
# Another libc than this machine's: its own loader finds the rest.
cat >"$tools.new/xdp-loader" <<END
#!/bin/sh
root=$tools/root
for libraries in \$root/usr/lib/*-linux-gnu; do
	export LIBXDP_OBJECT_PATH="\$libraries/bpf"
	exec "\$libraries"/ld-linux*.so.* --library-path "\$libraries" "\$root/usr/sbin/xdp-loader" "\$@"
done
END
chmod 755 "$tools.new/xdp-loader"
rm -rf "$tools"
mv "$tools.new" "$tools"
echo "$tools/xdp-loader"
