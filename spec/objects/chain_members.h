/*
 * Members of every kind for the specs of chains; included once for XDP and once for TC, with
 * CONTEXT, MEMBER (section) and REPORT (what an action of this type is called) set. Each counts its
 * runs and returns what the spec chose.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} counter SEC(".maps");

__u64 runs; /* .bss */
struct {
	volatile long verdict;
	volatile long of_target;
} choice = {1, 1};	       /* .data: the verifier does not know it */
const volatile long fixed = 1; /* .rodata: the verifier does */

#define chosen	      choice.verdict
#define target_chosen choice.of_target

#define RUN() __sync_fetch_and_add(&runs, 1)

SEC(MEMBER) long plain(struct CONTEXT *ctx)
{
	return fixed;
}

SEC(MEMBER) long count(struct CONTEXT *ctx)
{
	__u32 key = 0;
	__u64 *value = bpf_map_lookup_elem(&counter, &key);

	RUN();
	if (value)
		__sync_fetch_and_add(value, 1);
	return chosen;
}

static __attribute__((noinline)) long add_one(volatile long *value)
{
	char room[48] = {0};

	__builtin_memcpy(room + 8, (void *)value, 8);
	asm volatile("" ::"r"(room) : "memory");
	return *value + 1;
}

static __attribute__((noinline)) long add_two(volatile long *value)
{
	volatile long first = add_one(value);

	return add_one(&first);
}

SEC(MEMBER) long statics(struct CONTEXT *ctx)
{
	volatile long value = chosen - 2;

	RUN();
	return add_two(&value);
}

__attribute__((noinline)) int subtract(int a, int b)
{
	return a - b;
}

__attribute__((noinline)) int length(struct CONTEXT *ctx)
{
	return (long)ctx->data_end - (long)ctx->data;
}

SEC(MEMBER) long globals(struct CONTEXT *ctx)
{
	RUN();
	return length(ctx) > 0 ? subtract((int)chosen + 5, 5) : 77;
}

static long turn(__u32 index, void *sum)
{
	*(long *)sum += index;
	return 0;
}

SEC(MEMBER) long loop(struct CONTEXT *ctx)
{
	long sum = 0;

	RUN();
	bpf_loop(5, turn, &sum, 0); /* 0 + 1 + 2 + 3 + 4 */
	return sum == 10 ? chosen : 77;
}

static long look(void *map, __u32 *key, __u64 *value, long *found)
{
	*found = 1; /* not counted: a loop without known end would never verify */
	return 0;
}

SEC(MEMBER) long each(struct CONTEXT *ctx)
{
	long found = 0;

	RUN();
	bpf_for_each_map_elem(&counter, look, &found, 0);
	return found == 1 ? chosen : 77;
}

struct alarm {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct alarm);
} alarms SEC(".maps");

static int ring(void *map, __u32 *key, struct alarm *alarm)
{
	return 0;
}

SEC(MEMBER) long timer(struct CONTEXT *ctx)
{
	__u32 key = 0;
	struct alarm *alarm = bpf_map_lookup_elem(&alarms, &key);

	RUN();
	if (alarm) {
		bpf_timer_init(&alarm->timer, &alarms, 1 /* CLOCK_MONOTONIC */);
		bpf_timer_set_callback(&alarm->timer, ring);
		bpf_timer_start(&alarm->timer, 1000, 0);
	}
	return chosen;
}

struct guarded {
	struct bpf_spin_lock lock;
	__u32 value;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct guarded);
} guarded SEC(".maps");

SEC(MEMBER) long lock(struct CONTEXT *ctx)
{
	struct guarded fresh = {};
	struct guarded *found;
	__u32 key = 3;

	RUN();
	bpf_map_update_elem(&guarded, &key, &fresh, BPF_NOEXIST);
	found = bpf_map_lookup_elem(&guarded, &key);
	if (found) {
		bpf_spin_lock(&found->lock);
		found->value++;
		bpf_spin_unlock(&found->lock);
	}
	return chosen;
}

SEC(MEMBER) long target(struct CONTEXT *ctx)
{
	return target_chosen;
}

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, sizeof(__u32));
	__array(values, long(struct CONTEXT *));
} jumps SEC(".maps") = {.values = {[0] = (void *)&target}};

SEC(MEMBER) long tail_hit(struct CONTEXT *ctx)
{
	RUN();
	bpf_tail_call(ctx, &jumps, 0);
	return 77;
}

SEC(MEMBER) long tail_miss(struct CONTEXT *ctx)
{
	RUN();
	bpf_tail_call(ctx, &jumps, 1);
	return chosen;
}

/* Global, and the 77 hidden: compilers and older verifiers believe that a function returns only
 * what follows a tail call. */
__attribute__((noinline)) int jump_below(struct CONTEXT *ctx)
{
	int verdict = 77;

	bpf_tail_call(ctx, &jumps, 0);
	asm volatile("" : "+r"(verdict));
	return verdict;
}

/* returns here with the target's verdict */
SEC(MEMBER) long tail_below(struct CONTEXT *ctx)
{
	RUN();
	return jump_below(ctx) == (int)target_chosen ? chosen : 77;
}

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring_buffer SEC(".maps");

SEC(MEMBER) long submit(struct CONTEXT *ctx)
{
	__u64 *room = bpf_ringbuf_reserve(&ring_buffer, 8, 0);

	RUN();
	if (room) {
		*room = 1;
		bpf_ringbuf_submit(room, BPF_RB_NO_WAKEUP);
	}
	return chosen;
}

SEC(MEMBER) long packet(struct CONTEXT *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	unsigned char *bytes = data;

	RUN();
	if (data + 14 > end)
		return 77;
	return bytes[12] == 8 && bytes[13] == 0 ? chosen : 77;
}

/* Depths around the limits of planners: with frames of 16 and 32 bytes, and with the context's
 * slot. */
#define DEEP(name, bytes)                                                                          \
	SEC(MEMBER) long name(struct CONTEXT *ctx)                                                 \
	{                                                                                          \
		char room[bytes];                                                                  \
                                                                                                   \
		RUN();                                                                             \
		for (int i = 0; i < bytes; i += 8)                                                 \
			*(volatile __u64 *)(room + i) = i;                                         \
		asm volatile("" ::"r"(room) : "memory");                                           \
		return chosen;                                                                     \
	}
DEEP(deep_200, 200)
DEEP(deep_360, 360)
DEEP(deep_480, 480)
DEEP(deep_504, 504)

static __attribute__((noinline)) long fill(volatile long *value)
{
	char room[256];

	for (int i = 0; i < 256; i += 8)
		*(volatile __u64 *)(room + i) = i;
	asm volatile("" ::"r"(room) : "memory");
	return *value;
}

/* Its own frames take all there is. */
SEC(MEMBER) long deep_both(struct CONTEXT *ctx)
{
	volatile long value = chosen;
	char room[200];

	RUN();
	for (int i = 0; i < 200; i += 8)
		*(volatile __u64 *)(room + i) = i;
	asm volatile("" ::"r"(room) : "memory");
	return fill(&value);
}

#define FRAME(name, callee)                                                                        \
	static __attribute__((noinline)) long name(volatile long *value)                           \
	{                                                                                          \
		volatile long copy = *value;                                                       \
		return callee(&copy);                                                              \
	}
static __attribute__((noinline)) long frame_8(volatile long *value)
{
	return *value;
}
FRAME(frame_7, frame_8)
FRAME(frame_6, frame_7)
FRAME(frame_5, frame_6)
FRAME(frame_4, frame_5)
FRAME(frame_3, frame_4)
FRAME(frame_2, frame_3)

/* All the frames that the kernel allows: there is none left to call this one. */
SEC(MEMBER) long frames(struct CONTEXT *ctx)
{
	volatile long value = chosen;

	RUN();
	return frame_2(&value);
}

/* Privileged programs may read stack that they never wrote; behind others it may hold a pointer. */
SEC(MEMBER) long stale_stack(struct CONTEXT *ctx)
{
	__u64 junk;

	RUN();
	asm volatile("%0 = *(u32 *)(r10 - 12)" : "=r"(junk));
	return junk == 0x1234567 ? 77 : chosen;
}

/* Leaves pointers all over the stack. */
SEC(MEMBER) long spill(struct CONTEXT *ctx)
{
	RUN();
	asm volatile(
	    "*(u64 *)(r10 - 8) = %0; *(u64 *)(r10 - 16) = %0; *(u64 *)(r10 - 24) = %0" ::"r"(ctx)
	    : "memory");
	return chosen;
}
