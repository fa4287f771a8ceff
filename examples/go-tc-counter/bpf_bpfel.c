// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * Counts packets and bytes on TC, before or after the network stack.
 *
 *   bpfctl load-from-file --path go-tc-counter/bpf_bpfel.o -n stats \
 *       tc --direction egress --iface eth0 --priority 100
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

struct datarec {
	__u64 packets;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct datarec);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} tc_stats_map SEC(".maps");

/* TC_ACT_PIPE stands for "no opinion": it is in the default proceed-on list, so the chain goes on.
 */
SEC("tc")
int stats(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct datarec *seen = bpf_map_lookup_elem(&tc_stats_map, &key);

	if (seen) {
		seen->packets++;
		seen->bytes += skb->len;
	}
	return TC_ACT_PIPE;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
