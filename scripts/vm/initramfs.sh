#!/bin/sh
# initramfs.sh KERNEL_DIRECTORY OUTPUT: the smallest initramfs that can mount this machine's root over 9p.
set -eu

kernel=$1
output=$2
here=$(dirname "$0")
release=$(cat "$kernel/release")
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

mkdir -p "$tree/bin" "$tree/modules" "$tree/proc" "$tree/sys" "$tree/dev" "$tree/host" "$tree/over" "$tree/root"
cp /bin/busybox "$tree/bin/busybox"
ln -s busybox "$tree/bin/sh"
cp "$here/init" "$here/inside" "$tree/"
chmod 755 "$tree/init"

modules="virtio_pci 9pnet_virtio 9p overlay"
[ -z "${VM_DISK:-}" ] || modules="$modules virtio_blk crc32c_generic ext4"
# In the order of insmod, what is built in left out (newer packages do not say what is). Unpacked: busybox cannot.
for module in $modules; do
	/sbin/modprobe -d "$kernel" -S "$release" --show-depends "$module" 2>/dev/null || true
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r file; do
	name=$(basename "$file")
	case $name in
	*.xz) xz -dc "$file" >"$tree/modules/${name%.xz}" ;;
	*.zst) zstd -qdc "$file" >"$tree/modules/${name%.zst}" ;;
	*) cp "$file" "$tree/modules/" ;;
	esac
	name=${name%.xz}
	echo "${name%.zst}" >>"$tree/modules/order"
done
[ -s "$tree/modules/order" ] || : >"$tree/modules/order"

(cd "$tree" && find . | cpio --quiet -o -H newc -R 0:0 | gzip -1) >"$output.new"
mv "$output.new" "$output"
