#include <errno.h>
#include <string.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "core/btf.h"

int type_table__from_id(struct btf **table, __u32 id)
{
	*table = btf__load_from_kernel_by_id(id);
	return *table ? 0 : -errno;
}

int type_table__from_bytes(struct btf **table, const void *bytes, size_t size)
{
	*table = btf__new(bytes, (__u32)size);
	return *table ? 0 : -errno;
}

void type_table__free(struct btf *table)
{
	btf__free(table);
}

/* Typedefs and qualifiers name the same values; so does a variable in a section. */
static const struct btf_type *look_through(const struct btf *table, __u32 *id)
{
	const struct btf_type *found = btf__type_by_id(table, *id);
	int depth = 32;

	while (found && depth-- && *id &&
	       (btf_is_mod(found) || btf_is_typedef(found) || btf_is_var(found) ||
		btf_is_type_tag(found))) {
		*id = found->type;
		found = btf__type_by_id(table, *id);
	}
	return found;
}

static enum type_kind kind_of(const struct btf_type *type)
{
	switch (btf_kind(type)) {
	case BTF_KIND_INT:
		return TYPE_INTEGER;
	case BTF_KIND_FLOAT:
		return TYPE_FLOAT;
	case BTF_KIND_PTR:
		return TYPE_POINTER;
	case BTF_KIND_ARRAY:
		return TYPE_ARRAY;
	case BTF_KIND_STRUCT:
		return TYPE_STRUCT;
	case BTF_KIND_UNION:
		return TYPE_UNION;
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		return TYPE_ENUM;
	case BTF_KIND_DATASEC:
		return TYPE_SECTION;
	case BTF_KIND_UNKN:
		return TYPE_VOID;
	default:
		return TYPE_OTHER;
	}
}

static void describe_integer(const struct btf_type *found, struct type *type)
{
	__u8 encoding = btf_int_encoding(found);

	type->is_signed = encoding & BTF_INT_SIGNED;
	type->is_boolean = encoding & BTF_INT_BOOL;
	/* clang marks no character as one: they go by their name */
	type->is_character =
	    (encoding & BTF_INT_CHAR) || (type->size == 1 && !strcmp(type->name, "char"));
}

int type_table__type(const struct btf *table, __u32 id, struct type *type)
{
	const struct btf_type *found = look_through(table, &id);
	__s64 size;

	if (!found)
		return -ENOENT;
	size = id ? btf__resolve_size(table, id) : 0;
	*type = (struct type){
	    .kind = id ? kind_of(found) : TYPE_VOID,
	    .name = btf__name_by_offset(table, found->name_off) ?: "",
	    .size = size > 0 ? (__u32)size : 0,
	};
	if (type->kind == TYPE_INTEGER) {
		describe_integer(found, type);
	} else if (type->kind == TYPE_ARRAY) {
		type->element = btf_array(found)->type;
		type->member_cnt = btf_array(found)->nelems;
	} else if (type->kind == TYPE_ENUM) {
		/* compilers set the flag where a value is negative */
		type->is_signed = btf_kflag(found);
		type->member_cnt = btf_vlen(found);
	} else if (type->kind == TYPE_SECTION || type->kind == TYPE_STRUCT ||
		   type->kind == TYPE_UNION) {
		type->member_cnt = btf_vlen(found);
	}
	return 0;
}

void type_table__member(const struct btf *table, __u32 id, __u32 place, struct type_member *member)
{
	const struct btf_type *found = look_through(table, &id);

	*member = (struct type_member){};
	if (btf_is_composite(found)) {
		const struct btf_member *raw = &btf_members(found)[place];

		member->name = btf__name_by_offset(table, raw->name_off);
		member->type = raw->type;
		member->bit_offset = btf_member_bit_offset(found, place);
		member->bit_size = btf_member_bitfield_size(found, place);
	} else if (btf_is_enum(found)) {
		const struct btf_enum *raw = &btf_enum(found)[place];

		member->name = btf__name_by_offset(table, raw->name_off);
		member->value = btf_kflag(found) ? (__s64)raw->val : (__s64)(__u32)raw->val;
	} else if (btf_is_enum64(found)) {
		const struct btf_enum64 *raw = &btf_enum64(found)[place];

		member->name = btf__name_by_offset(table, raw->name_off);
		member->value = (__s64)btf_enum64_value(raw);
	} else if (btf_is_datasec(found)) {
		const struct btf_var_secinfo *raw = &btf_var_secinfos(found)[place];
		const struct btf_type *variable = btf__type_by_id(table, raw->type);

		member->name = btf__name_by_offset(table, variable->name_off);
		member->type = raw->type;
		member->bit_offset = raw->offset * 8;
	}
}

__u32 type_table__find(const struct btf *table, const char *name)
{
	__s32 id = btf__find_by_name(table, name);

	return id > 0 ? (__u32)id : 0;
}
