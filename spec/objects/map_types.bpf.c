/* Maps of every kind that user space reads, and types of every kind that BTF has. */
#include <stdbool.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

enum colour { RED, GREEN = 7, BLUE = 0x80000000 };
enum level { LOW = -5, HIGH = 5 };
enum wide { WIDE_NONE, WIDE_TOP = 0xfedcba9876543210 };

typedef __u32 number;
typedef const volatile number qualified;

struct inner {
	__s8 little;
	__u64 big;
};

struct everything {
	__u8 u8;
	__s8 s8;
	__u16 u16;
	__s16 s16;
	__u32 u32;
	__s32 s32;
	__u64 u64;
	__s64 s64;
	__int128 i128;
	unsigned __int128 u128;
	_Bool flag;
	char letter;
	char name[16];
	unsigned char bytes[6];
	float f32;
	double f64;
	void *pointer;
	qualified typed;
	enum colour colour;
	enum level level;
	enum wide wide;
	struct inner inner;
	struct inner inners[2];
	__u16 grid[2][3];
	union {
		__u32 whole;
		__u16 halves[2];
		float real;
	};
	struct {
		__u8 hidden;
		struct {
			__u8 deeper;
		};
	};
	union {
		_Bool yes;
		__u8 raw;
	} named;
	__u32 low : 3, middle : 11, high : 18;
	__s32 minus : 5;
	_Bool bit : 1;
	enum colour tint : 8;
	__u64 across : 40;
	__u64 : 3;
	__u64 rest : 20;
	void (*callback)(int);
};

struct key {
	__u32 source;
	__u16 port;
	__u16 zone;
};

#define MAP(name, map_type, key_type, value_type, entries)                                         \
	struct {                                                                                   \
		__uint(type, map_type);                                                            \
		__uint(max_entries, entries);                                                      \
		__type(key, key_type);                                                             \
		__type(value, value_type);                                                         \
	} name SEC(".maps")

struct tally {
	__u64 packets;
	__s64 balance;
	enum colour colour;
	char name[12];
};

MAP(everything, BPF_MAP_TYPE_HASH, struct key, struct everything, 64);
MAP(tallies, BPF_MAP_TYPE_HASH, struct key, struct tally, 100000);
MAP(array, BPF_MAP_TYPE_ARRAY, __u32, __u64, 4);
MAP(lru, BPF_MAP_TYPE_LRU_HASH, __u64, __s32, 64);
MAP(cpu_hash, BPF_MAP_TYPE_PERCPU_HASH, __u32, struct inner, 64);
MAP(cpu_array, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, __u32, 3);
MAP(by_colour, BPF_MAP_TYPE_HASH, enum colour, __u64, 3);
MAP(by_name, BPF_MAP_TYPE_HASH, char[16], __u64, 8);

struct route {
	__u32 bits;
	__u8 address[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 64);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct route);
	__type(value, __u32);
} routes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__uint(key_size, 8);
	__uint(value_size, 16);
} untyped SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 4);
	__type(value, __u32);
} queue SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__uint(value_size, 4);
} jumps SEC(".maps");

struct inner_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} leaf SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct inner_map);
} outer SEC(".maps") = {.values = {[0] = &leaf}};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} events SEC(".maps");

struct event {
	__u32 number;
	char name[12];
	__u64 stamp;
};

const struct event *unused_event __attribute__((unused)); /* so that its type is in BTF */

const volatile __u32 LIMIT = 7;
__u64 seen;

/* Sends one record through each, numbered from 1. */
SEC("xdp")
int types(struct xdp_md *ctx)
{
	struct event event = {.number = (__u32)++seen, .name = "hello", .stamp = -1};
	struct event *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);

	event.name[7] = 'x'; /* behind the text's end, as in memory that was not cleared */
	if (record) {
		*record = event;
		bpf_ringbuf_submit(record, 0);
	}
	bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, &event, sizeof(event));
	bpf_map_push_elem(&queue, &event.number, BPF_EXIST);
	if (event.number == LIMIT)
		bpf_tail_call(ctx, &jumps, 0);
	if (bpf_map_lookup_elem(&everything, &event) || bpf_map_lookup_elem(&tallies, &event) ||
	    bpf_map_lookup_elem(&array, &event) || bpf_map_lookup_elem(&lru, &event) ||
	    bpf_map_lookup_elem(&cpu_hash, &event) || bpf_map_lookup_elem(&cpu_array, &event) ||
	    bpf_map_lookup_elem(&by_colour, &event) || bpf_map_lookup_elem(&by_name, &event) ||
	    bpf_map_lookup_elem(&routes, &event) || bpf_map_lookup_elem(&untyped, &event) ||
	    bpf_map_lookup_elem(&outer, &event))
		return XDP_DROP;
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
