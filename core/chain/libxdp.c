#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <linux/if_link.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "core/chain/libxdp.h"
#include "core/map.h"
#include "core/network.h"
#include "core/program.h"

#define PROGRAM_NAME "xdp_dispatcher"

/* Before there was a magic number; version 1 told itself by a type alone. */
struct dispatcher_config_v1 {
	__u8 slots_used;
	__u32 masks[DISPATCHER_SLOTS];
	__u32 priorities[DISPATCHER_SLOTS];
};

union constants {
	struct dispatcher_config config; /* 2, and how 3 begins */
	struct dispatcher_config_v3 v3;
	struct dispatcher_config_v1 v1;
};

/* SEC("xdp_metadata"): a variable that is a pointer to an array of as many elements. */
static __u32 version_of_type(const struct btf *types)
{
	__s32 id = btf__find_by_name_kind(types, "dispatcher_version", BTF_KIND_VAR);
	const struct btf_type *type;

	if (id < 0)
		return 0;
	type = btf__type_by_id(types, btf__type_by_id(types, (__u32)id)->type);
	if (!type || !btf_is_ptr(type))
		return 0;
	type = btf__type_by_id(types, type->type);
	return type && btf_is_array(type) ? btf_array(type)->nelems : 0;
}

static __u32 version_by_types(__u32 btf_id)
{
	struct btf *types = btf__load_from_kernel_by_id(btf_id);
	__u32 version;

	if (!types)
		return 0;
	version = version_of_type(types);
	btf__free(types);
	return version;
}

/* The constants, as far as they are known; the rest is zero. */
static int read_constants(__u32 map_id, union constants *constants, __u32 *size)
{
	struct bpf_map_info info;
	__u32 key = 0;
	void *value = NULL;
	int fd = map__open_id(map_id, 0), err;

	if (fd < 0)
		return fd;
	err = map__info(fd, &info);
	if (err)
		goto out;
	err = -ENOENT;
	if (info.type != BPF_MAP_TYPE_ARRAY || info.key_size != sizeof(key) ||
	    info.max_entries != 1 || !(info.map_flags & BPF_F_RDONLY_PROG))
		goto out;
	err = -ENOMEM;
	value = malloc(info.value_size);
	if (!value)
		goto out;
	err = map__lookup(fd, &key, value);
	*size = info.value_size;
	memset(constants, 0, sizeof(*constants));
	if (!err)
		memcpy(constants, value, *size < sizeof(*constants) ? *size : sizeof(*constants));
out:
	free(value);
	close(fd);
	return err;
}

static int take_slots(const union constants *constants, __u32 size,
		      struct libxdp_dispatcher *dispatcher)
{
	static const __u32 sizes[] = {0, sizeof(struct dispatcher_config_v1),
				      sizeof(struct dispatcher_config),
				      sizeof(struct dispatcher_config_v3)};
	bool is_first = dispatcher->version == 1;
	const __u32 *masks = is_first ? constants->v1.masks : constants->config.masks;
	const __u32 *priorities =
	    is_first ? constants->v1.priorities : constants->config.priorities;

	if (dispatcher->version >= sizeof(sizes) / sizeof(*sizes))
		return 0; /* newer than anybody here */
	if (!dispatcher->version || size != sizes[dispatcher->version])
		return -EBADMSG;
	dispatcher->slot_cnt = is_first ? constants->v1.slots_used : constants->config.slots_used;
	if (dispatcher->slot_cnt > DISPATCHER_SLOTS)
		return -EBADMSG;
	for (size_t i = 0; i < dispatcher->slot_cnt; i++)
		dispatcher->slots[i] = (struct libxdp_slot){
		    .mask = masks[i] & ~DISPATCHER_RETURN_BIT,
		    .priority = priorities[i],
		    .flags = is_first ? 0 : constants->config.flags[i],
		};
	dispatcher->is_device_bound = dispatcher->version == 3 && constants->v3.is_device_bound;
	return 0;
}

int libxdp__read(int program_fd, struct libxdp_dispatcher *dispatcher)
{
	struct program_info info;
	union constants constants;
	__u32 size;
	int err = program__info(program_fd, &info);

	*dispatcher = (struct libxdp_dispatcher){};
	if (err)
		return err;
	if (info.kernel.type != BPF_PROG_TYPE_XDP || strcmp(info.kernel.name, PROGRAM_NAME) ||
	    !info.kernel.btf_id || info.kernel.nr_map_ids != 1)
		return -ENOENT;
	err = read_constants(info.map_ids[0], &constants, &size);
	if (err)
		return err;
	if (constants.config.magic == DISPATCHER_MAGIC)
		dispatcher->version = constants.config.version;
	else
		dispatcher->version = version_by_types(info.kernel.btf_id);
	return take_slots(&constants, size, dispatcher);
}

int libxdp__lock(const char *directory, unsigned int wait_ms)
{
	const unsigned int pause_ms = 5;
	int fd, err;

	if (mkdir(directory, 0700) && errno != EEXIST)
		return -errno;
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (flock(fd, LOCK_EX | LOCK_NB)) {
		err = -errno;
		if (err == -EINTR)
			continue;
		if (err != -EWOULDBLOCK || wait_ms < pause_ms) {
			close(fd);
			return err;
		}
		usleep(pause_ms * 1000);
		wait_ms -= pause_ms;
	}
	return fd;
}

static __u32 mode_flags(enum xdp_mode mode)
{
	return mode == XDP_MODE_GENERIC ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;
}

/* With old_id, the program in program_fd (-1: nothing) takes its place if that is what runs. */
static int set(int program_fd, int ifindex, enum xdp_mode mode, __u32 old_id,
	       struct diagnostic *why)
{
	LIBBPF_OPTS(bpf_xdp_attach_opts, options);
	__u32 flags = mode_flags(mode) | (old_id ? 0 : XDP_FLAGS_UPDATE_IF_NOEXIST);
	int old_fd = -1, err;

	if (old_id) {
		old_fd = program__open_id(old_id);
		if (old_fd == -ENOENT)
			return diagnostic__fail(why, -ESTALE, "program %u is gone", old_id);
		if (old_fd < 0)
			return old_fd;
		options.old_prog_fd = old_fd;
	}
	diagnostic__listen(why);
	err = bpf_xdp_attach(ifindex, program_fd, flags, &options);
	diagnostic__silence(why);
	if (old_fd >= 0)
		close(old_fd);
	return err;
}

static int explain(int err, int ifindex, __u32 old_id, struct diagnostic *why)
{
	enum xdp_how how;
	__u32 id = 0;

	switch (err) {
	case -EEXIST: /* not the expected one, or the other mode is in use */
	case -EBUSY:  /* something, where nothing was expected; or a link */
		network__xdp(ifindex, &id, &how);
		if (id == old_id && id)
			return diagnostic__fail(why, -EBUSY,
						"program %u is held there by a bpf_link", id);
		return diagnostic__fail(
		    why, -ESTALE, id ? "program %u runs there by now" : "nothing runs there", id);
	case -ENODEV:
		return diagnostic__fail(why, err, "there is no interface %d", ifindex);
	case -ERANGE:
		return diagnostic__fail(why, err,
					"the driver does not run this chain at the interface's MTU "
					"(not all members use xdp.frags)");
	default:
		return err;
	}
}

int libxdp__attach(int program_fd, int ifindex, enum xdp_mode *mode, __u32 old_id,
		   struct diagnostic *why)
{
	enum xdp_mode wanted = *mode;
	int err;

	*mode = wanted == XDP_MODE_AUTO ? XDP_MODE_NATIVE : wanted;
	err = set(program_fd, ifindex, *mode, old_id, why);
	if (wanted == XDP_MODE_AUTO && !old_id &&
	    (err == -EOPNOTSUPP || err == -ERANGE || err == -EINVAL)) {
		diagnostic__clear(why);
		*mode = XDP_MODE_GENERIC;
		err = set(program_fd, ifindex, *mode, old_id, why);
	}
	return explain(err, ifindex, old_id, why);
}

int libxdp__detach(int ifindex, enum xdp_mode mode, __u32 old_id, struct diagnostic *why)
{
	return explain(set(-1, ifindex, mode, old_id, why), ifindex, old_id, why);
}
