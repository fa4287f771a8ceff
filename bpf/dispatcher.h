/*
 * The constants of a freplace dispatcher, as it and its loader see them. For XDP the layout is
 * libxdp's to the byte, of version 2 (xdp-tools 1.3 to 1.5) or 3 (since 1.6), because xdp-loader
 * reads it out of the frozen .rodata of whatever runs on an interface; nothing else may stand in
 * .rodata, and the dispatcher may have no other map.
 */
#ifndef BPF_DISPATCHER_H
#define BPF_DISPATCHER_H

#include <linux/types.h>

#define DISPATCHER_MAGIC 236
#define DISPATCHER_SLOTS 10

/* What an empty slot returns. It proceeds: its bit, 31 for both, is set in every mask. */
#define XDP_DISPATCHER_RETURN 31
#define TC_DISPATCHER_RETURN  30
#define DISPATCHER_RETURN_BIT (1U << 31)

struct dispatcher_config {
	__u8 magic;
	__u8 version;
	__u8 slots_used;
	__u8 has_frags;
	__u32 masks[DISPATCHER_SLOTS]; /* XDP: 1 << verdict; TC: 1 << (verdict + 1) */
	__u32 priorities[DISPATCHER_SLOTS];
	__u32 flags[DISPATCHER_SLOTS]; /* BPF_F_XDP_HAS_FRAGS where the member has it */
};

/* Version 3 of XDP's. */
struct dispatcher_config_v3 {
	struct dispatcher_config chain;
	__u8 is_device_bound;
};

struct tc_dispatcher_config {
	struct dispatcher_config chain;
	__s32 finish; /* the verdict when every member has proceeded */
};

_Static_assert(sizeof(struct dispatcher_config) == 124 &&
		   sizeof(struct dispatcher_config_v3) == 128,
	       "libxdp compares the sizes");

#endif
