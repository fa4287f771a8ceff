#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/libbpf.h>
#include <linux/perf_event.h>

#include "core/interrupt.h"
#include "core/map.h"
#include "core/ring.h"

struct ring {
	struct ring_buffer *ring_buffer; /* one of the two */
	struct perf_buffer *perf_buffer;
	int map_fd;	    /* our own: closing a perf buffer writes the map */
	size_t next_buffer; /* of a CPU: each gets its turn */
	__u64 lost;

	/* libbpf hands records to a callback: it takes one and asks libbpf to stop */
	char *bytes;
	size_t size, room;
	int cpu, err;
	bool has_record;
};

static int keep(struct ring *ring, const void *bytes, size_t size, int cpu)
{
	if (size > ring->room) {
		char *bigger = realloc(ring->bytes, size);

		if (!bigger)
			return ring->err = -ENOMEM;
		ring->bytes = bigger;
		ring->room = size;
	}
	if (size)
		memcpy(ring->bytes, bytes, size);
	ring->size = size;
	ring->cpu = cpu;
	ring->has_record = true;
	return 0;
}

static int take_sample(void *context, void *bytes, size_t size)
{
	return keep(context, bytes, size, -1) ?: -ECANCELED;
}

static enum bpf_perf_event_ret take_event(void *context, int cpu, struct perf_event_header *header)
{
	struct sample {
		struct perf_event_header header;
		__u32 size;
		char bytes[];
	} *sample = (struct sample *)header;
	struct lost {
		struct perf_event_header header;
		__u64 id, cnt;
	} *lost = (struct lost *)header;
	struct ring *ring = context;

	if (header->type == PERF_RECORD_LOST)
		ring->lost += lost->cnt;
	if (header->type != PERF_RECORD_SAMPLE)
		return LIBBPF_PERF_EVENT_CONT;
	return keep(ring, sample->bytes, sample->size, cpu) ? LIBBPF_PERF_EVENT_ERROR
							    : LIBBPF_PERF_EVENT_DONE;
}

static int open_perf_buffer(struct ring *ring, int map_fd, size_t pages)
{
	struct perf_event_attr attributes = {
	    .size = sizeof(attributes),
	    .type = PERF_TYPE_SOFTWARE,
	    .config = PERF_COUNT_SW_BPF_OUTPUT,
	    .sample_type = PERF_SAMPLE_RAW,
	    .sample_period = 1,
	    .wakeup_events = 1,
	};

	ring->perf_buffer =
	    perf_buffer__new_raw(map_fd, pages, &attributes, take_event, ring, NULL);
	return ring->perf_buffer ? 0 : -errno;
}

static int open_by_type(struct ring *ring, __u32 type, size_t pages)
{
	if (type == BPF_MAP_TYPE_PERF_EVENT_ARRAY)
		return open_perf_buffer(ring, ring->map_fd, pages);
	if (type != BPF_MAP_TYPE_RINGBUF)
		return -EMEDIUMTYPE;
	ring->ring_buffer = ring_buffer__new(ring->map_fd, take_sample, ring, NULL);
	return ring->ring_buffer ? 0 : -errno;
}

int ring__open(struct ring **ring, int map_fd, size_t pages)
{
	struct bpf_map_info info;
	struct ring *made;
	int err = map__info(map_fd, &info);

	if (err)
		return err;
	made = calloc(1, sizeof(*made));
	if (!made)
		return -ENOMEM;
	made->map_fd = fcntl(map_fd, F_DUPFD_CLOEXEC, 0);
	err = made->map_fd < 0 ? -errno : open_by_type(made, info.type, pages);
	if (err) {
		ring__close(made);
		return err;
	}
	*ring = made;
	return 0;
}

static int consume_perf(struct ring *ring)
{
	size_t cnt = perf_buffer__buffer_cnt(ring->perf_buffer);
	int err = 0;

	for (size_t i = 0; i < cnt && !err && !ring->has_record; i++) {
		ring->next_buffer = (ring->next_buffer + 1) % cnt;
		err = perf_buffer__consume_buffer(ring->perf_buffer, ring->next_buffer);
	}
	return err < 0 ? err : 0;
}

int ring__next(struct ring *ring, struct ring_record *record)
{
	int err;

	ring->has_record = false;
	ring->err = 0;
	err = ring->ring_buffer ? ring_buffer__consume(ring->ring_buffer) : consume_perf(ring);
	if (ring->err)
		return ring->err;
	if (!ring->has_record)
		return err < 0 ? err : 0;
	*record = (struct ring_record){ring->bytes, ring->size, ring->cpu};
	return 1;
}

int ring__wait(struct ring *ring, int timeout)
{
	struct pollfd poll_on = {
	    .fd = ring->ring_buffer ? ring_buffer__epoll_fd(ring->ring_buffer)
				    : perf_buffer__epoll_fd(ring->perf_buffer),
	    .events = POLLIN,
	};

	return interrupt_poll(&poll_on, 1, timeout);
}

__u64 ring__lost(const struct ring *ring)
{
	return ring->lost;
}

void ring__close(struct ring *ring)
{
	if (!ring)
		return;
	ring_buffer__free(ring->ring_buffer);
	perf_buffer__free(ring->perf_buffer);
	if (ring->map_fd >= 0)
		close(ring->map_fd);
	free(ring->bytes);
	free(ring);
}
