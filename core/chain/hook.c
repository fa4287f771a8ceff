#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/syscall.h>
#include <linux/if_link.h>
#include <linux/membarrier.h>
#include <bpf/bpf.h>

#include "core/chain/hook.h"
#include "core/link.h"
#include "core/network.h"
#include "core/traffic_control.h"

#define FILTER_NAME "dispatcher"

static int explain_xdp(int err, int ifindex, struct diagnostic *why)
{
	enum xdp_how how;
	__u32 id = 0;

	if (err == -EBUSY && !network__xdp(ifindex, &id, &how) && id)
		return diagnostic__fail(
		    why, err, "program %u, which is not ours, is attached to XDP there", id);
	if (err == -ERANGE)
		return diagnostic__fail(why, err,
					"the driver does not run this chain at the interface's MTU "
					"(not all members use xdp.frags)");
	return err;
}

static int attach_xdp(int program_fd, int ifindex, enum xdp_mode mode, struct diagnostic *why)
{
	__u32 flags = mode == XDP_MODE_NATIVE ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;

	return link__attach_xdp(program_fd, ifindex, flags, why);
}

int hook__attach_xdp(int program_fd, int ifindex, enum xdp_mode *mode, int *refusal,
		     struct diagnostic *why)
{
	enum xdp_mode wanted = *mode;
	int fd;

	*refusal = 0;
	*mode = wanted == XDP_MODE_AUTO ? XDP_MODE_NATIVE : wanted;
	fd = attach_xdp(program_fd, ifindex, *mode, why);
	/* Not where the place is taken or gone: a second attempt would only blur the message. */
	if (wanted == XDP_MODE_AUTO && (fd == -EOPNOTSUPP || fd == -ERANGE || fd == -EINVAL)) {
		diagnostic__clear(why);
		*refusal = fd;
		*mode = XDP_MODE_GENERIC;
		fd = attach_xdp(program_fd, ifindex, *mode, why);
	}
	return fd < 0 ? explain_xdp(fd, ifindex, why) : fd;
}

int hook__attach_tcx(int program_fd, int ifindex, bool is_egress, struct diagnostic *why)
{
	struct tcx_place place = {.is_egress = is_egress};

	return link__attach_tcx(program_fd, ifindex, &place, why);
}

/* Every namespace has the loopback interface. */
bool hook__has_tcx(void)
{
	__u32 ids[TCX_PROGRAMS_MAX], count;

	return network__tcx(1, false, ids, &count) != -EOPNOTSUPP;
}

int hook__update(int link_fd, int program_fd, __u32 old_id, struct diagnostic *why)
{
	int old_fd = bpf_prog_get_fd_by_id(old_id), err;

	if (old_fd < 0)
		/* a program that is no more does not run either */
		err = errno == ENOENT ? -ESTALE : -errno;
	else
		err = link__update(link_fd, program_fd, old_fd);
	if (old_fd >= 0)
		close(old_fd);
	switch (err) {
	case -ESTALE:
		return diagnostic__fail(why, err, "the link does not run program %u any more",
					old_id);
	case -ENOLINK:
		return diagnostic__fail(why, err, "the interface of the link is gone");
	default:
		return explain_xdp(err, 0, why);
	}
}

static struct filter_place our_place(int ifindex, bool is_egress)
{
	return (struct filter_place){ifindex, is_egress, HOOK_FILTER_PRIORITY, HOOK_FILTER_HANDLE};
}

int hook__query_filter(int ifindex, bool is_egress, __u32 *id, struct diagnostic *why)
{
	struct filter *filters = NULL;
	size_t count = 0;
	int err = filters__list(ifindex, is_egress, &filters, &count);

	*id = 0;
	for (size_t i = 0; i < count && !err; i++) {
		if (filters[i].priority != HOOK_FILTER_PRIORITY)
			continue;
		if (strcmp(filters[i].kind, "bpf"))
			err = diagnostic__fail(why, -EBUSY,
					       "a TC filter of kind %s, which is not ours, has our "
					       "priority %d",
					       filters[i].kind, HOOK_FILTER_PRIORITY);
		else if (filters[i].handle == HOOK_FILTER_HANDLE)
			*id = filters[i].program_id;
	}
	free(filters);
	return err;
}

/* There is no compare-and-swap for filters: look, then act. */
static int check_filter(int ifindex, bool is_egress, __u32 old_id, struct diagnostic *why)
{
	__u32 id;
	int err = hook__query_filter(ifindex, is_egress, &id, why);

	if (err || id == old_id)
		return err;
	if (!id)
		return diagnostic__fail(why, -ESTALE, "the TC filter of program %u is gone",
					old_id);
	if (!old_id)
		return diagnostic__fail(why, -EBUSY,
					"program %u, which is not ours, is in the TC filter at our "
					"handle %#x and priority %d",
					id, HOOK_FILTER_HANDLE, HOOK_FILTER_PRIORITY);
	return diagnostic__fail(why, -ESTALE, "the TC filter runs program %u and not %u any more",
				id, old_id);
}

static int check_qdisc(int ifindex, bool *is_missing, struct diagnostic *why)
{
	char kind[16];
	int err = qdisc__kind(ifindex, kind, sizeof(kind));

	*is_missing = !kind[0];
	if (err || *is_missing || !strcmp(kind, "clsact"))
		return err;
	return diagnostic__fail(why, -EBUSY,
				"a qdisc of kind %s, which is not ours, has the place of clsact "
				"there",
				kind);
}

/* Errors do not matter here: then it stays, which harms nobody. */
static void remove_unused_clsact(int ifindex)
{
	struct filter *filters = NULL;
	size_t count = 0, all = 0;
	char kind[16];

	if (qdisc__kind(ifindex, kind, sizeof(kind)) || strcmp(kind, "clsact"))
		return;
	for (int is_egress = 0; is_egress < 2; is_egress++) {
		if (filters__list(ifindex, is_egress, &filters, &count))
			return;
		free(filters);
		all += count;
	}
	if (!all)
		qdisc__remove_clsact(ifindex);
}

int hook__set_filter(int program_fd, int ifindex, bool is_egress, __u32 old_id,
		     struct diagnostic *why)
{
	struct filter_place place = our_place(ifindex, is_egress);
	bool is_missing;
	int err = check_qdisc(ifindex, &is_missing, why);

	if (!err)
		err = check_filter(ifindex, is_egress, old_id, why);
	if (err)
		return err;
	if (old_id)
		return filter__replace(&place, program_fd, FILTER_NAME);
	if (is_missing)
		err = qdisc__add_clsact(ifindex);
	if (err && err != -EEXIST)
		return err;
	err = filter__add(&place, program_fd, FILTER_NAME);
	if (err && is_missing)
		remove_unused_clsact(ifindex);
	return err;
}

int hook__remove_filter(int ifindex, bool is_egress, __u32 old_id, struct diagnostic *why)
{
	struct filter_place place = our_place(ifindex, is_egress);
	int err = check_filter(ifindex, is_egress, old_id, why);

	if (!err)
		err = filter__remove(&place);
	if (!err)
		remove_unused_clsact(ifindex);
	return err;
}

/* The kernel offers a grace period by membarrier, unless some CPUs are nohz_full. */
static int settle_by_map(void)
{
	__u32 key = 0;
	int inner = bpf_map_create(BPF_MAP_TYPE_ARRAY, "settle", 4, 4, 1, NULL);
	LIBBPF_OPTS(bpf_map_create_opts, options, .inner_map_fd = inner);
	int outer, err = 0;

	if (inner < 0)
		return -errno;
	outer = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "settle", 4, 4, 1, &options);
	/* updating a map of maps waits for running programs: the kernel's maybe_wait_bpf_programs()
	 */
	if (outer < 0 || bpf_map_update_elem(outer, &key, &inner, BPF_ANY))
		err = -errno;
	if (outer >= 0)
		close(outer);
	close(inner);
	return err;
}

int hook__settle(void)
{
	if (!syscall(__NR_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0))
		return 0;
	return settle_by_map();
}
