/* Makes a member of a program that libbpf was about to load. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>

#include "core/chain/member.h"

#define MAX_STACK 512

/* BTF takes C identifiers only, ELF symbols may be anything ("f.constprop.0"). */
static void copy_identifier(char *to, const char *from)
{
	size_t i = 0;

	if (!from || !*from)
		from = "f";
	if (isdigit((unsigned char)*from))
		to[i++] = '_';
	for (; *from && i < MEMBER_NAME_SIZE - 1; from++)
		to[i++] = isalnum((unsigned char)*from) ? *from : '_';
	memset(to + i, 0, MEMBER_NAME_SIZE - i);
}

static void copy_text(char *to, const char *from, size_t size)
{
	snprintf(to, size, "%s", from);
}

static int map_id_of(int fd, __u32 *id)
{
	struct bpf_map_info info = {0};
	__u32 size = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &size))
		return -errno;
	*id = info.id;
	return 0;
}

/* Takes the descriptors out of the instructions and writes down what they meant. */
static int take_references(struct member *member)
{
	__u32 last_id = 0;
	int last_fd = -1;

	for (__u32 i = 0; i < member->insn_cnt; i++) {
		struct bpf_insn *insn = &member->insns[i];

		if (insn_loads_map(insn)) {
			if (insn->imm != last_fd) {
				int err = map_id_of(insn->imm, &last_id);

				if (err)
					return err;
				last_fd = insn->imm;
			}
			member->references[member->reference_cnt++] =
			    (struct map_reference){i, last_id};
			insn->imm = 0;
		}
		if (insn_is_wide(insn))
			i++;
	}
	return 0;
}

static int copy_instructions(const struct prepared_program *prepared, struct member *member)
{
	if (!prepared->insn_cnt || prepared->insn_cnt > MEMBER_MAX_INSNS)
		return -E2BIG;
	member->insns = malloc(prepared->insn_cnt * sizeof(*member->insns));
	member->references = calloc(prepared->insn_cnt, sizeof(*member->references));
	if (!member->insns || !member->references)
		return -ENOMEM;
	memcpy(member->insns, prepared->insns, prepared->insn_cnt * sizeof(*member->insns));
	member->insn_cnt = prepared->insn_cnt;
	return take_references(member);
}

/*
 * How deep the function visibly reaches into its stack: through the frame pointer, or a copy of it
 * with something subtracted. What it indexes with variables is not seen.
 */
static __u32 visible_depth(const struct member *member, const struct member_function *function)
{
	unsigned int copies = 1 << BPF_REG_10;
	int deepest = 0;

	for (__u32 i = function->start; i < function->end; i++) {
		const struct bpf_insn *insn = &member->insns[i];
		__u8 class = BPF_CLASS(insn->code);
		int offset = 0;

		if (class == BPF_LDX && copies & 1 << insn->src_reg)
			offset = insn->off;
		else if ((class == BPF_ST || class == BPF_STX) && copies & 1 << insn->dst_reg)
			offset = insn->off;
		else if (insn->code == (BPF_ALU64 | BPF_ADD | BPF_K) && copies & 1 << insn->dst_reg)
			offset = insn->imm;
		if (offset < deepest)
			deepest = offset;
		if (insn->code == (BPF_ALU64 | BPF_MOV | BPF_X) && insn->src_reg == BPF_REG_10)
			copies |= 1 << insn->dst_reg;
		else if (class != BPF_ST && class != BPF_STX && class != BPF_JMP &&
			 class != BPF_JMP32 && insn->dst_reg != BPF_REG_10)
			copies &= ~(1 << insn->dst_reg);
	}
	return deepest < -MAX_STACK ? MAX_STACK : -deepest;
}

/*
 * The verifier lists depths by function. Functions that it removed as dead are missing there, and
 * then nobody knows whose depth is whose: each gets the deepest. Kernels whose log we cannot read
 * leave zeros, hence the second look.
 */
static void copy_depths(const struct prepared_program *prepared, struct member *member)
{
	bool exact = prepared->stack_below_cnt + 1 == member->function_cnt;
	__u32 deepest = 0;

	for (__u32 i = 0; i < prepared->stack_below_cnt; i++)
		if (prepared->stack_below[i] > deepest)
			deepest = prepared->stack_below[i];
	for (__u32 i = 0; i < member->function_cnt; i++) {
		__u32 visible = visible_depth(member, &member->functions[i]);
		__u32 depth = i == 0 ? prepared->stack_main : deepest;

		if (i && exact)
			depth = prepared->stack_below[i - 1];
		if (visible > depth)
			depth = visible;
		member->functions[i].stack = (depth + 7) / 8 * 8;
	}
}

static const struct btf_type *function_type(const struct btf *btf, const struct function_info *info)
{
	const struct btf_type *type = btf ? btf__type_by_id(btf, info->type_id) : NULL;

	return type && btf_is_func(type) ? type : NULL;
}

/* Names functions, and keeps the BTF if one of them is global: its argument types are then part of
 * the verdict on it. */
static int copy_types(const struct prepared_program *prepared, struct member *member)
{
	struct btf *btf = NULL;
	bool keep = false;

	copy_identifier(member->functions[0].name, prepared->name);
	for (__u32 i = 1; i < member->function_cnt; i++)
		copy_text(member->functions[i].name, "function", MEMBER_NAME_SIZE);
	if (prepared->btf && prepared->btf_size)
		btf = btf__new(prepared->btf, prepared->btf_size);
	for (__u32 i = 1, k = 0; i < member->function_cnt && k < prepared->function_cnt; i++) {
		const struct btf_type *type;

		while (k < prepared->function_cnt &&
		       prepared->functions[k].insn_off < member->functions[i].start)
			k++;
		if (k == prepared->function_cnt ||
		    prepared->functions[k].insn_off != member->functions[i].start)
			continue;
		type = function_type(btf, &prepared->functions[k]);
		if (!type)
			continue;
		copy_identifier(member->functions[i].name,
				btf__name_by_offset(btf, type->name_off));
		if (btf_vlen(type) == BTF_FUNC_GLOBAL) {
			member->functions[i].type_id = prepared->functions[k].type_id;
			keep = true;
		}
	}
	btf__free(btf);
	if (!keep)
		return 0;
	member->btf = malloc(prepared->btf_size);
	if (!member->btf)
		return -ENOMEM;
	memcpy(member->btf, prepared->btf, prepared->btf_size);
	member->btf_size = prepared->btf_size;
	return 0;
}

/*
 * Functions of the kernel that a fused program must not call. bpf_throw unwinds the whole program,
 * not the member; the others take a type id of the object's own BTF as a number, which means
 * something else in the fused program's.
 */
static const char *const unmovable[] = {
    "bpf_throw",
    "bpf_obj_new_impl",
    "bpf_obj_drop_impl",
    "bpf_percpu_obj_new_impl",
    "bpf_percpu_obj_drop_impl",
    "bpf_refcount_acquire_impl",
};

static int check_kernel_calls(const struct member *member, const char **why)
{
	struct btf *btf = btf__load_vmlinux_btf();
	int err = 0;

	if (!btf)
		return -errno;
	for (__u32 i = 0; i < member->insn_cnt && !err; i++) {
		const struct bpf_insn *insn = &member->insns[i];
		const struct btf_type *type;
		const char *name;

		if (insn->code != (BPF_JMP | BPF_CALL) || insn->src_reg != SPECIAL_KFUNC_CALL)
			continue;
		type = btf__type_by_id(btf, insn->imm);
		name = type ? btf__name_by_offset(btf, type->name_off) : "";
		for (size_t k = 0; k < sizeof(unmovable) / sizeof(*unmovable); k++)
			if (!strcmp(name, unmovable[k]))
				err = -EOPNOTSUPP;
		if (err)
			*why =
			    insn->imm && !strcmp(name, "bpf_throw")
				? "it calls bpf_throw, which would end the whole chain"
				: "it allocates objects of its own types (bpf_obj_new and its kin)";
	}
	btf__free(btf);
	return err;
}

int member__from_prepared(const struct prepared_program *prepared, struct member *member,
			  const char **why)
{
	int err = copy_instructions(prepared, member);

	if (!err)
		err = member__analyse(member, why);
	if (!err && member->kernel_calls)
		err = check_kernel_calls(member, why);
	if (!err)
		err = copy_types(prepared, member);
	if (err)
		return err;
	copy_depths(prepared, member);
	copy_text(member->name, prepared->name, sizeof(member->name));
	copy_text(member->license, prepared->license, sizeof(member->license));
	member->type = prepared->type;
	member->expected_attach_type = prepared->expected_attach_type;
	member->flags = prepared->flags;
	return 0;
}
