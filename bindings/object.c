/* core.object: eBPF objects from open to loaded. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "bindings/handle.h"
#include "bindings/namespaces.h"
#include "bindings/table.h"
#include "core/helper.h"

struct object *check_object(lua_State *L, int index)
{
	struct object_handle *self = luaL_checkudata(L, index, OBJECT_HANDLE);

	luaL_argcheck(L, self->object, index, "object is closed");
	return self->object;
}

static int close_object(lua_State *L)
{
	struct object_handle *self = luaL_checkudata(L, 1, OBJECT_HANDLE);
	struct object *object = self->object;

	self->object = NULL;
	object__close(object);
	return 0;
}

/* programs.NAME: handles that are closed until the object is loaded, with facts. */
static void push_programs(lua_State *L, const struct object *object)
{
	size_t count = object__program_count(object);

	lua_createtable(L, 0, (int)count);
	for (size_t i = 0; i < count; i++) {
		struct object_program program;

		object__program(object, i, &program);
		new_program(L);
		lua_createtable(L, 0, 3);
		set_string(L, "name", program.name);
		set_string(L, "section", program.section);
		push_program_type(L, program.type);
		lua_setfield(L, -2, "type");
		lua_setiuservalue(L, -2, 1);
		lua_setfield(L, -2, program.name);
	}
}

static void push_maps(lua_State *L, const struct object *object)
{
	size_t count = object__map_count(object);

	lua_createtable(L, 0, (int)count);
	for (size_t i = 0; i < count; i++) {
		struct object_map map;

		object__map(object, i, &map);
		new_map(L);
		lua_createtable(L, 0, 8);
		set_string(L, "name", map.name);
		push_map_type(L, map.type);
		lua_setfield(L, -2, "type");
		set_integer(L, "key_size", map.key_size);
		set_integer(L, "value_size", map.value_size);
		set_integer(L, "max_entries", map.max_entries);
		set_integer(L, "flags", map.flags);
		set_boolean(L, "is_data_section", map.is_data_section);
		lua_setiuservalue(L, -2, 1);
		lua_setfield(L, -2, map.name);
	}
}

static void set_facts(lua_State *L, const struct object *object, const char *name)
{
	lua_createtable(L, 0, 4);
	set_string(L, "name", name);
	set_string(L, "license", object__symbols(object)->license);
	push_programs(L, object);
	lua_setfield(L, -2, "programs");
	push_maps(L, object);
	lua_setfield(L, -2, "maps");
	lua_setiuservalue(L, -2, 1);
}

/* open(path | nil, fd | nil, bytes | nil, name, limit) -> object: exactly one source is given */
static int open_source(lua_State *L)
{
	size_t size, limit = (size_t)luaL_checkinteger(L, 5);
	const char *path = luaL_optstring(L, 1, NULL), *bytes = luaL_optlstring(L, 3, NULL, &size);
	const char *name = luaL_checkstring(L, 4);
	struct diagnostic *why = new_diagnostic(L);
	struct object_handle *self = lua_newuserdatauv(L, sizeof(*self), 1);
	struct image image = {};
	int err;

	self->object = NULL;
	luaL_setmetatable(L, OBJECT_HANDLE);
	if (path)
		err = image__read_path(&image, path, limit, why);
	else if (bytes)
		err = image__copy(&image, bytes, size, name, limit, why);
	else
		err = image__read_fd(&image, (int)luaL_checkinteger(L, 2), name, limit, why);
	if (!err)
		err = object__open(&self->object, &image, name, why);
	if (err)
		return push_diagnostic(L, err, why, "cannot open %s", name);
	set_facts(L, self->object, name);
	return 1;
}

static int answer(lua_State *L, int err, struct diagnostic *why, const char *doing)
{
	if (err < 0)
		return push_diagnostic(L, err, why, "%s", doing);
	lua_pushboolean(L, 1);
	return 1;
}

/* choose(object, name) -> true */
static int choose(lua_State *L)
{
	struct object *object = check_object(L, 1);
	const char *name = luaL_checkstring(L, 2);
	struct diagnostic *why = new_diagnostic(L);

	return answer(L, object__choose(object, name, why), why, "cannot choose a program");
}

/* object.programs.NAME, or nil */
static struct program_handle *push_program(lua_State *L, int index, const char *name)
{
	if (lua_getiuservalue(L, index, 1) != LUA_TTABLE)
		return NULL;
	lua_getfield(L, -1, "programs");
	if (!lua_istable(L, -1))
		return NULL;
	lua_getfield(L, -1, name);
	return luaL_testudata(L, -1, PROGRAM_HANDLE);
}

/* set_kind(object, name, kind, target function | nil, target program | nil) -> true */
static int set_kind(lua_State *L)
{
	struct object *object = check_object(L, 1);
	const char *name = luaL_checkstring(L, 2), *kind = luaL_checkstring(L, 3);
	const char *target = luaL_optstring(L, 4, NULL);
	int target_fd = lua_isnoneornil(L, 5) ? -1 : check_program(L, 5)->fd;
	struct diagnostic *why = new_diagnostic(L);
	int err = object__set_kind(object, name, kind, target, target_fd, why);
	struct object_program facts;

	if (!err && push_program(L, 1, name) && lua_getiuservalue(L, -1, 1) == LUA_TTABLE) {
		object__program(object, (size_t)object__find_program(object, name), &facts);
		push_program_type(L, facts.type);
		lua_setfield(L, -2, "type");
	}
	return answer(L, err, why, "cannot set the kind of a program");
}

/* set_global(object, name, bytes) -> true */
static int set_global(lua_State *L)
{
	struct object *object = check_object(L, 1);
	size_t size;
	const char *name = luaL_checkstring(L, 2), *bytes = luaL_checklstring(L, 3, &size);
	struct diagnostic *why = new_diagnostic(L);
	int err = object__set_global(object, name, bytes, size, why);

	return answer(L, err, why, "cannot set a global");
}

/* globals(object) -> { NAME = { size =, section = } } */
static int get_globals(lua_State *L)
{
	const struct symbols *symbols = object__symbols(check_object(L, 1));

	lua_createtable(L, 0, (int)symbols->global_cnt);
	for (size_t i = 0; i < symbols->global_cnt; i++) {
		const struct global *global = &symbols->globals[i];

		lua_createtable(L, 0, 2);
		set_integer(L, "size", (lua_Integer)global->size);
		set_string(L, "section", global->section);
		lua_setfield(L, -2, global->name);
	}
	return 1;
}

/* reuse_map(object, name, map) -> true */
static int reuse_map(lua_State *L)
{
	struct object *object = check_object(L, 1);
	const char *name = luaL_checkstring(L, 2);
	struct map_handle *map = check_map(L, 3);
	struct diagnostic *why = new_diagnostic(L);
	int err = object__reuse_map(object, name, map->fd, why);

	return answer(L, err, why, "cannot share a map");
}

/* Descriptors of their own, so that handles outlive the object. */
static int duplicate(int fd, int *copy)
{
	if (fd < 0)
		return 0;
	*copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return *copy < 0 ? -errno : 0;
}

static int open_handles(lua_State *L, const struct object *object)
{
	int err = 0;

	lua_getiuservalue(L, 1, 1);
	lua_getfield(L, -1, "programs");
	for (size_t i = 0; !err && i < object__program_count(object); i++) {
		struct object_program facts;
		struct program_handle *program;

		object__program(object, i, &facts);
		lua_getfield(L, -1, facts.name);
		program = luaL_testudata(L, -1, PROGRAM_HANDLE);
		if (program && program->fd < 0)
			err = duplicate(facts.fd, &program->fd);
		lua_pop(L, 1);
	}
	lua_getfield(L, -2, "maps");
	for (size_t i = 0; !err && i < object__map_count(object); i++) {
		struct object_map facts;
		struct map_handle *map;

		object__map(object, i, &facts);
		lua_getfield(L, -1, facts.name);
		map = luaL_testudata(L, -1, MAP_HANDLE);
		if (map && map->fd < 0)
			err = duplicate(facts.fd, &map->fd);
		lua_pop(L, 1);
	}
	return err;
}

/* load(object, verbosity) -> true */
static int load(lua_State *L)
{
	struct object *object = check_object(L, 1);
	unsigned int verbosity = check_u32(L, 2);
	struct diagnostic *why = new_diagnostic(L);
	int err = object__load(object, verbosity, why);

	if (!err)
		err = open_handles(L, object);
	return answer(L, err, why, "cannot load");
}

static size_t check_place(lua_State *L, const struct object *object, int index)
{
	const char *name = luaL_checkstring(L, index);
	int place = object__find_program(object, name);

	if (place < 0)
		luaL_argerror(L, index, lua_pushfstring(L, "there is no program %s", name));
	return (size_t)place;
}

/* prepared(object, name) -> prepared program; nothing unless loaded and XDP or TC */
static int get_prepared(lua_State *L)
{
	struct object *object = check_object(L, 1);
	size_t place = check_place(L, object, 2);
	struct prepared_handle *self;

	if (!object__prepared(object, place))
		return 0;
	self = lua_newuserdatauv(L, sizeof(*self), 1);
	self->program = place;
	luaL_newmetatable(L, PREPARED_HANDLE);
	lua_setmetatable(L, -2);
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	return 1;
}

const struct prepared_program *check_prepared(lua_State *L, int index)
{
	struct prepared_handle *self = luaL_checkudata(L, index, PREPARED_HANDLE);
	const struct object_handle *owner;

	lua_getiuservalue(L, index, 1);
	owner = lua_touserdata(L, -1);
	lua_pop(L, 1);
	luaL_argcheck(L, owner && owner->object, index, "the prepared program's object is closed");
	return object__prepared(owner->object, self->program);
}

/* log(object, name) -> text; nothing before load */
static int get_log(lua_State *L)
{
	struct object *object = check_object(L, 1);
	const char *log = object__log(object, check_place(L, object, 2));

	if (!log)
		return 0;
	lua_pushstring(L, log);
	return 1;
}

/* helpers(object, name) -> { "bpf_ktime_get_ns" ... }, before and after load (core/helper.h) */
static int get_helpers(lua_State *L)
{
	struct object *object = check_object(L, 1);
	size_t place = check_place(L, object, 2);
	struct helper_set helpers;
	lua_Integer count = 0;
	int err = object__helpers(object, place, &helpers);

	if (err)
		return push_errno(L, err, "cannot read the instructions");
	lua_newtable(L);
	for (unsigned int id = 0; id < HELPER_COUNT; id++) {
		if (!helpers.has[id])
			continue;
		if (helper__name(id))
			lua_pushstring(L, helper__name(id));
		else
			lua_pushfstring(L, "helper_%d", (int)id);
		lua_rawseti(L, -2, ++count);
	}
	return 1;
}

/* btf_bytes(object) -> bytes; nothing without BTF */
static int get_btf_bytes(lua_State *L)
{
	__u32 size;
	const void *bytes = object__btf(check_object(L, 1), &size);

	if (!bytes)
		return 0;
	lua_pushlstring(L, bytes, size);
	return 1;
}

int open_object(lua_State *L)
{
	static const luaL_Reg functions[] = {
	    {"open", open_source}, {"choose", choose}, {"set_kind", set_kind},
	    {"load", load},	   {NULL, NULL},
	};
	static const luaL_Reg methods[] = {
	    {"set_global", set_global},	  {"globals", get_globals},
	    {"reuse_map", reuse_map},	  {"prepared", get_prepared},
	    {"helpers", get_helpers},	  {"log", get_log},
	    {"btf_bytes", get_btf_bytes}, {NULL, NULL},
	};

	luaL_newlib(L, functions);
	define_handle(L, OBJECT_HANDLE, methods, close_object);
	lua_setfield(L, -2, "methods");
	return 1;
}
