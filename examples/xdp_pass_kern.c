// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * Two XDP programs in one object; --name chooses.
 *
 *   bpfctl load-from-file --path xdp_pass_kern.o --name pass \
 *       xdp --iface eth0 --priority 100
 *   bpfctl load-from-file --path xdp_pass_kern.o --name \
 *       xdp -g DROP_PORT=u16:7007 xdp --iface eth0 --priority 30
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* The UDP port whose packets `xdp` drops, in host order; 0 drops nothing. Set it with -g when
 * loading. */
volatile const __u16 DROP_PORT = 0;

/*
 * The smallest XDP program there is: the next member of the chain, if any, sees the packet too.
 *
 * Usually the section is plain "xdp"; a function called xdp rules that out, because a section is a
 * symbol as well. bpfd goes by the command's word and not by the section, so the older form with a
 * name behind the slash loads just the same.
 */
SEC("xdp/pass")
int pass(struct xdp_md *ctx)
{
	return XDP_PASS;
}

/* Drops IPv4 UDP packets to DROP_PORT and passes everything else. */
SEC("xdp/xdp")
int xdp(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *ethernet = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(ethernet + 1);
	struct udphdr *udp;

	/* The verifier wants every pointer compared with the packet's end before it is read. */
	if ((void *)(ip + 1) > end || ethernet->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	if (ip->protocol != IPPROTO_UDP || ip->ihl < 5)
		return XDP_PASS;

	udp = (void *)ip + ip->ihl * 4;
	if ((void *)(udp + 1) > end)
		return XDP_PASS;
	if (DROP_PORT && udp->dest == bpf_htons(DROP_PORT))
		return XDP_DROP;
	return XDP_PASS;
}

/* Dual, so that GPL-only helpers stay within reach of whoever copies this. */
char LICENSE[] SEC("license") = "Dual MIT/GPL";
