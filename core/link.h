/*
 * Links: a program at work somewhere, for as long as somebody holds or has pinned the link.
 * Functions that attach return the link's descriptor, or -errno with a message that says what was
 * wrong with the place.
 */
#ifndef CORE_LINK_H
#define CORE_LINK_H

#include <stdbool.h>
#include <sys/types.h>
#include <linux/types.h>

#include "core/diagnostic.h"

int link__attach_tracepoint(int program_fd, const char *category, const char *name,
			    struct diagnostic *why);
int link__attach_raw_tracepoint(int program_fd, const char *name, struct diagnostic *why);

struct probe {
	const char *path;     /* uprobe: executable or library, as the calling process sees it */
	const char *name;     /* uprobe: what messages call it */
	const char *function; /* kprobe: always; uprobe: NULL where the offset alone says it */
	__u64 offset;	      /* behind the function's start, or without one in the file */
	bool is_return;	      /* on return from the function; no offset from its start then */
	pid_t pid;	      /* uprobe: only this process; 0: all */
};

int link__attach_kprobe(int program_fd, const struct probe *probe, struct diagnostic *why);
int link__attach_uprobe(int program_fd, const struct probe *probe, struct diagnostic *why);

/* fentry, fexit and the like: the program was loaded for its place. attach_type as loaded. */
int link__attach_tracing(int program_fd, __u32 attach_type, struct diagnostic *why);

/* flags: XDP_FLAGS_DRV_MODE, _SKB_MODE, or 0 for the kernel's choice, which never falls back. */
int link__attach_xdp(int program_fd, int ifindex, __u32 flags, struct diagnostic *why);

struct tcx_place {
	bool is_egress;
	bool is_before, is_after; /* neither: wherever the kernel appends */
	__u32 anchor;		  /* a program's id; 0: the first, or the last, place */
};

int link__attach_tcx(int program_fd, int ifindex, const struct tcx_place *place,
		     struct diagnostic *why);

struct link_info {
	__u32 type, id, program_id;
	__u32 ifindex;	   /* XDP and TCX; 0 once the interface is gone */
	__u32 attach_type; /* TCX and tracing */
};

#define LINK_TYPE_XDP	   6
#define LINK_TYPE_TCX	   11
#define ATTACH_TCX_INGRESS 46
#define ATTACH_TCX_EGRESS  47

int link__info(int fd, struct link_info *info);
/* NULL for a type that neither libbpf nor we know. */
const char *link__type_name(__u32 type);
int link__open_id(__u32 id);
int link__next_id(__u32 *id);

/*
 * Atomically. With an old program, only if that is what the link runs: -ESTALE otherwise (the
 * kernel says EPERM). -ENOLINK: the interface is gone.
 */
int link__update(int fd, int program_fd, int old_program_fd);
int link__detach(int fd);

#endif
