/* Maps through descriptors. Keys and values are bytes of the sizes that map__layout tells. */
#ifndef CORE_MAP_H
#define CORE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>

#include "core/diagnostic.h"

struct map_shape {
	__u32 type, key_size, value_size, max_entries, flags;
};

struct map_layout {
	__u32 type, key_size, max_entries;
	__u32 value_size;   /* of one value, as the program sees it */
	__u32 copy_size;    /* of what a lookup fills: for per-CPU maps one padded value per CPU */
	__u32 value_cnt;    /* values in a copy: 1, or the possible CPUs */
	__u32 value_stride; /* from one value in a copy to the next */
	bool is_per_cpu;    /* also where there is one CPU */
};

/* A descriptor, or -errno. `name` is cut to the kernel's 15 characters. */
int map__create(const struct map_shape *shape, const char *name);
/* `flags`: 0, or BPF_F_RDONLY for a descriptor that only reads. */
int map__open_id(__u32 id, __u32 flags);
int map__next_id(__u32 *id);

int map__info(int fd, struct bpf_map_info *info);
int map__layout(int fd, struct map_layout *layout);
int map__is_frozen(int fd, bool *is_frozen);

/* -EINVAL and a message with both shapes, unless the map behind fd has this one. */
int map__compare_shape(int fd, const struct map_shape *wanted, const char *name,
		       struct diagnostic *why);

int map__lookup(int fd, const void *key, void *copy);
int map__update(int fd, const void *key, const void *copy, __u64 flags);
int map__delete(int fd, const void *key);
int map__freeze(int fd);

/* Walks a map, in batches where the kernel has them for its type. */
struct map_walk {
	int fd;
	struct map_layout layout;
	char *keys, *copies;
	__u32 cnt, next; /* what the current batch has, and has given */
	__u32 capacity;
	__u64 steps;  /* of single entries */
	void *cursor; /* batches: the kernel's; else: the last key */
	bool in_batches, has_cursor, is_done;
};

/* -errno; nothing to end then. */
int map_walk__begin(struct map_walk *walk, int fd);
/*
 * 1 and the next entry, borrowed until the next call; 0 at the end; -errno. Where the kernel has no
 * batches, a deleted key sends it back to the start: an entry may come twice, and -EAGAIN ends a
 * walk that the changes do not let end.
 */
int map_walk__next(struct map_walk *walk, const void **key, const void **copy);
void map_walk__end(struct map_walk *walk);

/* A frozen array of one entry: the bytes behind their length. */
int map__create_blob(const void *bytes, size_t size, const char *name);
/* Reads one back; `bytes` is malloc'ed. -EINVAL: no blob. */
int map__read_blob(int fd, void **bytes, size_t *size);

#endif
