/* Programs through descriptors. */
#ifndef CORE_PROGRAM_H
#define CORE_PROGRAM_H

#include <linux/bpf.h>

#define PROGRAM_MAPS_MAX 256 /* the kernel allows 64, and some bound later */

struct program_info {
	struct bpf_prog_info kernel;
	__u32 map_ids[PROGRAM_MAPS_MAX];
	__u64 memlock;	 /* bytes; 0 where the kernel does not tell */
	__u64 loaded_at; /* nanoseconds since the epoch */
};

/* A descriptor, or -errno. */
int program__open_id(__u32 id);
/* -ENOENT after the last one. Needs CAP_SYS_ADMIN. */
int program__next_id(__u32 *id);

int program__info(int fd, struct program_info *info);

struct program_run {
	const void *data, *context; /* context may be NULL */
	__u32 data_size, context_size;
	__u32 repeat;
	void *data_out; /* room for data_size + PROGRAM_RUN_ROOM bytes */
	__u32 data_out_size;
	__u32 verdict, duration; /* out; nanoseconds of one run */
};

#define PROGRAM_RUN_ROOM 512 /* programs may grow the packet */

/* BPF_PROG_TEST_RUN */
int program__test_run(int fd, struct program_run *run);

/* The map lives as long as the program does. */
int program__bind_map(int fd, int map_fd);

#endif
