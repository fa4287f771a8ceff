/* XDP members at the verifier's limits. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Some 250,000 verified instructions: four make the kernel's million. */
SEC("xdp") int heavy(struct xdp_md *ctx)
{
	volatile long sum = 0;

	for (int i = 0; i < 41000; i++)
		sum += i;
	return sum ? XDP_PASS : XDP_DROP;
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

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} nowhere SEC(".maps");

/* Must be called, for its tail call, and cannot be, because it fills all frames itself. */
SEC("xdp") long frames_and_jump(struct xdp_md *ctx)
{
	volatile long value = XDP_PASS;

	bpf_tail_call(ctx, &nowhere, 0);
	return frame_2(&value);
}

char LICENSE[] SEC("license") = "GPL";
