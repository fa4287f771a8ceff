#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#define CONTEXT __sk_buff
#define MEMBER	"tc"
#define NEXT	TC_ACT_PIPE
#include "chain_path.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";
