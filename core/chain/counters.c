#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "core/chain/counters.h"

#define CACHE_LINE 64

static int write_header(const struct counter_layout *layout, size_t size, __u32 position_cnt)
{
	__u64 *rows = calloc(1, size);
	__u32 key = 0;
	int err = 0;

	if (!rows)
		return -ENOMEM;
	rows[0] = position_cnt;
	if (bpf_map_update_elem(layout->fd, &key, rows, BPF_ANY))
		err = -errno;
	free(rows);
	return err;
}

int counters__create(__u32 position_cnt, struct counter_layout *layout)
{
	int cpu_cnt = libbpf_num_possible_cpus();
	size_t size;
	int err;

	if (cpu_cnt < 0)
		return cpu_cnt;
	layout->cpu_cnt = cpu_cnt;
	layout->row_size =
	    (position_cnt * sizeof(__u64) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
	size = (size_t)layout->row_size * (cpu_cnt + 1);
	layout->fd =
	    bpf_map_create(BPF_MAP_TYPE_ARRAY, "stop_counters", sizeof(__u32), size, 1, NULL);
	if (layout->fd < 0)
		return -errno;
	err = write_header(layout, size, position_cnt);
	if (err) {
		close(layout->fd);
		layout->fd = -1;
	}
	return err;
}

static int sum_rows(const __u64 *rows, __u32 words, __u32 row_cnt, __u64 *positions)
{
	__u32 position_cnt = rows[0];

	if (rows[0] > words || rows[0] > COUNTERS_MAX_POSITIONS)
		return -EINVAL;
	memset(positions, 0, position_cnt * sizeof(*positions));
	for (__u32 row = 1; row < row_cnt; row++)
		for (__u32 i = 0; i < position_cnt; i++)
			positions[i] += rows[(size_t)row * words + i];
	return position_cnt;
}

int counters__read(int fd, __u64 *positions)
{
	struct bpf_map_info info = {0};
	__u32 size = sizeof(info), key = 0, row_cnt = libbpf_num_possible_cpus() + 1;
	__u64 *rows;
	int result;

	if (bpf_obj_get_info_by_fd(fd, &info, &size))
		return -errno;
	if (info.type != BPF_MAP_TYPE_ARRAY || info.key_size != sizeof(key) ||
	    info.max_entries != 1 || info.value_size < CACHE_LINE ||
	    info.value_size % (row_cnt * sizeof(__u64)))
		return -EINVAL;
	rows = malloc(info.value_size);
	if (!rows)
		return -ENOMEM;
	if (bpf_map_lookup_elem(fd, &key, rows))
		result = -errno;
	else
		result =
		    sum_rows(rows, info.value_size / row_cnt / sizeof(__u64), row_cnt, positions);
	free(rows);
	return result;
}
