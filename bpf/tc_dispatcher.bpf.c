// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* The XDP dispatcher's sibling for TC: bit 0 of a mask is TC_ACT_UNSPEC (-1), and the end's verdict
 * can be chosen. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#include "dispatcher.h"

volatile const struct tc_dispatcher_config conf = {};

/* See xdp_dispatcher.h. */
#define SLOT(NAME)                                                                                 \
	__attribute__((noinline)) int NAME(struct __sk_buff *skb)                                  \
	{                                                                                          \
		volatile int verdict = TC_DISPATCHER_RETURN;                                       \
                                                                                                   \
		if (!skb)                                                                          \
			return TC_ACT_SHOT;                                                        \
		bpf_skb_pull_data(skb, 0);                                                         \
		return verdict;                                                                    \
	}

SLOT(prog0)
SLOT(prog1)
SLOT(prog2)
SLOT(prog3)
SLOT(prog4)
SLOT(prog5)
SLOT(prog6)
SLOT(prog7)
SLOT(prog8)
SLOT(prog9)
SLOT(compat_test)

#define RUN(NUMBER)                                                                                \
	do {                                                                                       \
		if (conf.chain.slots_used <= NUMBER)                                               \
			return conf.finish;                                                        \
		verdict = prog##NUMBER(skb);                                                       \
		if (verdict + 1 > 31 || !(conf.chain.masks[NUMBER] >> (verdict + 1) & 1))          \
			return verdict;                                                            \
	} while (0)

SEC("tc")
int tc_dispatcher(struct __sk_buff *skb)
{
	__u32 verdict;

	RUN(0);
	RUN(1);
	RUN(2);
	RUN(3);
	RUN(4);
	RUN(5);
	RUN(6);
	RUN(7);
	RUN(8);
	RUN(9);
	if (conf.chain.slots_used > DISPATCHER_SLOTS)
		return compat_test(skb);
	return conf.finish;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
