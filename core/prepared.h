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

/* Reads the stack depths out of a verifier log of level 4. -ENOENT: it does not tell them. */
int prepared_program__read_stack(struct prepared_program *prepared, const char *log);

struct bpf_program;

/*
 * Where prepared XDP and TC programs go on their way into the kernel. It owns `prepared` whatever
 * it returns; a negative answer stops that program's load.
 */
typedef int (*prepared_program_taker)(struct bpf_program *program,
				      struct prepared_program *prepared, void *context);

/*
 * Puts our section handlers before libbpf's own, once per process: they name the types of sections
 * that libbpf 1.x no longer knows, and let any other name pass as untyped instead of failing the
 * whole object. libbpf's registry has no lock; open and load objects on one thread at a time.
 */
int section_handlers__register(void);

/* From now on until NULL is given. */
void section_handlers__give_to(prepared_program_taker taker, void *context);

#endif
