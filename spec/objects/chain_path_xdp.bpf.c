#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define CONTEXT xdp_md
#define MEMBER	"xdp"
#define NEXT	XDP_PASS
#include "chain_path.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";
