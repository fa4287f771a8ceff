/* A map of the same name as daemon.bpf.c's and of another shape; and an object without such a map. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} hits SEC(".maps");

SEC("xdp")
int other_shape(struct xdp_md *ctx)
{
	__u32 key = 1;

	return bpf_map_lookup_elem(&hits, &key) ? XDP_PASS : XDP_ABORTED;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
