// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * Lets every packet on, and shows how global variables are set when a program is loaded: bytes in
 * memory order, or a number with its type.
 *
 *   bpfctl load-from-file -p accept-all.o -g GLOBAL_1=01020304 GLOBAL_2=0A0B0C0D -n accept \
 *       tc -d ingress -i eth0 -p 40
 *   bpfctl load-from-file -p accept-all.o -g GLOBAL_1=u32:7 GLOBAL_2=u32:255 -n accept \
 *       tc -d ingress -i eth0 -p 40
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

/* `const`: only the loader writes them. `volatile`: the compiler must not believe the zero. */
volatile const __u32 GLOBAL_1 = 0; /* the mark that packets get ... */
volatile const __u32 GLOBAL_2 = 0; /* ... in these of its bits */

/*
 * A section name of the days before libbpf 1.0: bpfd goes by the command's word (`tc`) and loads it
 * unchanged.
 */
SEC("classifier/accept")
int accept(struct __sk_buff *skb)
{
	__u32 bits = GLOBAL_2;

	if (bits)
		skb->mark = (skb->mark & ~bits) | (GLOBAL_1 & bits);
	return TC_ACT_OK;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
