/*
 * The freplace engine: a small dispatcher program with ten slots, and members as extension programs
 * that take the slots' place. A dispatcher never changes; for every change of the chain a new one
 * is loaded, the members, verified once, are attached to it too, and the hook is switched over.
 */
#ifndef CORE_CHAIN_FREPLACE_H
#define CORE_CHAIN_FREPLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>

#include "bpf/dispatcher.h"
#include "core/diagnostic.h"

/* The slot that members are verified against; all slots are alike. */
#define FREPLACE_TARGET_FUNCTION "prog0"

struct freplace_member {
	int program_fd; /* BPF_PROG_TYPE_EXT, borrowed */
	__u32 mask;
	__u32 priority;
	__u32 flags; /* BPF_F_XDP_HAS_FRAGS: the kernel does not tell for an extension program */
};

struct freplace_chain {
	__u32 type;	   /* BPF_PROG_TYPE_XDP or BPF_PROG_TYPE_SCHED_CLS */
	__u32 version;	   /* XDP: the dispatcher's layout, 2 (also for 0) or 3 */
	__s32 finish;	   /* TC: the verdict at the chain's end; XDP passes */
	size_t member_cnt; /* 1 to DISPATCHER_SLOTS */
	struct freplace_member members[DISPATCHER_SLOTS];
};

/* The links hold the members in their slots: a slot whose link is closed and not pinned falls open.
 */
struct freplace_dispatcher {
	int program_fd;
	size_t link_cnt;
	int link_fds[DISPATCHER_SLOTS];
};

/*
 * Loads and attaches an extension program that does nothing, to nothing that runs. Returns 0, or
 * -errno with the refused step and its meaning in the message.
 */
int freplace__probe(__u32 type, struct diagnostic *why);

/* The same, and puts it into a second dispatcher beside, as each change of a chain does. */
int freplace__probe_again(__u32 type, struct diagnostic *why);

/* Loads a dispatcher with one empty slot as the target that a member names when it is loaded. *fd
 * is the caller's. */
int freplace__open_target(__u32 type, int *fd, struct diagnostic *why);

/* Loads a dispatcher and attaches every member; on failure nothing is left. The result is released
 * by _close. */
int freplace__build(const struct freplace_chain *chain, struct freplace_dispatcher *dispatcher,
		    struct diagnostic *why);
void freplace__close(struct freplace_dispatcher *dispatcher);

#endif
