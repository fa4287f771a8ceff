#include <errno.h>
#include <time.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "core/fdinfo.h"
#include "core/program.h"

int program__open_id(__u32 id)
{
	int fd = bpf_prog_get_fd_by_id(id);

	return fd < 0 ? -errno : fd;
}

int program__next_id(__u32 *id)
{
	return bpf_prog_get_next_id(*id, id) ? -errno : 0;
}

static __u64 nanoseconds(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (__u64)now.tv_sec * 1000000000 + (__u64)now.tv_nsec;
}

int program__info(int fd, struct program_info *info)
{
	__u32 size = sizeof(info->kernel);

	*info = (struct program_info){
	    .kernel.nr_map_ids = PROGRAM_MAPS_MAX,
	    .kernel.map_ids = (__u64)(unsigned long)info->map_ids,
	};
	if (bpf_obj_get_info_by_fd(fd, &info->kernel, &size))
		return -errno;
	if (info->kernel.nr_map_ids > PROGRAM_MAPS_MAX)
		info->kernel.nr_map_ids = PROGRAM_MAPS_MAX;
	fdinfo__number(fd, "memlock", &info->memlock);
	info->loaded_at =
	    nanoseconds(CLOCK_REALTIME) - nanoseconds(CLOCK_BOOTTIME) + info->kernel.load_time;
	return 0;
}

int program__test_run(int fd, struct program_run *run)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = run->data,
		    .data_size_in = run->data_size, .data_out = run->data_out,
		    .data_size_out = run->data_out_size, .ctx_in = run->context,
		    .ctx_size_in = run->context_size, .repeat = (int)run->repeat);

	if (bpf_prog_test_run_opts(fd, &options))
		return -errno;
	run->verdict = options.retval;
	run->duration = options.duration;
	run->data_out_size = options.data_size_out;
	return 0;
}

int program__bind_map(int fd, int map_fd)
{
	return bpf_prog_bind_map(fd, map_fd, NULL) ? -errno : 0;
}
