// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * A TC filter by source address. What stands in the map `blocked` is dropped, the rest passes.
 *
 *   bpfctl load-from-file --path filter.bpf.o --name classifier \
 *       tc --direction ingress --iface eth0 --priority 110
 *   bpfctl map set ID blocked 10.0.0.7 0
 *   bpfctl map show ID blocked --key ip4
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* IPv4 source address in network order -> how many of its packets were dropped. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __be32);
	__type(value, __u64);
} blocked SEC(".maps");

SEC("tc")
int classifier(struct __sk_buff *skb)
{
	void *end = (void *)(long)skb->data_end;
	struct ethhdr *ethernet = (void *)(long)skb->data;
	struct iphdr *ip = (void *)(ethernet + 1);
	__u64 *dropped;

	if ((void *)(ip + 1) > end || ethernet->h_proto != bpf_htons(ETH_P_IP))
		return TC_ACT_OK;

	dropped = bpf_map_lookup_elem(&blocked, &ip->saddr);
	if (!dropped)
		return TC_ACT_OK;
	__sync_fetch_and_add(dropped, 1);
	return TC_ACT_SHOT;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
