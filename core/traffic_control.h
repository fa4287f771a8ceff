/*
 * TC by rtnetlink: the qdisc at the place that clsact and ingress share, and the BPF filters under
 * clsact. In the calling thread's network namespace.
 */
#ifndef CORE_TRAFFIC_CONTROL_H
#define CORE_TRAFFIC_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>

struct filter {
	char kind[16]; /* "bpf", or another classifier: only the place is known then */
	__u32 priority, handle, program_id;
	char name[64];
	bool is_direct; /* the program's verdict is the action */
};

/* "clsact", "ingress", or empty. */
int qdisc__kind(int ifindex, char *kind, size_t size);
/* -EEXIST: there is one of either kind. */
int qdisc__add_clsact(int ifindex);
/* With all its filters. */
int qdisc__remove_clsact(int ifindex);

/* Malloc'ed; none without clsact. */
int filters__list(int ifindex, bool is_egress, struct filter **filters, size_t *count);

struct filter_place {
	int ifindex;
	bool is_egress;
	__u32 priority, handle;
};

/* -EEXIST: something has this handle. */
int filter__add(const struct filter_place *place, int program_fd, const char *name);
/* In place: a packet meets the old or the new program. The kernel compares nothing; look first. */
int filter__replace(const struct filter_place *place, int program_fd, const char *name);
int filter__remove(const struct filter_place *place);

#endif
