#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <sys/syscall.h>
#include <linux/if_link.h>
#include <linux/membarrier.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "core/chain/hook.h"
#include "core/chain/qdisc.h"

/* since 6.6 */
#define ATTACH_TCX_INGRESS 46
#define ATTACH_TCX_EGRESS  47

int hook__query_xdp(int ifindex, __u32 *id, enum xdp_mode *mode)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);
	int err = bpf_xdp_query(ifindex, 0, &query);

	if (err)
		return err;
	*id = query.prog_id ?: query.drv_prog_id ?: query.skb_prog_id ?: query.hw_prog_id;
	*mode = query.attach_mode == XDP_ATTACHED_SKB ? XDP_MODE_GENERIC : XDP_MODE_NATIVE;
	return 0;
}

static int attach_xdp(int program_fd, int ifindex, enum xdp_mode mode)
{
	LIBBPF_OPTS(bpf_link_create_opts, options,
		    .flags = mode == XDP_MODE_NATIVE ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE);
	int fd = bpf_link_create(program_fd, ifindex, BPF_XDP, &options);

	return fd < 0 ? -errno : fd;
}

static int explain_xdp(int err, int ifindex, struct diagnostic *failure)
{
	enum xdp_mode mode;
	__u32 id = 0;

	if (err == -EBUSY && !hook__query_xdp(ifindex, &id, &mode) && id)
		return diagnostic__fail(
		    failure, err, "program %u, which is not ours, is attached to XDP there", id);
	if (err == -ERANGE)
		return diagnostic__fail(failure, err,
					"the driver does not run this chain at the interface's "
					"MTU (not all members use xdp.frags)");
	if (err == -EOPNOTSUPP)
		return diagnostic__fail(failure, err, "the driver has no XDP");
	return diagnostic__fail(failure, err, "the kernel does not attach to XDP there");
}

int hook__attach_xdp(int program_fd, int ifindex, enum xdp_mode *mode, int *refusal,
		     struct diagnostic *failure)
{
	enum xdp_mode wanted = *mode;
	int fd;

	*refusal = 0;
	*mode = wanted == XDP_MODE_AUTO ? XDP_MODE_NATIVE : wanted;
	fd = attach_xdp(program_fd, ifindex, *mode);
	/* Not for an interface that is busy or gone: the second attempt would only blur the
	 * message. */
	if (wanted == XDP_MODE_AUTO && (fd == -EOPNOTSUPP || fd == -ERANGE || fd == -EINVAL)) {
		*refusal = fd;
		*mode = XDP_MODE_GENERIC;
		fd = attach_xdp(program_fd, ifindex, *mode);
	}
	return fd < 0 ? explain_xdp(fd, ifindex, failure) : fd;
}

static enum bpf_attach_type tcx_type(enum hook_direction direction)
{
	return (enum bpf_attach_type)(direction == HOOK_INGRESS ? ATTACH_TCX_INGRESS
								: ATTACH_TCX_EGRESS);
}

/* Every namespace has the loopback interface, and kernels before 6.6 do not know the question. */
bool hook__has_tcx(void)
{
	__u32 attach_flags, count = 0;

	return !bpf_prog_query(1, tcx_type(HOOK_INGRESS), 0, &attach_flags, NULL, &count);
}

int hook__attach_tcx(int program_fd, int ifindex, enum hook_direction direction,
		     struct diagnostic *failure)
{
	int fd = bpf_link_create(program_fd, ifindex, tcx_type(direction), NULL);

	if (fd >= 0)
		return fd;
	return diagnostic__fail(failure, -errno, "the kernel does not attach to TCX there");
}

static int update_link(int link_fd, int program_fd, __u32 old_id)
{
	LIBBPF_OPTS(bpf_link_update_opts, options);
	int old_fd = -1, err = 0;

	if (old_id) {
		old_fd = bpf_prog_get_fd_by_id(old_id);
		if (old_fd < 0)
			return errno == ENOENT ? -ESTALE : -errno;
		options.flags = BPF_F_REPLACE;
		options.old_prog_fd = old_fd;
	}
	if (bpf_link_update(link_fd, program_fd, &options))
		err = -errno;
	if (old_fd >= 0)
		close(old_fd);
	/* how the kernel says that another program is there; nobody lacks a permission */
	return err == -EPERM && old_id ? -ESTALE : err;
}

int hook__update(int link_fd, int program_fd, __u32 old_id, struct diagnostic *failure)
{
	int err = update_link(link_fd, program_fd, old_id);

	switch (err) {
	case 0:
		return 0;
	case -ESTALE:
		return diagnostic__fail(failure, err, "the link does not run program %u any more",
					old_id);
	case -ENOLINK:
		return diagnostic__fail(failure, err, "the interface of the link is gone");
	case -ERANGE:
		return diagnostic__fail(failure, err,
					"the driver does not run this chain at the interface's "
					"MTU (not all members use xdp.frags)");
	default:
		return diagnostic__fail(failure, err, "the kernel does not replace the chain");
	}
}

static struct bpf_tc_hook tc_hook(int ifindex, enum hook_direction direction)
{
	return (struct bpf_tc_hook){
	    .sz = sizeof(struct bpf_tc_hook),
	    .ifindex = ifindex,
	    .attach_point = direction == HOOK_INGRESS ? BPF_TC_INGRESS : BPF_TC_EGRESS,
	};
}

int hook__query_filter(int ifindex, enum hook_direction direction, __u32 *id)
{
	struct bpf_tc_hook hook = tc_hook(ifindex, direction);
	LIBBPF_OPTS(bpf_tc_opts, query, .handle = HOOK_FILTER_HANDLE,
		    .priority = HOOK_FILTER_PRIORITY);
	int filters, err;

	*id = 0;
	/* asking for one filter where there is none is an error that says little; a dump is not */
	filters = qdisc__count_filters(ifindex, direction == HOOK_INGRESS, HOOK_FILTER_PRIORITY);
	if (filters <= 0)
		return filters;
	err = bpf_tc_query(&hook, &query);
	if (!err)
		*id = query.prog_id;
	return err == -ENOENT ? 0 : err;
}

static int check_filter(int ifindex, enum hook_direction direction, __u32 old_id,
			struct diagnostic *failure)
{
	__u32 id;
	int err = hook__query_filter(ifindex, direction, &id);

	if (err)
		return diagnostic__fail(failure, err, "the kernel does not show its TC filters");
	if (id == old_id)
		return 0;
	if (!id)
		return diagnostic__fail(failure, -ESTALE, "the TC filter of program %u is gone",
					old_id);
	if (!old_id)
		return diagnostic__fail(failure, -EBUSY,
					"program %u, which is not ours, is in the TC filter at "
					"our handle %#x and priority %d",
					id, HOOK_FILTER_HANDLE, HOOK_FILTER_PRIORITY);
	return diagnostic__fail(failure, -ESTALE,
				"the TC filter runs program %u and not %u any more", id, old_id);
}

static int check_qdisc(int ifindex, bool *missing, struct diagnostic *failure)
{
	char kind[32];
	int err = qdisc__ingress_kind(ifindex, kind, sizeof(kind));

	if (err)
		return diagnostic__fail(failure, err, "the kernel does not show its qdiscs");
	*missing = !kind[0];
	if (!kind[0] || !strcmp(kind, "clsact"))
		return 0;
	return diagnostic__fail(failure, -EBUSY,
				"a qdisc of kind %s, which is not ours, takes the place of "
				"clsact there",
				kind);
}

int hook__set_filter(int program_fd, int ifindex, enum hook_direction direction, __u32 old_id,
		     struct diagnostic *failure)
{
	struct bpf_tc_hook hook = tc_hook(ifindex, direction);
	LIBBPF_OPTS(bpf_tc_opts, filter, .prog_fd = program_fd, .handle = HOOK_FILTER_HANDLE,
		    .priority = HOOK_FILTER_PRIORITY, .flags = old_id ? BPF_TC_F_REPLACE : 0);
	bool missing;
	int err = check_qdisc(ifindex, &missing, failure);

	if (err)
		return err;
	/* There is no compare-and-swap for filters: look, then replace. */
	err = check_filter(ifindex, direction, old_id, failure);
	if (err)
		return err;
	if (missing) {
		err = bpf_tc_hook_create(&hook);
		if (err && err != -EEXIST)
			return diagnostic__fail(failure, err, "the kernel does not add clsact");
	}
	err = bpf_tc_attach(&hook, &filter);
	if (!err)
		return 0;
	if (missing)
		qdisc__remove_unused(ifindex);
	return diagnostic__fail(failure, err, "the kernel does not set the TC filter");
}

int hook__remove_filter(int ifindex, enum hook_direction direction, __u32 old_id,
			struct diagnostic *failure)
{
	struct bpf_tc_hook hook = tc_hook(ifindex, direction);
	LIBBPF_OPTS(bpf_tc_opts, filter, .handle = HOOK_FILTER_HANDLE,
		    .priority = HOOK_FILTER_PRIORITY);
	int err = check_filter(ifindex, direction, old_id, failure);

	if (!err && old_id) {
		err = bpf_tc_detach(&hook, &filter);
		if (err)
			diagnostic__fail(failure, err, "the kernel does not remove the TC filter");
	}
	if (!err)
		qdisc__remove_unused(ifindex);
	return err;
}

/* What a RCU grace period takes whoever asks for one; with nohz_full CPUs the kernel offers this by
 * another door only. */
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
