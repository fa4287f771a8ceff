#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/chain/member.h"

__u32 round_frame(__u32 bytes, enum frame_rounding rounding)
{
	if (rounding == FRAME_ROUND_16)
		return (bytes + 15) / 16 * 16;
	return bytes ? (bytes + 31) / 32 * 32 : 32;
}

static int refuse(const char **why, int err, const char *reason)
{
	*why = reason;
	return err;
}

/* The target of a call or callback at i, or 0, which nothing may call. */
static __u32 function_target(const struct member *member, __u32 i)
{
	__s64 target = (__s64)i + member->insns[i].imm + 1;

	return target > 0 && target < member->insn_cnt ? target : 0;
}

static int check_wide(const struct member *member, __u32 i, const char **why)
{
	const struct bpf_insn *insn = &member->insns[i];

	if (i + 1 == member->insn_cnt || insn[1].code)
		return refuse(why, -EINVAL, "half an instruction");
	switch (insn->src_reg) {
	case 0:
	case BPF_PSEUDO_MAP_FD:
	case BPF_PSEUDO_MAP_VALUE:
	case BPF_PSEUDO_FUNC:
		return 0;
	case BPF_PSEUDO_BTF_ID:
		if (insn[1].imm)
			return refuse(why, -EOPNOTSUPP, "it uses a variable of a kernel module");
		return 0;
	default:
		return refuse(why, -EOPNOTSUPP, "it loads through a descriptor array");
	}
}

static int check_references(const struct member *member, const char **why)
{
	__u32 next = 0;

	for (__u32 i = 0; i < member->insn_cnt; i++) {
		if (insn_loads_map(&member->insns[i])) {
			if (next == member->reference_cnt || member->references[next].insn != i ||
			    !member->references[next].map_id)
				return refuse(why, -EINVAL, "a map without a name");
			next++;
		}
		if (insn_is_wide(&member->insns[i]))
			i++;
	}
	if (next != member->reference_cnt)
		return refuse(why, -EINVAL, "a map reference that no instruction makes");
	return 0;
}

/* Marks where functions start, and what the program does. */
static int survey(struct member *member, unsigned char *starts, const char **why)
{
	starts[0] = 1;
	for (__u32 i = 0; i < member->insn_cnt; i++) {
		const struct bpf_insn *insn = &member->insns[i];

		if (insn_calls_function(insn) || insn_takes_function(insn)) {
			if (!function_target(member, i))
				return refuse(why, -EINVAL, "a call to nowhere");
			starts[function_target(member, i)] = 1;
			member->call_cnt++;
		} else if (insn->code == (BPF_JMP | BPF_CALL) &&
			   insn->src_reg == SPECIAL_KFUNC_CALL) {
			if (insn->off)
				return refuse(why, -EOPNOTSUPP,
					      "it calls a function of a kernel module");
			member->kernel_calls = true;
		} else if (insn->code == (BPF_JMP | OPCODE_JCOND)) {
			member->may_goto = true;
		}
		if (insn_is_wide(insn)) {
			int err = check_wide(member, i, why);

			if (err)
				return err;
			i++;
		}
	}
	return 0;
}

static int find_functions(struct member *member, const unsigned char *starts, const char **why)
{
	__u32 cnt = 0, function = 0;

	for (__u32 i = 0; i < member->insn_cnt; i++)
		cnt += starts[i];
	if (cnt > MEMBER_MAX_FUNCTIONS)
		return refuse(why, -EINVAL, "too many functions");
	if (cnt != member->function_cnt) {
		free(member->functions);
		member->functions = calloc(cnt, sizeof(*member->functions));
		member->function_cnt = member->functions ? cnt : 0;
		if (!member->functions)
			return -ENOMEM;
	}
	for (__u32 i = 0; i < member->insn_cnt; i++) {
		if (!starts[i])
			continue;
		if (function)
			member->functions[function - 1].end = i;
		member->functions[function++].start = i;
	}
	member->functions[cnt - 1].end = member->insn_cnt;
	return 0;
}

static __u32 function_at(const struct member *member, __u32 start)
{
	__u32 low = 0, high = member->function_cnt - 1;

	while (low < high) {
		__u32 middle = (low + high + 1) / 2;

		if (member->functions[middle].start <= start)
			low = middle;
		else
			high = middle - 1;
	}
	return low;
}

/* Whether the instruction may jump, and where to. The long form (gotol, 6.6) is JMP32 | JA with the
 * distance in imm. */
static bool jump_target(const struct bpf_insn *insn, __u32 i, __s64 *target)
{
	__u8 class = BPF_CLASS(insn->code), operation = BPF_OP(insn->code);

	if (class != BPF_JMP && class != BPF_JMP32)
		return false;
	if (operation == BPF_CALL || operation == BPF_EXIT)
		return false;
	*target =
	    (__s64)i + 1 + (class == BPF_JMP32 && operation == BPF_JA ? insn->imm : insn->off);
	return true;
}

static bool ends_function(const struct bpf_insn *insn)
{
	return insn->code == (BPF_JMP | BPF_EXIT) || insn->code == (BPF_JMP | BPF_JA) ||
	       insn->code == (BPF_JMP32 | BPF_JA);
}

static int check_function(struct member *member, __u32 index, struct member_call **call,
			  const char **why)
{
	struct member_function *function = &member->functions[index];
	__u32 last = function->start;

	function->tail_calls = false;
	for (__u32 i = function->start; i < function->end; i++) {
		const struct bpf_insn *insn = &member->insns[i];
		__u8 mode = BPF_MODE(insn->code);
		__s64 target;

		last = i;
		if (jump_target(insn, i, &target) &&
		    (target < function->start || target >= function->end))
			return refuse(why, -EINVAL, "a jump out of its function");
		if (insn_calls_function(insn) || insn_takes_function(insn))
			*(*call)++ = (struct member_call){
			    index, function_at(member, function_target(member, i))};
		if (insn->code == (BPF_JMP | BPF_CALL) && !insn->src_reg &&
		    insn->imm == BPF_FUNC_tail_call)
			function->tail_calls = true;
		if (index == 0 && BPF_CLASS(insn->code) == BPF_LD &&
		    (mode == BPF_ABS || mode == BPF_IND))
			member->legacy_loads = true;
		if (insn_is_wide(insn) && ++i == function->end)
			return refuse(why, -EINVAL, "half an instruction");
	}
	if (!ends_function(&member->insns[last]))
		return refuse(why, -EINVAL, "a function without an end");
	return 0;
}

/* Peels off functions that call nothing that is left: what remains calls itself. */
static int check_recursion(const struct member *member, const char **why)
{
	bool done[MEMBER_MAX_FUNCTIONS] = {false};
	bool progress = true;
	__u32 left = member->function_cnt;

	while (left && progress) {
		bool waits[MEMBER_MAX_FUNCTIONS] = {false};

		progress = false;
		for (__u32 i = 0; i < member->call_cnt; i++)
			if (!done[member->calls[i].callee])
				waits[member->calls[i].caller] = true;
		for (__u32 i = 0; i < member->function_cnt; i++) {
			if (done[i] || waits[i])
				continue;
			done[i] = progress = true;
			left--;
		}
	}
	return left ? refuse(why, -EINVAL, "a function that calls itself") : 0;
}

static int check_functions(struct member *member, const char **why)
{
	struct member_call *call;

	member->calls = calloc(member->call_cnt + 1, sizeof(*member->calls));
	if (!member->calls)
		return -ENOMEM;
	call = member->calls;
	for (__u32 i = 0; i < member->function_cnt; i++) {
		int err = check_function(member, i, &call, why);

		if (err)
			return err;
	}
	return check_recursion(member, why);
}

int member__analyse(struct member *member, const char **why)
{
	unsigned char *starts;
	int err;

	*why = "no memory";
	if (!member->insn_cnt || member->insn_cnt > MEMBER_MAX_INSNS)
		return refuse(why, -EINVAL, "no instructions, or too many");
	starts = calloc(member->insn_cnt, 1);
	if (!starts)
		return -ENOMEM;
	member->call_cnt = 0;
	free(member->calls);
	member->calls = NULL;
	err = survey(member, starts, why);
	if (!err)
		err = check_references(member, why);
	if (!err)
		err = find_functions(member, starts, why);
	free(starts);
	return err ?: check_functions(member, why);
}

static void fill_footprint(const struct member *member, enum frame_rounding rounding, __u32 index,
			   struct footprint *out)
{
	__u32 frame = round_frame(member->functions[index].stack, rounding);
	struct footprint sum = {.frames = 1, .slack = INT_MAX, .slack_below = INT_MAX};

	if (out[index].frames)
		return;
	for (__u32 i = 0; i < member->call_cnt; i++) {
		const struct footprint *callee = &out[member->calls[i].callee];

		if (member->calls[i].caller != index)
			continue;
		fill_footprint(member, rounding, member->calls[i].callee, out);
		if (callee->stack > sum.below)
			sum.below = callee->stack;
		if (callee->frames >= sum.frames)
			sum.frames = callee->frames + 1;
		if (callee->slack < sum.slack_below)
			sum.slack_below = callee->slack;
	}
	sum.stack = frame + sum.below;
	if (member->functions[index].tail_calls || sum.slack_below < INT_MAX)
		sum.slack = 255;
	if (sum.slack_below < INT_MAX && sum.slack_below - (int)frame < sum.slack)
		sum.slack = sum.slack_below - (int)frame;
	out[index] = sum;
}

void member__footprints(const struct member *member, enum frame_rounding rounding,
			struct footprint *out)
{
	memset(out, 0, member->function_cnt * sizeof(*out));
	for (__u32 i = 0; i < member->function_cnt; i++)
		fill_footprint(member, rounding, i, out);
}

void member__release(struct member *member)
{
	free(member->insns);
	free(member->references);
	free(member->functions);
	free(member->btf);
	free(member->note);
	free(member->calls);
	memset(member, 0, sizeof(*member));
}
