#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "core/btf.h"

#define MOST_NESTED 32 /* types in one another: the kernel's MAX_RESOLVE_DEPTH */

int type_table__open(__u32 id)
{
	int fd = bpf_btf_get_fd_by_id(id);

	return fd < 0 ? -errno : fd;
}

int type_table__from_fd(struct btf **table, int fd)
{
	struct bpf_btf_info info = {};
	__u32 info_size = sizeof(info), size;
	void *bytes;
	int err;

	if (bpf_obj_get_info_by_fd(fd, &info, &info_size))
		return -errno;
	size = info.btf_size;
	bytes = malloc(size ?: 1);
	if (!bytes)
		return -ENOMEM;
	info = (struct bpf_btf_info){.btf = (__u64)(uintptr_t)bytes, .btf_size = size};
	info_size = sizeof(info);
	err = bpf_obj_get_info_by_fd(fd, &info, &info_size) ? -errno : 0;
	if (!err) {
		*table = btf__new(bytes, size);
		err = *table ? 0 : -errno;
	}
	free(bytes);
	return err;
}

static bool is_named(const struct btf *table, __u32 offset)
{
	return btf__name_by_offset(table, offset);
}

/* Names and types of what hangs on a type: members, parameters, variables. */
static bool parts_are_sound(const struct btf *table, const struct btf_type *type)
{
	__u32 count = btf__type_cnt(table);

	for (__u32 i = 0; i < btf_vlen(type); i++) {
		if (btf_is_composite(type)) {
			const struct btf_member *member = &btf_members(type)[i];

			if (member->type >= count || !is_named(table, member->name_off))
				return false;
		} else if (btf_is_func_proto(type)) {
			const struct btf_param *parameter = &btf_params(type)[i];

			if (parameter->type >= count || !is_named(table, parameter->name_off))
				return false;
		} else if (btf_is_datasec(type)) {
			__u32 id = btf_var_secinfos(type)[i].type;

			/* variables, or functions for externs */
			if (!id || id >= count ||
			    !(btf_is_var(btf__type_by_id(table, id)) ||
			      btf_is_func(btf__type_by_id(table, id))))
				return false;
		} else if (btf_is_enum(type) && !is_named(table, btf_enum(type)[i].name_off)) {
			return false;
		}
	}
	return true;
}

static bool is_sound(const struct btf *table, const struct btf_type *type)
{
	__u32 count = btf__type_cnt(table);

	if (!is_named(table, type->name_off))
		return false;
	switch (btf_kind(type)) {
	case BTF_KIND_ARRAY:
		return btf_array(type)->type < count && btf_array(type)->index_type < count;
	case BTF_KIND_FUNC:
		return type->type < count && btf_is_func_proto(btf__type_by_id(table, type->type));
	case BTF_KIND_PTR:
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_VAR:
	case BTF_KIND_TYPE_TAG:
	case BTF_KIND_DECL_TAG:
		return type->type < count;
	case BTF_KIND_FUNC_PROTO:
		return type->type < count && parts_are_sound(table, type);
	default:
		return parts_are_sound(table, type);
	}
}

/* What is known of a type while types are followed. */
enum { UNSEEN, UNDER_WAY, GOOD };

static bool is_name_for_another(const struct btf_type *type)
{
	return type && (btf_is_mod(type) || btf_is_typedef(type));
}

/* A typedef that leads back to itself would be followed for ever. */
static bool ends(const struct btf *table, unsigned char *seen, __u32 id)
{
	__u32 last = id;

	for (; is_name_for_another(btf__type_by_id(table, last)) && seen[last] == UNSEEN;
	     last = btf__type_by_id(table, last)->type)
		seen[last] = UNDER_WAY;
	if (seen[last] == UNDER_WAY)
		return false;
	for (; id != last; id = btf__type_by_id(table, id)->type)
		seen[id] = GOOD;
	return true;
}

static bool all_are_sound(const struct btf *table, unsigned char *seen)
{
	for (__u32 id = 1; id < btf__type_cnt(table); id++)
		if (!is_sound(table, btf__type_by_id(table, id)))
			return false;
	for (__u32 id = 1; id < btf__type_cnt(table); id++)
		if (!ends(table, seen, id))
			return false;
	return true;
}

/* Of more than 64 nobody here can read a bit-field. */
static bool has_bits(const struct btf *table, __u32 id, __u32 bits)
{
	const struct btf_type *type = btf__type_by_id(table, (__u32)btf__resolve_type(table, id));

	return type && (btf_is_int(type) || btf_is_any_enum(type)) && bits <= 64 &&
	       bits <= type->size * 8;
}

static bool part_fits(const struct btf *table, const struct btf_type *type, __u32 place)
{
	__s64 size;

	if (btf_is_composite(type)) {
		__u32 bits = btf_member_bitfield_size(type, place);

		size = btf__resolve_size(table, btf_members(type)[place].type);
		if (size < 0 || (bits && !has_bits(table, btf_members(type)[place].type, bits)))
			return false;
		return btf_member_bit_offset(type, place) + (bits ?: (__u64)size * 8) <=
		       (__u64)type->size * 8;
	}
	size = btf__resolve_size(table, btf_var_secinfos(type)[place].type);
	return (__u64)btf_var_secinfos(type)[place].offset + (size > 0 ? (__u64)size : 0) <=
	       type->size;
}

static __u32 part_type(const struct btf_type *type, __u32 place)
{
	return btf_is_composite(type) ? btf_members(type)[place].type
				      : btf_var_secinfos(type)[place].type;
}

/* The sizes that the kernel knows of numbers. */
static bool has_size_of_number(const struct btf_type *type)
{
	switch (type->size) {
	case 1:
		return !btf_is_float(type);
	case 2:
	case 4:
	case 8:
		return true;
	case 16:
		return !btf_is_any_enum(type);
	default:
		return btf_is_float(type) && type->size == 12;
	}
}

/* Whether a value of the type is as large as its parts, and has itself in none of them. */
static bool can_exist(const struct btf *table, unsigned char *seen, __u32 id, int depth)
{
	const struct btf_type *type = btf__type_by_id(table, id);
	bool good = true;

	if (!id || seen[id] == GOOD)
		return true;
	if (seen[id] == UNDER_WAY || depth > MOST_NESTED)
		return false;
	seen[id] = UNDER_WAY;
	if (btf_is_int(type) || btf_is_float(type) || btf_is_any_enum(type)) {
		good = has_size_of_number(type);
	} else if (btf_is_array(type)) {
		good = btf__resolve_size(table, id) >= 0 &&
		       can_exist(table, seen, btf_array(type)->type, depth + 1);
	} else if (is_name_for_another(type) || btf_is_var(type) || btf_is_type_tag(type)) {
		good = can_exist(table, seen, type->type, depth + 1);
	} else if (btf_is_composite(type) || btf_is_datasec(type)) {
		for (__u32 i = 0; good && i < btf_vlen(type); i++)
			good = part_fits(table, type, i) &&
			       can_exist(table, seen, part_type(type, i), depth + 1);
	}
	seen[id] = GOOD;
	return good;
}

static bool all_can_exist(const struct btf *table, unsigned char *seen)
{
	memset(seen, UNSEEN, btf__type_cnt(table));
	for (__u32 id = 1; id < btf__type_cnt(table); id++)
		if (!can_exist(table, seen, id, 0))
			return false;
	return true;
}

static int read_sound(struct btf **table, const void *bytes, size_t size, bool for_values)
{
	unsigned char *seen;
	int err = 0;

	*table = size <= UINT32_MAX ? btf__new(bytes, (__u32)size) : NULL;
	if (!*table)
		return -ENOEXEC;
	seen = calloc(btf__type_cnt(*table), 1);
	if (!seen)
		err = -ENOMEM;
	else if (!all_are_sound(*table, seen) || (for_values && !all_can_exist(*table, seen)))
		err = -ENOEXEC;
	free(seen);
	if (err) {
		btf__free(*table);
		*table = NULL;
	}
	return err;
}

int type_table__from_bytes(struct btf **table, const void *bytes, size_t size)
{
	return read_sound(table, bytes, size, true);
}

int type_table__check(const void *bytes, size_t size)
{
	struct btf *table;
	int err = read_sound(&table, bytes, size, false);

	btf__free(table);
	return err;
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
	static const __u32 kinds[] = {BTF_KIND_STRUCT, BTF_KIND_UNION,	 BTF_KIND_ENUM,
				      BTF_KIND_ENUM64, BTF_KIND_TYPEDEF, BTF_KIND_INT,
				      BTF_KIND_FLOAT,  BTF_KIND_DATASEC};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		__s32 id = btf__find_by_name_kind(table, name, kinds[i]);

		if (id > 0)
			return (__u32)id;
	}
	return 0;
}
