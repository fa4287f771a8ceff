/* Not GPL: cannot be one program with members that are. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	volatile long verdict;
	volatile long of_target;
} choice = {2, 0};
__u64 runs;

SEC("xdp") long proprietary(struct xdp_md *ctx)
{
	__sync_fetch_and_add(&runs, 1);
	return choice.verdict;
}

char LICENSE[] SEC("license") = "MIT";
