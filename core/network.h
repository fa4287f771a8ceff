/*
 * Interfaces and what runs on them, in the calling thread's network namespace. Functions return 0
 * or -errno, lists are malloc'ed.
 */
#ifndef CORE_NETWORK_H
#define CORE_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <net/if.h>
#include <linux/types.h>

struct interface {
	int index;
	char name[IF_NAMESIZE];
	char kind[16]; /* "veth", "bridge" ...; empty for plain devices */
	__u32 mtu;
	bool is_up;
};

int network__interfaces(struct interface **interfaces, size_t *count);

/*
 * Tells an interface from all others that have had its number or its name, for as long as the
 * machine runs: the inode number of its directory in sysfs, which goes along with renames
 * (fs/kernfs/dir.c hands these numbers out in a cycle of 2^63).
 */
int network__interface_identity(int ifindex, __u64 *identity);

/* Tells namespaces apart for as long as the machine runs. */
int network__namespace_cookie(__u64 *cookie);
/* The calling thread; the descriptor is a namespace's, as /run/netns/NAME opened. */
int network__enter(int fd);

enum xdp_how { XDP_NONE, XDP_NATIVE, XDP_GENERIC, XDP_HARDWARE };

/* The program that runs on XDP there, natively if several do. */
int network__xdp(int ifindex, __u32 *program_id, enum xdp_how *how);

#define TCX_PROGRAMS_MAX 64

/* Ids of what runs under TCX there, in order. -EOPNOTSUPP: a kernel without. */
int network__tcx(int ifindex, bool is_egress, __u32 *program_ids, __u32 *count);

#endif
