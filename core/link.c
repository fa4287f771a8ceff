#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/bpf.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "core/link.h"

/* since 6.6; libbpf 1.1 has no calls for them */
#define PLACE_BEFORE (1u << 3)
#define PLACE_AFTER  (1u << 4)
#define PLACE_BY_ID  (1u << 5)

/* BPF_LINK_CREATE as kernels since 6.6 read it for TCX. */
struct create_tcx {
	__u32 program_fd, ifindex, attach_type, flags;
	__u32 anchor, padding;
	__u64 expected_revision;
};

int link__attach_raw_tracepoint(int program_fd, const char *name, struct diagnostic *why)
{
	int fd = bpf_raw_tracepoint_open(name, program_fd);

	if (fd >= 0)
		return fd;
	if (errno == ENOENT)
		return diagnostic__fail(why, -ENOENT, "the kernel has no raw tracepoint %s", name);
	if (errno == EINVAL)
		return diagnostic__fail(why, -EINVAL, "the program is none for raw tracepoints");
	return diagnostic__fail(why, -errno, "cannot attach to raw tracepoint %s: %s", name,
				strerror(errno));
}

int link__attach_tracing(int program_fd, __u32 attach_type, struct diagnostic *why)
{
	int fd = bpf_link_create(program_fd, 0, attach_type, NULL);

	if (fd < 0 && errno == EINVAL) /* the older way of saying it */
		fd = bpf_raw_tracepoint_open(NULL, program_fd);
	if (fd >= 0)
		return fd;
	if (errno == EBUSY)
		return diagnostic__fail(why, -EBUSY,
					"the function is replaced or traced otherwise");
	return diagnostic__fail(why, -errno, "the kernel does not run the program there: %s",
				strerror(errno));
}

static int explain_interface(int err, int ifindex, const char *hook, struct diagnostic *why)
{
	if (err == -ENODEV)
		return diagnostic__fail(why, err, "there is no interface %d", ifindex);
	/* EEXIST: XDP in another mode, or the same program under TCX */
	if (err == -EBUSY || err == -EEXIST)
		return diagnostic__fail(why, err, "a program is attached to %s there already",
					hook);
	if (err == -EOPNOTSUPP)
		return diagnostic__fail(why, err, "the interface's driver has no %s", hook);
	if (err == -ERANGE)
		return diagnostic__fail(
		    why, err, "the driver does not run this program at the interface's MTU");
	return diagnostic__fail(why, err, "cannot attach to %s: %s", hook, strerror(-err));
}

int link__attach_xdp(int program_fd, int ifindex, __u32 flags, struct diagnostic *why)
{
	LIBBPF_OPTS(bpf_link_create_opts, options, .flags = flags);
	int fd = bpf_link_create(program_fd, ifindex, BPF_XDP, &options);

	return fd >= 0 ? fd : explain_interface(-errno, ifindex, "XDP", why);
}

int link__attach_tcx(int program_fd, int ifindex, const struct tcx_place *place,
		     struct diagnostic *why)
{
	struct create_tcx attributes = {
	    .program_fd = (__u32)program_fd,
	    .ifindex = (__u32)ifindex,
	    .attach_type = place->is_egress ? ATTACH_TCX_EGRESS : ATTACH_TCX_INGRESS,
	    .flags = (place->is_before ? PLACE_BEFORE : 0) | (place->is_after ? PLACE_AFTER : 0) |
		     (place->anchor ? PLACE_BY_ID : 0),
	    .anchor = place->anchor,
	};
	long fd = syscall(SYS_bpf, BPF_LINK_CREATE, &attributes, sizeof(attributes));

	if (fd >= 0)
		return (int)fd;
	if (errno == ENOENT && place->anchor)
		return diagnostic__fail(why, -ENOENT, "program %u is not attached to TCX there",
					place->anchor);
	if (errno == ERANGE)
		return diagnostic__fail(why, -ERANGE, "there is no room for another program");
	if (errno == EINVAL)
		return diagnostic__fail(why, -EOPNOTSUPP, "this kernel has no TCX (6.6 has it)");
	return explain_interface(-errno, ifindex, "TCX", why);
}

/* struct bpf_link_info as newer kernels fill it: type, id, prog_id, padding, then by type. */
struct raw_info {
	__u32 type, id, program_id, padding;
	__u32 words[28];
};

int link__info(int fd, struct link_info *info)
{
	struct raw_info raw = {};
	__u32 size = sizeof(raw);

	if (bpf_obj_get_info_by_fd(fd, &raw, &size))
		return -errno;
	*info = (struct link_info){.type = raw.type, .id = raw.id, .program_id = raw.program_id};
	if (raw.type == LINK_TYPE_XDP || raw.type == LINK_TYPE_TCX)
		info->ifindex = raw.words[0];
	if (raw.type == LINK_TYPE_TCX)
		info->attach_type = raw.words[1];
	if (raw.type == BPF_LINK_TYPE_TRACING)
		info->attach_type = raw.words[0];
	return 0;
}

const char *link__type_name(__u32 type)
{
	static const char *const newer[] = {"netfilter", "tcx", "uprobe_multi", "netkit",
					    "sockmap"};
	const __u32 first = 10;

	if (type >= first && type - first < sizeof(newer) / sizeof(*newer))
		return newer[type - first];
	return libbpf_bpf_link_type_str(type);
}

int link__open_id(__u32 id)
{
	int fd = bpf_link_get_fd_by_id(id);

	return fd < 0 ? -errno : fd;
}

int link__next_id(__u32 *id)
{
	return bpf_link_get_next_id(*id, id) ? -errno : 0;
}

int link__update(int fd, int program_fd, int old_program_fd)
{
	LIBBPF_OPTS(bpf_link_update_opts, options);

	if (old_program_fd >= 0) {
		options.flags = BPF_F_REPLACE;
		options.old_prog_fd = (__u32)old_program_fd;
	}
	if (!bpf_link_update(fd, program_fd, &options))
		return 0;
	return errno == EPERM && old_program_fd >= 0 ? -ESTALE : -errno;
}

int link__detach(int fd)
{
	return bpf_link_detach(fd) ? -errno : 0;
}
