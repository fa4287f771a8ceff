// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* The XDP dispatcher's sibling for TC: bit 0 of a mask is TC_ACT_UNSPEC (-1), and the end's verdict
 * can be chosen. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#define CONTEXT		struct __sk_buff
#define CONSTANTS	struct tc_dispatcher_config
#define CHAIN		conf.chain
#define FINISH		conf.finish
#define EMPTY_SLOT	TC_DISPATCHER_RETURN
#define NO_CONTEXT	TC_ACT_SHOT
#define CHANGE_PACKET	bpf_skb_pull_data
#define BIT_OF(VERDICT) ((VERDICT) + 1)
#include "slots.h"

SEC("tc")
int tc_dispatcher(struct __sk_buff *skb)
{
	return run_slots(skb);
}
