#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>

#include "core/chain/types.h"

struct types {
	struct btf *btf;
	int entry; /* int (struct xdp_md *) or int (struct __sk_buff *) */
	int own;   /* int (void *) */
	/* by member of the chain: what was added to its type ids, 0 if its BTF is not in */
	__u32 *shift;
};

static int add_prototype(struct btf *btf, int result, int argument, const char *name)
{
	int pointer = btf__add_ptr(btf, argument);
	int prototype = pointer < 0 ? pointer : btf__add_func_proto(btf, result);
	int err = prototype < 0 ? prototype : btf__add_func_param(btf, name, pointer);

	return err < 0 ? err : prototype;
}

/* The verifier knows a context by the name of its struct alone. */
static int add_prototypes(struct types *types, enum chain_kind kind)
{
	int result = btf__add_int(types->btf, "int", 4, BTF_INT_SIGNED);
	int context;

	if (result < 0)
		return result;
	context = btf__add_struct(types->btf, kind == CHAIN_XDP ? "xdp_md" : "__sk_buff", 0);
	if (context < 0)
		return context;
	types->entry = add_prototype(types->btf, result, context, "ctx");
	if (types->entry < 0)
		return types->entry;
	types->own = add_prototype(types->btf, result, 0, "argument");
	return types->own < 0 ? types->own : 0;
}

/* The same program twice brings its types once. */
static __u32 shift_of_same(const struct chain *chain, const struct types *types, __u32 index)
{
	const struct member *member = &chain->members[index].member;

	for (__u32 i = 0; i < chain->member_cnt; i++) {
		const struct member *other = &chain->members[i].member;

		if (types->shift[i] && other->btf_size == member->btf_size &&
		    !memcmp(other->btf, member->btf, member->btf_size))
			return types->shift[i];
	}
	return 0;
}

static int merge(const struct chain *chain, struct types *types, __u32 index)
{
	const struct member *member = &chain->members[index].member;
	struct btf *own;
	int err;

	if (types->shift[index])
		return 0;
	types->shift[index] = shift_of_same(chain, types, index);
	if (types->shift[index])
		return 0;
	own = btf__new(member->btf, member->btf_size);
	if (!own)
		return -errno;
	types->shift[index] = btf__type_cnt(types->btf) - 1;
	err = btf__add_btf(types->btf, own);
	btf__free(own);
	return err < 0 ? err : 0;
}

/*
 * The entry of a called member is a *global* function of our own prototype. As a static one the
 * verifier of some kernels believes that it returns only what follows a failed tail call, folds the
 * proceed-on test, and deletes a branch; and the object's own prototype may say `void *`, or not
 * exist. Its other functions are what they were.
 */
static int add_function(const struct chain *chain, struct types *types,
			const struct emitted_function *emitted)
{
	const struct member *member = &chain->members[emitted->member].member;
	const struct member_function *function = &member->functions[emitted->function];
	int err;

	if (!emitted->function)
		return btf__add_func(types->btf, function->name, BTF_FUNC_GLOBAL, types->entry);
	if (!function->type_id)
		return btf__add_func(types->btf, function->name, BTF_FUNC_STATIC, types->own);
	err = merge(chain, types, emitted->member);
	return err < 0 ? err : (int)(function->type_id + types->shift[emitted->member]);
}

static int fill(const struct chain *chain, const struct segment_code *code, struct types *types,
		struct function_info *info)
{
	int id = add_prototypes(types, chain->kind);

	if (id < 0)
		return id;
	id = btf__add_func(types->btf, "dispatcher", BTF_FUNC_GLOBAL, types->entry);
	if (id < 0)
		return id;
	info[0] = (struct function_info){0, id};
	for (__u32 i = 0; i < code->function_cnt; i++) {
		id = add_function(chain, types, &code->functions[i]);
		if (id < 0)
			return id;
		info[i + 1] = (struct function_info){code->functions[i].insn_off, id};
	}
	return 0;
}

int types__load(const struct chain *chain, const struct segment_code *code,
		struct function_info *info)
{
	struct types types = {.btf = btf__new_empty()};
	const void *raw;
	__u32 size;
	int result;

	if (!types.btf)
		return -errno;
	types.shift = calloc(chain->member_cnt, sizeof(*types.shift));
	result = types.shift ? fill(chain, code, &types, info) : -ENOMEM;
	if (!result) {
		raw = btf__raw_data(types.btf, &size);
		result = raw ? bpf_btf_load(raw, size, NULL) : -ENOMEM;
		if (result < 0)
			result = -errno;
	}
	free(types.shift);
	btf__free(types.btf);
	return result;
}
