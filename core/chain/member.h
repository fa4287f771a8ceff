/*
 * One member of a chain: its relocated instructions and what they are made of, in a form that no
 * process's descriptors are part of. Comes from a record, which is input: nothing here is trusted
 * before member__analyse() has accepted it.
 */
#ifndef CORE_CHAIN_MEMBER_H
#define CORE_CHAIN_MEMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>

#include "core/prepared.h"

#define MEMBER_NAME_SIZE     128
#define MEMBER_LICENSE_SIZE  64
#define MEMBER_MAX_INSNS     1000000
#define MEMBER_MAX_FUNCTIONS 256 /* the kernel's BPF_MAX_SUBPROGS */
#define MEMBER_MAX_MAPS	     64	 /* the kernel's MAX_USED_MAPS */

/* Younger than the oldest headers that we build with. */
#define OPCODE_JCOND	   0xe0 /* may_goto, 6.9 */
#define MAP_TYPE_ARENA	   33	/* 6.9 */
#define SPECIAL_KFUNC_CALL 2	/* BPF_PSEUDO_KFUNC_CALL */

/* The ld_imm64 at `insn` names this map. */
struct map_reference {
	__u32 insn;
	__u32 map_id;
};

struct member_function {
	char name[MEMBER_NAME_SIZE]; /* a valid C identifier */
	__u32 start;
	__u32 end;
	__u32 stack;	 /* bytes, a multiple of 8 */
	__u32 type_id;	 /* FUNC in the member's btf, where that has to be kept; else 0 */
	bool tail_calls; /* itself, not through others */
};

/* `caller` calls `callee`, or hands it to a helper as callback. */
struct member_call {
	__u32 caller;
	__u32 callee;
};

struct member {
	char name[MEMBER_NAME_SIZE]; /* as the user knows it */
	char license[MEMBER_LICENSE_SIZE];
	__u32 type;
	__u32 expected_attach_type;
	__u32 flags;

	struct bpf_insn *insns;
	__u32 insn_cnt;
	struct map_reference *references; /* ascending by insn, one for each map load */
	__u32 reference_cnt;
	struct member_function *functions; /* [0] is the body, the part that the hook runs */
	__u32 function_cnt;
	void *btf; /* only where a function of its own is checked on its own */
	__u32 btf_size;
	char *note; /* the caller's, opaque */
	__u32 note_size;

	/* what member__analyse() found */
	struct member_call *calls;
	__u32 call_cnt;
	bool legacy_loads; /* the body has LD_ABS or LD_IND, which leave the program when out of
			      range */
	bool may_goto;	   /* the verifier adds a counter to the stack */
	bool kernel_calls; /* calls functions of the kernel by BTF id */
};

/* What a function and all that it calls need, with frames rounded as this kernel does. */
struct footprint {
	__u32 stack;  /* its own frame and the deepest below it */
	__u32 below;  /* the deepest below it alone */
	__u32 frames; /* nested, itself included */
	/*
	 * How many bytes may lie above it, and above what it calls: the kernel allows 255 above any
	 * function from which a tail call can be reached.
	 */
	int slack;
	int slack_below;
};

/* How the kernel rounds a frame: since 6.9 to 16 (with a JIT), before to 32 and at least that. */
enum frame_rounding { FRAME_ROUND_16, FRAME_ROUND_32 };

__u32 round_frame(__u32 bytes, enum frame_rounding rounding);

static inline bool insn_is_wide(const struct bpf_insn *insn)
{
	return insn->code == (BPF_LD | BPF_IMM | BPF_DW);
}

static inline bool insn_loads_map(const struct bpf_insn *insn)
{
	return insn_is_wide(insn) &&
	       (insn->src_reg == BPF_PSEUDO_MAP_FD || insn->src_reg == BPF_PSEUDO_MAP_VALUE);
}

/* A call to a function of the program itself, whose imm is relative. */
static inline bool insn_calls_function(const struct bpf_insn *insn)
{
	return insn->code == (BPF_JMP | BPF_CALL) && insn->src_reg == BPF_PSEUDO_CALL;
}

static inline bool insn_takes_function(const struct bpf_insn *insn)
{
	return insn_is_wide(insn) && insn->src_reg == BPF_PSEUDO_FUNC;
}

/*
 * Finds the functions (their starts and ends; names, stack and types are left as they are when the
 * count was already right) and calls, and proves that no jump leaves its function, no function
 * falls out of its end, none recurses, and nothing refers to a descriptor. Returns 0, -ENOMEM,
 * -EINVAL with `*why` set, or -EOPNOTSUPP with `*why` set for a program that is well-formed and
 * cannot be moved into another.
 */
int member__analyse(struct member *member, const char **why);

/* Footprints of all functions, `out` has function_cnt places. */
void member__footprints(const struct member *member, enum frame_rounding rounding,
			struct footprint *out);

/*
 * Fills an empty member from a program that was just loaded; its map descriptors must still be
 * open. Returns what member__analyse() does, or an error of the kernel. Release in any case.
 */
int member__from_prepared(const struct prepared_program *prepared, struct member *member,
			  const char **why);

void member__release(struct member *member);

#endif
