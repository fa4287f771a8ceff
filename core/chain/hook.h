/*
 * Where chains attach. Every change of what runs is one operation of the kernel: a packet meets the
 * old chain or the new one, never none and never both. All act on the calling thread's network
 * namespace.
 */
#ifndef CORE_CHAIN_HOOK_H
#define CORE_CHAIN_HOOK_H

#include <stdbool.h>
#include <linux/types.h>

#include "core/diagnostic.h"

enum xdp_mode { XDP_MODE_AUTO, XDP_MODE_NATIVE, XDP_MODE_GENERIC };

/*
 * Our filter under clsact. Handle and priority are ours alone; 50 is another manager's, and low
 * priorities are what people type.
 */
#define HOOK_FILTER_HANDLE   0xbfd
#define HOOK_FILTER_PRIORITY 0xbfd

/*
 * Attaches by link. In mode AUTO, native first and generic if the driver refuses, as two attempts,
 * because the kernel does not fall back when a driver has XDP but not for this program or MTU;
 * *mode becomes what was used and *refusal the driver's error (0: none). Returns the link's
 * descriptor; -EBUSY if somebody else's program is there.
 */
int hook__attach_xdp(int program_fd, int ifindex, enum xdp_mode *mode, int *refusal,
		     struct diagnostic *why);

/* For the interface's TCX; -EOPNOTSUPP on kernels without. Returns the link's descriptor. */
int hook__attach_tcx(int program_fd, int ifindex, bool is_egress, struct diagnostic *why);

bool hook__has_tcx(void);

/*
 * Replaces what a link runs, provided that this is still old_id. Returns 0, -ESTALE if it is not,
 * -ENOLINK if the interface is gone, -ERANGE if its driver cannot run the program at this MTU.
 */
int hook__update(int link_fd, int program_fd, __u32 old_id, struct diagnostic *why);

/* Program id in our filter, 0 if there is none. -EBUSY: another sort of filter is at its place. */
int hook__query_filter(int ifindex, bool is_egress, __u32 *program_id, struct diagnostic *why);

/*
 * Adds our filter (old_id 0), or replaces the program in it, if that is old_id; adds clsact where
 * it is missing. Refuses an `ingress` qdisc, which takes the place of clsact, and a filter at our
 * place that runs something else.
 */
int hook__set_filter(int program_fd, int ifindex, bool is_egress, __u32 old_id,
		     struct diagnostic *why);

/* Removes our filter, if it runs old_id; and clsact with it when nobody has a filter there any
 * more. */
int hook__remove_filter(int ifindex, bool is_egress, __u32 old_id, struct diagnostic *why);

/*
 * Returns when no packet is on its way through a program that was replaced before the call. Only
 * then may the program arrays of an old chain lose their pins: a segment array without user is
 * emptied at once, under the packet's feet.
 */
int hook__settle(void);

#endif
