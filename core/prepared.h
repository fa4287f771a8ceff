/*
 * A program as libbpf was about to give it to the kernel: relocated, CO-RE applied, maps created. A
 * fused chain is made of these, and they exist nowhere else: the kernel's xlated dump cannot be
 * loaded back.
 */
#ifndef CORE_PREPARED_H
#define CORE_PREPARED_H

#include <stddef.h>
#include <linux/bpf.h>

struct function_info { /* struct bpf_func_info, trimmed to what the kernel reads */
	__u32 insn_off;
	__u32 type_id; /* in `btf` */
};

struct prepared_program {
	char name[128]; /* the function's whole name, not the kernel's 15 letters */
	char license[64];
	__u32 type; /* enum bpf_prog_type, as loaded */
	__u32 expected_attach_type;
	__u32 flags;	  /* prog_flags: BPF_F_XDP_HAS_FRAGS, BPF_F_SLEEPABLE ... */
	__u32 stack_main; /* bytes: the verifier's "stack depth a+b+c"; frames of subprograms in
			     stack_below */
	__u32 stack_below[256];
	__u32 stack_below_cnt;
	struct bpf_insn *insns; /* pseudo map loads hold descriptors of the loading process */
	size_t insn_cnt;
	struct function_info *functions; /* may be NULL: objects without -g */
	size_t function_cnt;
	void *btf; /* raw, as loaded; NULL without */
	size_t btf_size;
};

void prepared_program__free(struct prepared_program *prepared);

#endif
