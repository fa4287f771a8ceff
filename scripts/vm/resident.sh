#!/bin/sh
# resident.sh PROGRAM...: in the test VM, copies programs and the libraries that they need into memory. Starting one over
# 9p takes a dozen round trips to this machine; specs start thousands.
for file in $(for program in "$@"; do command -v "$program"; ldd "$(command -v "$program")" 2>/dev/null; done |
	grep -o '/[^ :]*' | sort -u) /etc/ld.so.cache; do
	touch -c "$file"
done
