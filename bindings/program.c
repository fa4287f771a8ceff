/* core.program: programs by id, by pin, and what the kernel tells of them. */
#include <errno.h>
#include <string.h>
#include <bpf/libbpf.h>

#include "bindings/handle.h"
#include "bindings/namespaces.h"
#include "bindings/table.h"
#include "core/pin.h"
#include "core/program.h"

struct program_handle *new_program(lua_State *L)
{
	struct program_handle *self = lua_newuserdatauv(L, sizeof(*self), 1);

	self->fd = -1;
	luaL_setmetatable(L, PROGRAM_HANDLE);
	return self;
}

struct program_handle *check_program(lua_State *L, int index)
{
	struct program_handle *self = luaL_checkudata(L, index, PROGRAM_HANDLE);

	luaL_argcheck(L, self->fd >= 0, index, "program is closed, or not loaded yet");
	return self;
}

__u32 check_u32(lua_State *L, int index)
{
	lua_Integer number = luaL_checkinteger(L, index);

	luaL_argcheck(L, number >= 0 && number <= UINT32_MAX, index, "not within 32 bits");
	return (__u32)number;
}

void push_program_type(lua_State *L, __u32 type)
{
	const char *name = libbpf_bpf_prog_type_str(type);

	if (type == BPF_PROG_TYPE_UNSPEC)
		lua_pushnil(L);
	else if (type == BPF_PROG_TYPE_SCHED_CLS)
		lua_pushliteral(L, "tc");
	else if (name)
		lua_pushstring(L, name);
	else
		lua_pushfstring(L, "type %d", (int)type);
}

static int close_program(lua_State *L)
{
	struct program_handle *self = luaL_checkudata(L, 1, PROGRAM_HANDLE);

	close_descriptor(&self->fd);
	return 0;
}

static int get_fd(lua_State *L)
{
	lua_pushinteger(L, check_program(L, 1)->fd);
	return 1;
}

/* open_id(id) -> program */
static int open_id(lua_State *L)
{
	__u32 id = check_u32(L, 1);
	struct program_handle *self = new_program(L);
	int fd = program__open_id(id);

	return take_id(L, &self->fd, fd, "program", id);
}

/* open_pin(path) -> program */
static int open_pinned(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	struct program_handle *self = new_program(L);
	int fd = pin__open(path, BPF_KIND_PROGRAM, 0);

	return take_pin(L, &self->fd, fd, "program", path);
}

/* next_id(id) -> id; nothing after the last. 0 comes before the first. */
static int next_id(lua_State *L)
{
	__u32 id = check_u32(L, 1);
	int err = program__next_id(&id);

	return push_next_id(L, err, id, "program");
}

/* Kernels tell 0 for what they do not know. */
static void set_known(lua_State *L, const char *key, lua_Integer value)
{
	if (value)
		set_integer(L, key, value);
}

static void set_tag(lua_State *L, const struct bpf_prog_info *info)
{
	luaL_Buffer text;

	luaL_buffinit(L, &text);
	for (size_t i = 0; i < sizeof(info->tag); i++) {
		luaL_addchar(&text, "0123456789abcdef"[info->tag[i] >> 4]);
		luaL_addchar(&text, "0123456789abcdef"[info->tag[i] & 15]);
	}
	luaL_pushresult(&text);
	lua_setfield(L, -2, "tag");
}

static void set_map_ids(lua_State *L, const struct program_info *info)
{
	lua_createtable(L, (int)info->kernel.nr_map_ids, 0);
	for (__u32 i = 0; i < info->kernel.nr_map_ids; i++) {
		lua_pushinteger(L, info->map_ids[i]);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	lua_setfield(L, -2, "map_ids");
}

/* info(program) -> table, keys as bpftool has them */
static int get_info(lua_State *L)
{
	struct program_handle *self = check_program(L, 1);
	struct program_info info;
	int err = program__info(self->fd, &info);

	if (err)
		return push_errno(L, err, "cannot ask the kernel about a program");
	lua_createtable(L, 0, 20);
	set_integer(L, "id", info.kernel.id);
	lua_pushlstring(L, info.kernel.name, strnlen(info.kernel.name, sizeof(info.kernel.name)));
	lua_setfield(L, -2, "name");
	push_program_type(L, info.kernel.type);
	lua_setfield(L, -2, "type");
	set_tag(L, &info.kernel);
	set_map_ids(L, &info);
	set_integer(L, "loaded_at", (lua_Integer)(info.loaded_at / 1000000000));
	set_integer(L, "loaded_at_ns", (lua_Integer)info.loaded_at);
	set_boolean(L, "gpl_compatible", info.kernel.gpl_compatible);
	set_known(L, "btf_id", info.kernel.btf_id);
	set_integer(L, "bytes_xlated", info.kernel.xlated_prog_len);
	set_boolean(L, "jited", info.kernel.jited_prog_len);
	set_integer(L, "bytes_jited", info.kernel.jited_prog_len);
	set_known(L, "bytes_memlock", (lua_Integer)info.memlock);
	set_known(L, "verified_insns", info.kernel.verified_insns);
	set_integer(L, "run_count", (lua_Integer)info.kernel.run_cnt);
	set_integer(L, "run_time_ns", (lua_Integer)info.kernel.run_time_ns);
	set_integer(L, "uid", info.kernel.created_by_uid);
	return 1;
}

/* pin(program, path) -> true */
static int pin(lua_State *L)
{
	struct program_handle *self = check_program(L, 1);
	const char *path = luaL_checkstring(L, 2);
	int err = pin__add(self->fd, path);

	if (err)
		return push_errno(L, err, "cannot pin a program at %s", path);
	lua_pushboolean(L, 1);
	return 1;
}

/* bind_map(program, map) -> true */
static int bind_map(lua_State *L)
{
	int err = program__bind_map(check_program(L, 1)->fd, check_map(L, 2)->fd);

	if (err)
		return push_errno(L, err, "cannot bind a map to a program");
	lua_pushboolean(L, 1);
	return 1;
}

/* test_run(program, data, repeat, context | nil) -> verdict, data, duration */
static int test_run(lua_State *L)
{
	struct program_handle *self = check_program(L, 1);
	size_t data_size, context_size = 0;
	struct program_run run = {
	    .data = luaL_checklstring(L, 2, &data_size),
	    .repeat = check_u32(L, 3),
	    .context = luaL_optlstring(L, 4, NULL, &context_size),
	};
	luaL_Buffer out;
	int err;

	/* programs that work on no packet refuse one, an empty one too */
	if (!data_size)
		run.data = NULL;
	run.data_size = (__u32)data_size;
	run.context_size = (__u32)context_size;
	if (data_size) {
		run.data_out_size = run.data_size + PROGRAM_RUN_ROOM;
		run.data_out = luaL_buffinitsize(L, &out, run.data_out_size);
	}
	err = program__test_run(self->fd, &run);
	if (err)
		return push_errno(L, err, "cannot run a program");
	if (data_size)
		luaL_pushresultsize(&out, run.data_out_size);
	else
		lua_pushliteral(L, "");
	lua_pushinteger(L, run.verdict);
	lua_insert(L, -2);
	lua_pushinteger(L, run.duration);
	return 3;
}

int open_program(lua_State *L)
{
	static const luaL_Reg functions[] = {
	    {"open_id", open_id}, {"open_pin", open_pinned},
	    {"next_id", next_id}, {"test_run", test_run},
	    {NULL, NULL},
	};
	static const luaL_Reg methods[] = {
	    {"fd", get_fd}, {"info", get_info}, {"pin", pin}, {"bind_map", bind_map}, {NULL, NULL},
	};

	luaL_newlib(L, functions);
	define_handle(L, PROGRAM_HANDLE, methods, close_program);
	lua_setfield(L, -2, "methods");
	return 1;
}
