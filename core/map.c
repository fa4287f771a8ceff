#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "core/fdinfo.h"
#include "core/map.h"

#define BATCH_BYTES  (256 << 10)
#define MOST_RETRIES 64

int map__create(const struct map_shape *shape, const char *name)
{
	char short_name[BPF_OBJ_NAME_LEN];
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = shape->flags);
	int fd;

	snprintf(short_name, sizeof(short_name), "%s", name ?: "");
	fd = bpf_map_create(shape->type, short_name, shape->key_size, shape->value_size,
			    shape->max_entries, &options);
	return fd < 0 ? -errno : fd;
}

int map__open_id(__u32 id, __u32 flags)
{
	LIBBPF_OPTS(bpf_get_fd_by_id_opts, options, .open_flags = flags);
	int fd = bpf_map_get_fd_by_id_opts(id, &options);

	return fd < 0 ? -errno : fd;
}

int map__next_id(__u32 *id)
{
	return bpf_map_get_next_id(*id, id) ? -errno : 0;
}

int map__info(int fd, struct bpf_map_info *info)
{
	__u32 size = sizeof(*info);

	*info = (struct bpf_map_info){};
	return bpf_obj_get_info_by_fd(fd, info, &size) ? -errno : 0;
}

int map__is_frozen(int fd, bool *is_frozen)
{
	__u64 value = 0;
	int err = fdinfo__number(fd, "frozen", &value);

	*is_frozen = value;
	return err;
}

static bool is_per_cpu(__u32 type)
{
	return type == BPF_MAP_TYPE_PERCPU_ARRAY || type == BPF_MAP_TYPE_PERCPU_HASH ||
	       type == BPF_MAP_TYPE_LRU_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE;
}

int map__layout(int fd, struct map_layout *layout)
{
	struct bpf_map_info info;
	int err = map__info(fd, &info), cpus = 1;

	if (err)
		return err;
	*layout = (struct map_layout){
	    .type = info.type,
	    .key_size = info.key_size,
	    .max_entries = info.max_entries,
	    .value_size = info.value_size,
	    .value_stride = info.value_size,
	    .is_per_cpu = is_per_cpu(info.type),
	};
	if (layout->is_per_cpu) {
		cpus = libbpf_num_possible_cpus();
		if (cpus < 0)
			return cpus;
		layout->value_stride = (info.value_size + 7) & ~7u;
	}
	layout->value_cnt = (__u32)cpus;
	layout->copy_size = layout->value_stride * layout->value_cnt;
	return 0;
}

static void describe(char *text, size_t size, const struct map_shape *shape)
{
	const char *type = libbpf_bpf_map_type_str(shape->type);

	snprintf(text, size, "%s, key %u, value %u, max_entries %u, flags %#x", type ?: "?",
		 shape->key_size, shape->value_size, shape->max_entries, shape->flags);
}

int map__compare_shape(int fd, const struct map_shape *wanted, const char *name,
		       struct diagnostic *why)
{
	char ours[128], theirs[128];
	struct map_shape found;
	struct bpf_map_info info;
	int err = map__info(fd, &info);

	if (err)
		return err;
	found = (struct map_shape){info.type, info.key_size, info.value_size, info.max_entries,
				   info.map_flags};
	/* the kernel sets this one by itself */
	if (found.type == BPF_MAP_TYPE_DEVMAP || found.type == BPF_MAP_TYPE_DEVMAP_HASH)
		found.flags =
		    (found.flags & ~BPF_F_RDONLY_PROG) | (wanted->flags & BPF_F_RDONLY_PROG);
	/* and libbpf this number, from the machine's CPUs */
	if (found.type == BPF_MAP_TYPE_PERF_EVENT_ARRAY && !wanted->max_entries)
		found.max_entries = 0;
	if (!memcmp(&found, wanted, sizeof(found)))
		return 0;
	describe(ours, sizeof(ours), wanted);
	describe(theirs, sizeof(theirs), &found);
	return diagnostic__fail(why, -EINVAL, "map %s is (%s); the one to share is (%s)", name,
				ours, theirs);
}

int map__lookup(int fd, const void *key, void *copy)
{
	return bpf_map_lookup_elem(fd, key, copy) ? -errno : 0;
}

int map__update(int fd, const void *key, const void *copy, __u64 flags)
{
	return bpf_map_update_elem(fd, key, copy, flags) ? -errno : 0;
}

int map__delete(int fd, const void *key)
{
	return bpf_map_delete_elem(fd, key) ? -errno : 0;
}

int map__freeze(int fd)
{
	return bpf_map_freeze(fd) ? -errno : 0;
}

int map_walk__begin(struct map_walk *walk, int fd)
{
	int err;

	*walk = (struct map_walk){.fd = fd, .in_batches = true};
	err = map__layout(fd, &walk->layout);
	if (err)
		return err;
	walk->capacity = BATCH_BYTES / (walk->layout.key_size + walk->layout.copy_size + 1) + 1;
	walk->keys = malloc((size_t)walk->capacity * walk->layout.key_size + 1);
	walk->copies = malloc((size_t)walk->capacity * walk->layout.copy_size + 1);
	/* a hash map's cursor is a bucket number, whatever the key's size */
	walk->cursor = calloc(1, walk->layout.key_size + sizeof(__u64));
	if (walk->keys && walk->copies && walk->cursor)
		return 0;
	map_walk__end(walk);
	return -ENOMEM;
}

void map_walk__end(struct map_walk *walk)
{
	free(walk->keys);
	free(walk->copies);
	free(walk->cursor);
	*walk = (struct map_walk){.is_done = true};
}

/* A bucket that is fuller than the buffer is answered with ENOSPC: ask again with more room. */
static int widen(struct map_walk *walk)
{
	size_t capacity = (size_t)walk->capacity * 4;
	char *keys = realloc(walk->keys, capacity * walk->layout.key_size + 1);
	char *copies;

	if (!keys)
		return -ENOMEM;
	walk->keys = keys;
	copies = realloc(walk->copies, capacity * walk->layout.copy_size + 1);
	if (!copies)
		return -ENOMEM;
	walk->copies = copies;
	walk->capacity = (__u32)capacity;
	return 0;
}

static int next_batch(struct map_walk *walk)
{
	LIBBPF_OPTS(bpf_map_batch_opts, options);
	void *from = walk->has_cursor ? walk->cursor : NULL;
	int err, retries = MOST_RETRIES;

	do {
		walk->cnt = walk->capacity;
		err = bpf_map_lookup_batch(walk->fd, from, walk->cursor, walk->keys, walk->copies,
					   &walk->cnt, &options)
			  ? -errno
			  : 0;
		/* keys that went between its two looks: some kernels give up at the first */
		if (err == -EINTR && walk->cnt)
			err = 0;
	} while ((err == -ENOSPC && !widen(walk)) || (err == -EINTR && retries--));
	walk->next = 0;
	if (err == -ENOENT) { /* the last batch, which may hold entries */
		walk->is_done = true;
		return 0;
	}
	if (err && !walk->has_cursor) { /* no batches for this type: ENOTSUPP, EINVAL, EOPNOTSUPP */
		walk->in_batches = false;
		walk->cnt = 0;
		return 0;
	}
	walk->has_cursor = true;
	return err;
}

static int next_single(struct map_walk *walk)
{
	int err;

	walk->cnt = walk->next = 0;
	while (!walk->cnt) {
		if (walk->steps++ > 2 * (__u64)walk->layout.max_entries + MOST_RETRIES)
			return -EAGAIN;
		if (bpf_map_get_next_key(walk->fd, walk->has_cursor ? walk->cursor : NULL,
					 walk->keys)) {
			walk->is_done = true;
			return errno == ENOENT ? 0 : -errno;
		}
		memcpy(walk->cursor, walk->keys, walk->layout.key_size);
		walk->has_cursor = true;
		err = map__lookup(walk->fd, walk->keys, walk->copies);
		if (err && err != -ENOENT) /* gone since: the next one */
			return err;
		walk->cnt = !err;
	}
	return 0;
}

int map_walk__next(struct map_walk *walk, const void **key, const void **copy)
{
	while (walk->next == walk->cnt) {
		int err;

		if (walk->is_done)
			return 0;
		err = walk->in_batches ? next_batch(walk) : next_single(walk);
		if (err)
			return err;
	}
	*key = walk->keys + (size_t)walk->next * walk->layout.key_size;
	*copy = walk->copies + (size_t)walk->next * walk->layout.copy_size;
	walk->next++;
	return 1;
}

/* The length is little more than a header: array values are padded to eight bytes anyway. */
struct blob {
	__u64 size;
	char bytes[];
};

int map__create_blob(const void *bytes, size_t size, const char *name)
{
	struct map_shape shape = {BPF_MAP_TYPE_ARRAY, sizeof(__u32), 0, 1, 0};
	struct blob *blob;
	__u32 key = 0;
	int fd, err;

	if (size > INT32_MAX - sizeof(*blob))
		return -E2BIG;
	shape.value_size = (__u32)(sizeof(*blob) + size);
	blob = malloc(shape.value_size);
	if (!blob)
		return -ENOMEM;
	blob->size = size;
	memcpy(blob->bytes, bytes, size);
	fd = map__create(&shape, name);
	err = fd < 0 ? fd : map__update(fd, &key, blob, BPF_ANY) ?: map__freeze(fd);
	free(blob);
	if (err && fd >= 0)
		close(fd);
	return err ?: fd;
}

int map__read_blob(int fd, void **bytes, size_t *size)
{
	struct bpf_map_info info;
	struct blob *blob;
	__u32 key = 0;
	int err = map__info(fd, &info);

	if (err)
		return err;
	if (info.type != BPF_MAP_TYPE_ARRAY || info.max_entries != 1 ||
	    info.value_size < sizeof(*blob))
		return -EINVAL;
	blob = malloc(info.value_size);
	if (!blob)
		return -ENOMEM;
	err = map__lookup(fd, &key, blob);
	if (!err && blob->size > info.value_size - sizeof(*blob))
		err = -EINVAL;
	if (err) {
		free(blob);
		return err;
	}
	*size = blob->size;
	memmove(blob, blob->bytes, *size);
	*bytes = blob;
	return 0;
}
