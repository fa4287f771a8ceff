/* /proc/self/fdinfo: what the kernel tells of a BPF descriptor there and nowhere else. */
#ifndef CORE_FDINFO_H
#define CORE_FDINFO_H

#include <linux/types.h>

/* The number on the line of `key`; -ENOENT without such a line. */
int fdinfo__number(int fd, const char *key, __u64 *value);

enum bpf_kind {
	BPF_KIND_NONE,
	BPF_KIND_PROGRAM,
	BPF_KIND_MAP,
	BPF_KIND_LINK,
};

/* What kind of BPF object is behind the descriptor, or -errno: bpf(2) answers for any kind without
 * a word. */
int fdinfo__kind(int fd);

#endif
