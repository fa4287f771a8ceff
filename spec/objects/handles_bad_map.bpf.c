/* A map that no kernel creates: its refusal comes before any program's. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, 3);
	__uint(value_size, 4);
} odd_key SEC(".maps");

SEC("xdp")
int pass(struct xdp_md *ctx)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&odd_key, &key) ? XDP_PASS : XDP_DROP;
}

char _license[] SEC("license") = "GPL";
