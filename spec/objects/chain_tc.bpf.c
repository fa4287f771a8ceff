#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define CONTEXT __sk_buff
#define MEMBER	"tc"
#include "chain_members.h"

unsigned long long load_byte(void *skb, unsigned long long off) asm("llvm.bpf.load.byte");

SEC("tc") long load_inside(struct __sk_buff *skb)
{
	RUN();
	return load_byte(skb, 12) == 8 ? chosen : 77;
}

/* Out of range: the program ends here and returns 0. */
SEC("tc") long load_outside(struct __sk_buff *skb)
{
	RUN();
	return load_byte(skb, 4000) + 77;
}

SEC("tc") long pull(struct __sk_buff *skb)
{
	RUN();
	return bpf_skb_pull_data(skb, 40) ? 77 : chosen;
}

/* Writes to the packet in place, for which the verifier puts instructions of its own in front. */
SEC("tc") long write(struct __sk_buff *skb)
{
	unsigned char *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	RUN();
	if (data + 14 > end)
		return 77;
	data[0] ^= 1;
	return chosen;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
