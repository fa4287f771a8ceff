/*
 * Sharing an interface with libxdp (xdp-tools). Whoever changes such a chain reads the dispatcher
 * that runs, loads another and puts that in its place, provided that nobody else was faster. So it
 * is attached by netlink, never by a bpf_link, which libxdp could not replace.
 */
#ifndef CORE_CHAIN_LIBXDP_H
#define CORE_CHAIN_LIBXDP_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>

#include "bpf/dispatcher.h"
#include "core/chain/hook.h"
#include "core/diagnostic.h"

struct libxdp_slot {
	__u32 mask, priority, flags; /* the mask without the bit that all have */
};

struct libxdp_dispatcher {
	__u32 version; /* what it says; slots are known of 1 to 3 */
	bool is_device_bound;
	size_t slot_cnt;
	struct libxdp_slot slots[DISPATCHER_SLOTS];
};

/*
 * Returns 0; -ENOENT if the program is no dispatcher of libxdp's kind, -EBADMSG if it is one whose
 * constants make no sense, -errno.
 */
int libxdp__read(int program_fd, struct libxdp_dispatcher *dispatcher);

/*
 * Takes libxdp's lock: that of the directory its pins are in, which is made if it is not there. At
 * most that long; -EWOULDBLOCK then. Returns the descriptor that holds it.
 */
int libxdp__lock(const char *directory, unsigned int wait_ms);

/*
 * Puts the program there in the place of old_id (0: of nothing), as one operation. -ESTALE if
 * something else runs there by now. *mode: as for hook__attach_xdp; of a replacement, the mode that
 * it runs in.
 */
int libxdp__attach(int program_fd, int ifindex, enum xdp_mode *mode, __u32 old_id,
		   struct diagnostic *why);
int libxdp__detach(int ifindex, enum xdp_mode mode, __u32 old_id, struct diagnostic *why);

#endif
