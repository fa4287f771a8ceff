#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/chain/emit.h"

/* dst, src and so on by name, as in the kernel's own macros */
#define INSN(c, d, s, o, i)                                                                        \
	((struct bpf_insn){.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i)})
#define MOVE(d, s)	       INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define MOVE_IMM(d, i)	       INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define MOVE32(d, s)	       INSN(BPF_ALU | BPF_MOV | BPF_X, d, s, 0, 0)
#define MOVE32_IMM(d, i)       INSN(BPF_ALU | BPF_MOV | BPF_K, d, 0, 0, i)
#define ADD(d, s)	       INSN(BPF_ALU64 | BPF_ADD | BPF_X, d, s, 0, 0)
#define ADD_IMM(d, i)	       INSN(BPF_ALU64 | BPF_ADD | BPF_K, d, 0, 0, i)
#define ADD32_IMM(d, i)	       INSN(BPF_ALU | BPF_ADD | BPF_K, d, 0, 0, i)
#define MULTIPLY_IMM(d, i)     INSN(BPF_ALU64 | BPF_MUL | BPF_K, d, 0, 0, i)
#define SHIFT_RIGHT32(d, s)    INSN(BPF_ALU | BPF_RSH | BPF_X, d, s, 0, 0)
#define LOAD(d, s, o)	       INSN(BPF_LDX | BPF_MEM | BPF_DW, d, s, o, 0)
#define STORE(d, o, s)	       INSN(BPF_STX | BPF_MEM | BPF_DW, d, s, o, 0)
#define JUMP(o)		       INSN(BPF_JMP | BPF_JA, 0, 0, o, 0)
#define JUMP_IF(op, d, i, o)   INSN(BPF_JMP | (op) | BPF_K, d, 0, o, i)
#define JUMP32_IF(op, d, i, o) INSN(BPF_JMP32 | (op) | BPF_K, d, 0, o, i)
#define CALL_HELPER(i)	       INSN(BPF_JMP | BPF_CALL, 0, 0, 0, i)
#define CALL_FUNCTION(i)       INSN(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, i)
#define EXIT()		       INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

enum { R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, FRAME };

/* Proceed-on sets up to this size (the defaults have two and three) are compared one by one. */
#define MAX_COMPARISONS 3

/* Forward jumps that meet. */
struct jumps {
	__u32 at[MAX_COMPARISONS];
	__u32 count;
};

struct emitter {
	const struct chain *chain;
	const struct segment_plan *plan;
	const struct counter_layout *counters;
	struct segment_code *code;
	__u32 *calls; /* by member of the segment: where it is called, or where its inlined body
			 starts */
	int err;      /* the first failure; all later calls do nothing */
};

static const struct chain_member *planned(const struct emitter *e, __u32 i)
{
	return &e->chain->members[e->plan->first + i];
}

static void emit(struct emitter *e, struct bpf_insn insn)
{
	struct segment_code *code = e->code;

	if (code->insn_cnt == code->insn_room && !e->err) {
		__u32 room = code->insn_room ? code->insn_room * 2 : 1024;
		struct bpf_insn *insns = realloc(code->insns, room * sizeof(insn));

		if (insns) {
			code->insns = insns;
			code->insn_room = room;
		} else {
			e->err = -ENOMEM;
		}
	}
	if (!e->err)
		code->insns[code->insn_cnt++] = insn;
}

/* A forward jump, its distance still open; returns what land() takes. */
static __u32 emit_jump(struct emitter *e, struct bpf_insn insn)
{
	emit(e, insn);
	return e->code->insn_cnt - 1;
}

static void land(struct emitter *e, __u32 jump)
{
	__u32 distance = e->code->insn_cnt - jump - 1;

	if (e->err)
		return;
	if (distance > SHRT_MAX)
		e->err = -E2BIG;
	else
		e->code->insns[jump].off = distance;
}

static void emit_map(struct emitter *e, __u8 reg, __u8 kind, int fd, __u32 offset)
{
	emit(e, INSN(BPF_LD | BPF_IMM | BPF_DW, reg, kind, 0, fd));
	emit(e, INSN(0, 0, 0, 0, offset));
}

static void emit_load_context(struct emitter *e, __u8 reg)
{
	if (e->plan->context_slot)
		emit(e, LOAD(reg, FRAME, -(int)e->plan->context_slot));
	else
		emit(e, MOVE(reg, R6));
}

/*
 * Adds one at `position` in this CPU's row. Spends r0 to r2. No map lookup, because a lookup wants
 * its key on the stack, and when every member is called they may need all of it.
 */
static void emit_count(struct emitter *e, __u32 position)
{
	__u32 beyond;

	emit(e, CALL_HELPER(BPF_FUNC_get_smp_processor_id));
	beyond = emit_jump(e, JUMP_IF(BPF_JGE, R0, e->counters->cpu_cnt, 0));
	emit(e, MULTIPLY_IMM(R0, e->counters->row_size));
	/* row 0 says what follows */
	emit_map(e, R1, BPF_PSEUDO_MAP_VALUE, e->counters->fd,
		 e->counters->row_size + position * sizeof(__u64));
	emit(e, ADD(R1, R0));
	emit(e, LOAD(R2, R1, 0));
	emit(e, ADD_IMM(R2, 1));
	emit(e, STORE(R1, 0, R2));
	land(e, beyond);
}

/* A copy of instructions [start, end) of the member, with this process's descriptors in them. */
static void emit_copy(struct emitter *e, __u32 index, __u32 start, __u32 end)
{
	const struct member *member = &planned(e, index)->member;
	__u32 at = e->code->insn_cnt;

	for (__u32 i = start; i < end; i++)
		emit(e, member->insns[i]);
	for (__u32 i = 0; i < member->reference_cnt && !e->err; i++) {
		const struct map_reference *reference = &member->references[i];

		if (reference->insn >= start && reference->insn < end)
			e->code->insns[at + reference->insn - start].imm =
			    chain__map(e->chain, reference->map_id)->fd;
	}
	if (!e->err)
		e->code->spans[e->code->span_cnt++] =
		    (struct emitted_span){at, e->code->insn_cnt, e->plan->first + index};
}

/* The body, in the main frame: leaving it means to go on behind it. */
static void emit_inlined(struct emitter *e, __u32 index)
{
	const struct member *member = &planned(e, index)->member;
	__u32 length = member->functions[0].end;
	__u32 at = e->code->insn_cnt;

	e->calls[index] = at;
	emit_copy(e, index, 0, length);
	for (__u32 i = 0; i < length && !e->err; i++) {
		struct bpf_insn *insn = &e->code->insns[at + i];

		if (insn_is_wide(insn)) {
			i++;
		} else if (insn->code == (BPF_JMP | BPF_EXIT)) {
			*insn = JUMP(0);
			land(e, at + i);
		}
	}
}

static void emit_called(struct emitter *e, __u32 index)
{
	e->calls[index] = e->code->insn_cnt;
	emit(e, CALL_FUNCTION(0));
}

/* The verdict that a bit of a proceed-on mask stands for: TC counts from -1 (TC_ACT_UNSPEC), and
 * its dispatcher_return is 30. */
static int verdict_of(const struct emitter *e, int bit)
{
	return e->chain->kind == CHAIN_TC ? bit - 1 : bit;
}

/*
 * One comparison for each bit. Where a body returns a constant the verifier decides them all, and
 * they are gone from the program.
 */
static void emit_comparisons(struct emitter *e, __u32 mask, struct jumps *proceed)
{
	for (int bit = 0; bit < 32; bit++)
		if (mask >> bit & 1)
			proceed->at[proceed->count++] =
			    emit_jump(e, JUMP32_IF(BPF_JEQ, R0, verdict_of(e, bit), 0));
}

/* All bits at once. Above 31 there is no bit to ask, and a shift by more is not defined. */
static void emit_shift(struct emitter *e, __u32 mask, struct jumps *proceed)
{
	__u32 beyond;
	__u8 bit = R0;

	if (e->chain->kind == CHAIN_TC) {
		bit = R2;
		emit(e, MOVE32(R2, R0));
		emit(e, ADD32_IMM(R2, 1));
	}
	beyond = emit_jump(e, JUMP32_IF(BPF_JGT, bit, 31, 0));
	emit(e, MOVE32_IMM(R1, mask));
	emit(e, SHIFT_RIGHT32(R1, bit));
	proceed->at[proceed->count++] = emit_jump(e, JUMP32_IF(BPF_JSET, R1, 1, 0));
	land(e, beyond);
}

/* The verdict in r0, of which 32 bits count, ends the chain here, or the next member follows. */
static void emit_test(struct emitter *e, __u32 index)
{
	__u32 mask = planned(e, index)->mask;
	struct jumps proceed = {.count = 0};

	/* an empty set would compare nothing, and leave what follows out of reach */
	if (mask && __builtin_popcount(mask) <= MAX_COMPARISONS)
		emit_comparisons(e, mask, &proceed);
	else
		emit_shift(e, mask, &proceed);
	emit(e, MOVE(R6, R0));
	emit_count(e, e->plan->first + index);
	emit(e, MOVE(R0, R6));
	emit(e, EXIT());
	for (__u32 i = 0; i < proceed.count; i++)
		land(e, proceed.at[i]);
}

static void emit_end(struct emitter *e, int next_fd)
{
	int closed = e->chain->kind == CHAIN_XDP ? 0 /* XDP_ABORTED */ : 2 /* TC_ACT_SHOT */;

	if (!e->plan->last) {
		emit_load_context(e, R1);
		emit_map(e, R2, BPF_PSEUDO_MAP_FD, next_fd, 0);
		emit(e, MOVE_IMM(R3, 0));
		emit(e, CALL_HELPER(BPF_FUNC_tail_call));
		/* Members have spent the packet's 33 tail calls. The rest of the chain must not be
		 * skipped unseen. */
		emit_count(e, e->chain->member_cnt + 1);
		emit(e, MOVE_IMM(R0, closed));
	} else {
		emit_count(e, e->chain->member_cnt);
		emit(e, MOVE_IMM(R0, e->chain->end_verdict));
	}
	emit(e, EXIT());
}

static void emit_main(struct emitter *e, int next_fd)
{
	if (e->plan->context_slot)
		emit(e, STORE(FRAME, -(int)e->plan->context_slot, R1));
	else
		emit(e, MOVE(R6, R1));
	for (__u32 i = 0; i < e->plan->count; i++) {
		if (i)
			emit_load_context(e, R1);
		if (planned(e, i)->called)
			emit_called(e, i);
		else
			emit_inlined(e, i);
		emit_test(e, i);
	}
	emit_end(e, next_fd);
}

/* An inlined body has left its functions behind: point its calls at where they are now. */
static void mend_calls(struct emitter *e, __u32 index, __u32 functions_at)
{
	const struct member *member = &planned(e, index)->member;
	__u32 length = member->functions[0].end;

	for (__u32 i = 0; i < length && !e->err; i++) {
		__u32 at = e->calls[index] + i;
		struct bpf_insn *insn = &e->code->insns[at];

		if (insn_calls_function(insn) || insn_takes_function(insn)) {
			__u32 target = i + insn->imm + 1;

			insn->imm = (int)(functions_at + target - length) - (int)at - 1;
		}
		if (insn_is_wide(insn))
			i++;
	}
}

/* Functions move as one block: their calls to each other are relative, and stay right. */
static void emit_functions(struct emitter *e, __u32 index)
{
	const struct chain_member *member = planned(e, index);
	__u32 skipped = member->called ? 0 : 1;
	__u32 start = member->called ? 0 : member->member.functions[0].end;
	__u32 at = e->code->insn_cnt;

	if (e->err)
		return;
	if (member->called)
		e->code->insns[e->calls[index]].imm = (int)at - (int)e->calls[index] - 1;
	else
		mend_calls(e, index, at);
	if (start == member->member.insn_cnt)
		return;
	emit_copy(e, index, start, member->member.insn_cnt);
	for (__u32 i = skipped; i < member->member.function_cnt; i++)
		e->code->functions[e->code->function_cnt++] = (struct emitted_function){
		    at + member->member.functions[i].start - start, e->plan->first + index, i};
}

static int allocate(struct emitter *e)
{
	__u32 functions = 0;

	for (__u32 i = 0; i < e->plan->count; i++)
		functions += planned(e, i)->member.function_cnt;
	e->calls = calloc(e->plan->count, sizeof(*e->calls));
	e->code->functions = calloc(functions, sizeof(*e->code->functions));
	e->code->spans = calloc(2 * (size_t)e->plan->count, sizeof(*e->code->spans));
	return e->calls && e->code->functions && e->code->spans ? 0 : -ENOMEM;
}

int emit__segment(const struct chain *chain, const struct segment_plan *plan,
		  const struct counter_layout *counters, int next_fd, struct segment_code *code)
{
	struct emitter e = {.chain = chain, .plan = plan, .counters = counters, .code = code};

	memset(code, 0, sizeof(*code));
	e.err = allocate(&e);
	if (!e.err)
		emit_main(&e, next_fd);
	for (__u32 i = 0; i < plan->count; i++)
		emit_functions(&e, i);
	free(e.calls);
	return e.err;
}

void segment_code__release(struct segment_code *code)
{
	free(code->insns);
	free(code->functions);
	free(code->spans);
	memset(code, 0, sizeof(*code));
}
