// SPDX-License-Identifier: MIT OR GPL-2.0
/* Uses 40 of the 64 maps that one program may have, so that no two of it fit into one program. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define MAP(name)                                                                                  \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                  \
		__uint(max_entries, 1);                                                            \
		__type(key, __u32);                                                                \
		__type(value, __u64);                                                              \
	} name SEC(".maps");
#define TEN(each, n) each(n##0) each(n##1) each(n##2) each(n##3) each(n##4) \
	each(n##5) each(n##6) each(n##7) each(n##8) each(n##9)
#define FORTY(each) TEN(each, map_0) TEN(each, map_1) TEN(each, map_2) TEN(each, map_3)
#define COUNT(name)                                                                                \
	count = bpf_map_lookup_elem(&name, &key);                                                  \
	if (count)                                                                                 \
		++*count;

FORTY(MAP)

SEC("xdp")
int many_maps(struct xdp_md *ctx)
{
	__u32 key = 0;
	__u64 *count;

	FORTY(COUNT)
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
