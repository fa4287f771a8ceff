#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#define CONTEXT xdp_md
#define MEMBER	"xdp"
#define NEXT	XDP_PASS
#include "chain_traffic.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";
