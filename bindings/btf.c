/* core.btf: types by number, as tables. What values look like is lua/bpf/layout.lua's. */
#include <errno.h>

#include "bindings/descriptor.h"
#include "bindings/handle.h"
#include "bindings/namespaces.h"
#include "bindings/table.h"
#include "core/btf.h"

struct btf_handle {
	struct btf *table; /* NULL: closed */
};

static const char *const kind_names[] = {
    [TYPE_VOID] = "void",	[TYPE_INTEGER] = "integer", [TYPE_FLOAT] = "float",
    [TYPE_POINTER] = "pointer", [TYPE_ARRAY] = "array",	    [TYPE_STRUCT] = "struct",
    [TYPE_UNION] = "union",	[TYPE_ENUM] = "enum",	    [TYPE_SECTION] = "section",
    [TYPE_OTHER] = "other",
};

static struct btf_handle *new_table(lua_State *L)
{
	struct btf_handle *self = lua_newuserdatauv(L, sizeof(*self), 1);

	self->table = NULL;
	luaL_setmetatable(L, BTF_HANDLE);
	return self;
}

static struct btf *check_table(lua_State *L, int index)
{
	struct btf_handle *self = luaL_checkudata(L, index, BTF_HANDLE);

	luaL_argcheck(L, self->table, index, "BTF is closed");
	return self->table;
}

static int close_table(lua_State *L)
{
	struct btf_handle *self = luaL_checkudata(L, 1, BTF_HANDLE);
	struct btf *table = self->table;

	self->table = NULL;
	type_table__free(table);
	return 0;
}

/* descriptor(id) -> descriptor of the kernel's BTF, which lets whoever has it read it */
static int open_descriptor(lua_State *L)
{
	__u32 id = check_u32(L, 1);
	struct descriptor_handle *self = new_descriptor(L);
	int fd = type_table__open(id);

	if (fd < 0)
		return push_errno(L, fd, "cannot open BTF %u", id);
	self->fd = fd;
	return 1;
}

/* open_fd(descriptor) -> btf */
static int open_fd(lua_State *L)
{
	int fd = check_descriptor_number(L, 1);
	struct btf_handle *self = new_table(L);
	int err = type_table__from_fd(&self->table, fd);

	if (err)
		return push_errno(L, err, "cannot read BTF from the kernel");
	return 1;
}

/* open(bytes) -> btf */
static int open_bytes(lua_State *L)
{
	size_t size;
	const char *bytes = luaL_checklstring(L, 1, &size);
	struct btf_handle *self = new_table(L);
	int err = type_table__from_bytes(&self->table, bytes, size);

	if (err)
		return push_error(L, err, NULL, "that is no BTF, or damaged");
	return 1;
}

static void set_true(lua_State *L, const char *key, bool value)
{
	if (!value)
		return;
	lua_pushboolean(L, 1);
	lua_setfield(L, -2, key);
}

static void set_members(lua_State *L, const struct btf *table, __u32 id, const struct type *type)
{
	lua_createtable(L, (int)type->member_cnt, 0);
	for (__u32 i = 0; i < type->member_cnt; i++) {
		struct type_member member;

		type_table__member(table, id, i, &member);
		lua_createtable(L, 0, 4);
		set_string(L, "name", member.name ? member.name : "");
		if (type->kind == TYPE_ENUM) {
			set_integer(L, "value", member.value);
		} else {
			set_integer(L, "type", member.type);
			set_integer(L, "bit_offset", member.bit_offset);
			set_integer(L, "bit_size", member.bit_size);
		}
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	lua_setfield(L, -2, "members");
}

/* type(btf, id) -> table; typedefs, qualifiers and variables are looked through */
static int get_type(lua_State *L)
{
	struct btf *table = check_table(L, 1);
	__u32 id = check_u32(L, 2);
	struct type type;
	int err = type_table__type(table, id, &type);

	if (err)
		return push_error(L, err, NULL, "there is no type %u", id);
	lua_createtable(L, 0, 8);
	set_string(L, "kind", kind_names[type.kind]);
	set_string(L, "name", type.name);
	set_integer(L, "size", type.size);
	set_true(L, "signed", type.is_signed);
	set_true(L, "boolean", type.is_boolean);
	set_true(L, "character", type.is_character);
	if (type.kind == TYPE_ARRAY) {
		set_integer(L, "element", type.element);
		set_integer(L, "count", type.member_cnt);
	} else if (type.member_cnt || type.kind == TYPE_STRUCT || type.kind == TYPE_UNION) {
		set_members(L, table, id, &type);
	}
	return 1;
}

/* find(btf, name) -> id; nothing without */
static int find(lua_State *L)
{
	__u32 id = type_table__find(check_table(L, 1), luaL_checkstring(L, 2));

	if (!id)
		return 0;
	lua_pushinteger(L, id);
	return 1;
}

int open_btf(lua_State *L)
{
	static const luaL_Reg functions[] = {
	    {"open", open_bytes},
	    {"descriptor", open_descriptor},
	    {"open_fd", open_fd},
	    {NULL, NULL},
	};
	static const luaL_Reg methods[] = {
	    {"type", get_type},
	    {"find", find},
	    {NULL, NULL},
	};

	luaL_newlib(L, functions);
	define_handle(L, BTF_HANDLE, methods, close_table);
	lua_setfield(L, -2, "methods");
	return 1;
}
