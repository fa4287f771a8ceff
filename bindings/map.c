/* core.map: keys and values as byte strings; a per-CPU value is a table of them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/libbpf.h>

#include "bindings/descriptor.h"
#include "bindings/handle.h"
#include "bindings/namespaces.h"
#include "bindings/table.h"
#include "core/pin.h"

#define WALK "bpf.map.walk"

struct map_handle *new_map(lua_State *L)
{
	struct map_handle *self = lua_newuserdatauv(L, sizeof(*self), 1);

	*self = (struct map_handle){.fd = -1};
	luaL_setmetatable(L, MAP_HANDLE);
	return self;
}

struct map_handle *check_map(lua_State *L, int index)
{
	struct map_handle *self = luaL_checkudata(L, index, MAP_HANDLE);

	luaL_argcheck(L, self->fd >= 0, index, "map is closed, or its object not loaded yet");
	return self;
}

void push_map_type(lua_State *L, __u32 type)
{
	const char *name = libbpf_bpf_map_type_str(type);

	if (name)
		lua_pushstring(L, name);
	else
		lua_pushfstring(L, "type %d", (int)type);
}

static int close_map(lua_State *L)
{
	struct map_handle *self = luaL_checkudata(L, 1, MAP_HANDLE);

	close_descriptor(&self->fd);
	return 0;
}

static int get_fd(lua_State *L)
{
	lua_pushinteger(L, check_map(L, 1)->fd);
	return 1;
}

static const struct map_layout *layout_of(lua_State *L, struct map_handle *self)
{
	int err = self->layout.value_cnt ? 0 : map__layout(self->fd, &self->layout);

	if (err)
		luaL_error(L, "cannot ask the kernel about a map: %s", strerror(-err));
	return &self->layout;
}

/* The kernel's numbers of map types, by the names that push_map_type gives. */
static __u32 check_map_type(lua_State *L, int index)
{
	const char *wanted, *name;

	if (lua_isinteger(L, index))
		return check_u32(L, index);
	wanted = luaL_checkstring(L, index);
	for (__u32 type = 1; (name = libbpf_bpf_map_type_str(type)); type++)
		if (!strcmp(name, wanted))
			return type;
	return (__u32)luaL_argerror(L, index,
				    lua_pushfstring(L, "there is no map type %s", wanted));
}

/* create(type, name, key_size, value_size, max_entries, flags) -> map */
static int create(lua_State *L)
{
	struct map_shape shape = {check_map_type(L, 1), check_u32(L, 3), check_u32(L, 4),
				  check_u32(L, 5), check_u32(L, 6)};
	const char *name = luaL_optstring(L, 2, "");
	struct map_handle *self = new_map(L);
	int fd = map__create(&shape, name);

	if (fd < 0)
		return push_errno(L, fd, "cannot create map %s", name);
	self->fd = fd;
	return 1;
}

/* "r" or "rw", which it is without, as the kernel's flags */
static __u32 check_mode(lua_State *L, int index)
{
	static const char *const modes[] = {"r", "rw", NULL};

	return luaL_checkoption(L, index, "rw", modes) ? 0 : BPF_F_RDONLY;
}

/* open_id(id [, "r" | "rw"]) -> map */
static int open_id(lua_State *L)
{
	__u32 id = check_u32(L, 1), flags = check_mode(L, 2);
	struct map_handle *self = new_map(L);
	int fd = map__open_id(id, flags);

	return take_id(L, &self->fd, fd, "map", id);
}

/* open_pin(path [, "r" | "rw"]) -> map */
static int open_pinned(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	__u32 flags = check_mode(L, 2);
	struct map_handle *self = new_map(L);
	int fd = pin__open(path, BPF_KIND_MAP, flags);

	return take_pin(L, &self->fd, fd, "map", path);
}

/* adopt(descriptor) -> map, which owns what the descriptor named from now on */
static int adopt(lua_State *L)
{
	struct descriptor_handle *descriptor = luaL_checkudata(L, 1, DESCRIPTOR_HANDLE);
	struct map_handle *self = new_map(L);

	luaL_argcheck(L, descriptor->fd >= 0, 1, "the descriptor is closed");
	self->fd = descriptor->fd;
	descriptor->fd = -1;
	return 1;
}

/* next_id(id) -> id; nothing after the last. 0 comes before the first. */
static int next_id(lua_State *L)
{
	__u32 id = check_u32(L, 1);
	int err = map__next_id(&id);

	return push_next_id(L, err, id, "map");
}

/* blob(bytes, name) -> map */
static int create_blob(lua_State *L)
{
	size_t size;
	const char *bytes = luaL_checklstring(L, 1, &size), *name = luaL_checkstring(L, 2);
	struct map_handle *self = new_map(L);
	int fd = map__create_blob(bytes, size, name);

	if (fd < 0)
		return push_errno(L, fd, "cannot keep %zu bytes in a map", size);
	self->fd = fd;
	return 1;
}

static int free_bytes(lua_State *L)
{
	void **bytes = lua_touserdata(L, 1);

	free(*bytes);
	*bytes = NULL;
	return 0;
}

/* read_blob(map) -> bytes */
static int read_blob(lua_State *L)
{
	struct map_handle *self = check_map(L, 1);
	void **bytes = lua_newuserdatauv(L, sizeof(*bytes), 0);
	size_t size;
	int err;

	*bytes = NULL;
	if (luaL_newmetatable(L, "bpf.map.bytes")) {
		lua_pushcfunction(L, free_bytes);
		lua_setfield(L, -2, "__gc");
	}
	lua_setmetatable(L, -2);
	err = map__read_blob(self->fd, bytes, &size);
	if (err == -EINVAL)
		return push_error(L, err, NULL, "the map holds no blob");
	if (err)
		return push_errno(L, err, "cannot read a blob from a map");
	lua_pushlstring(L, *bytes, size);
	free(*bytes);
	*bytes = NULL;
	return 1;
}

/* info(map) -> table */
static int get_info(lua_State *L)
{
	struct map_handle *self = check_map(L, 1);
	struct bpf_map_info info;
	bool is_frozen;
	int err = map__info(self->fd, &info);

	if (err)
		return push_errno(L, err, "cannot ask the kernel about a map");
	map__is_frozen(self->fd, &is_frozen);
	lua_createtable(L, 0, 12);
	set_integer(L, "id", info.id);
	lua_pushlstring(L, info.name, strnlen(info.name, sizeof(info.name)));
	lua_setfield(L, -2, "name");
	push_map_type(L, info.type);
	lua_setfield(L, -2, "type");
	set_integer(L, "key_size", info.key_size);
	set_integer(L, "value_size", info.value_size);
	set_integer(L, "max_entries", info.max_entries);
	set_integer(L, "flags", info.map_flags);
	set_boolean(L, "frozen", is_frozen);
	if (info.btf_id) {
		set_integer(L, "btf_id", info.btf_id);
		set_integer(L, "key_type_id", info.btf_key_type_id);
		set_integer(L, "value_type_id", info.btf_value_type_id);
	}
	return 1;
}

static const char *check_key(lua_State *L, int index, const struct map_layout *layout)
{
	size_t size;
	const char *key = luaL_checklstring(L, index, &size);

	if (size != layout->key_size)
		luaL_argerror(L, index,
			      lua_pushfstring(L, "the key has %d bytes, not %d",
					      (int)layout->key_size, (int)size));
	return key;
}

/* A copy as Lua sees it: the bytes, or a table of every CPU's. */
static void push_copy(lua_State *L, const struct map_layout *layout, const char *copy)
{
	if (!layout->is_per_cpu) {
		lua_pushlstring(L, copy, layout->value_size);
		return;
	}
	lua_createtable(L, (int)layout->value_cnt, 0);
	for (__u32 i = 0; i < layout->value_cnt; i++) {
		lua_pushlstring(L, copy + (size_t)i * layout->value_stride, layout->value_size);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
}

static void take_value(lua_State *L, int index, const struct map_layout *layout, char *place)
{
	size_t size;
	const char *value = luaL_checklstring(L, index, &size);

	if (size != layout->value_size)
		luaL_error(L, "the value has %d bytes, not %d", (int)layout->value_size, (int)size);
	memcpy(place, value, size);
}

/* The other way: one string for every CPU alike, or a table of one for each. */
static void take_copy(lua_State *L, int index, const struct map_layout *layout, char *copy)
{
	memset(copy, 0, layout->copy_size);
	for (__u32 i = 0; i < layout->value_cnt; i++) {
		char *place = copy + (size_t)i * layout->value_stride;

		if (!lua_istable(L, index)) {
			take_value(L, index, layout, place);
			continue;
		}
		lua_rawgeti(L, index, (lua_Integer)i + 1);
		take_value(L, -1, layout, place);
		lua_pop(L, 1);
	}
}

/* lookup(map, key) -> value; nothing where there is none */
static int lookup(lua_State *L)
{
	struct map_handle *self = check_map(L, 1);
	const struct map_layout *layout = layout_of(L, self);
	const char *key = check_key(L, 2, layout);
	char *copy = lua_newuserdatauv(L, layout->copy_size + 1, 0);
	int err = map__lookup(self->fd, key, copy);

	if (err == -ENOENT)
		return 0;
	if (err)
		return push_errno(L, err, "cannot look a key up in a map");
	push_copy(L, layout, copy);
	return 1;
}

/* update(map, key, value [, "any" | "new" | "existing"]) -> true */
static int update(lua_State *L)
{
	static const char *const flags[] = {"any", "new", "existing", NULL};
	struct map_handle *self = check_map(L, 1);
	const struct map_layout *layout = layout_of(L, self);
	const char *key = check_key(L, 2, layout);
	int flag = luaL_checkoption(L, 4, "any", flags), err;
	char *copy = lua_newuserdatauv(L, layout->copy_size + 1, 0);

	take_copy(L, 3, layout, copy);
	err = map__update(self->fd, key, copy, (__u64)flag);
	if (err)
		return push_errno(L, err, "cannot update a map");
	lua_pushboolean(L, 1);
	return 1;
}

/* delete(map, key) -> true; false where there was none */
static int delete_key(lua_State *L)
{
	struct map_handle *self = check_map(L, 1);
	int err = map__delete(self->fd, check_key(L, 2, layout_of(L, self)));

	if (err && err != -ENOENT)
		return push_errno(L, err, "cannot delete a key from a map");
	lua_pushboolean(L, !err);
	return 1;
}

/* cpu_count(map) -> values of a key: 1, or the possible CPUs */
static int cpu_count(lua_State *L)
{
	lua_pushinteger(L, layout_of(L, check_map(L, 1))->value_cnt);
	return 1;
}

/* freeze(map) -> true: user space writes it no more */
static int freeze(lua_State *L)
{
	int err = map__freeze(check_map(L, 1)->fd);

	if (err)
		return push_errno(L, err, "cannot freeze a map");
	lua_pushboolean(L, 1);
	return 1;
}

/* pin(map, path) -> true */
static int pin(lua_State *L)
{
	struct map_handle *self = check_map(L, 1);
	const char *path = luaL_checkstring(L, 2);
	int err = pin__add(self->fd, path);

	if (err)
		return push_errno(L, err, "cannot pin a map at %s", path);
	lua_pushboolean(L, 1);
	return 1;
}

static int close_walk(lua_State *L)
{
	map_walk__end(luaL_checkudata(L, 1, WALK));
	return 0;
}

/* The iterator of pairs: its state is the walk, whose user value keeps the map open. */
static int next_entry(lua_State *L)
{
	struct map_walk *walk = luaL_checkudata(L, 1, WALK);
	const void *key, *copy;
	int more;

	if (walk->is_done && walk->next == walk->cnt)
		return 0;
	lua_getiuservalue(L, 1, 1);
	check_map(L, -1);
	more = map_walk__next(walk, &key, &copy);
	if (more < 0) {
		push_errno(L, more, "cannot walk a map");
		return lua_error(L);
	}
	if (!more)
		return 0;
	lua_pushlstring(L, key, walk->layout.key_size);
	push_copy(L, &walk->layout, copy);
	return 2;
}

/* for key, value in map:pairs() */
static int walk_pairs(lua_State *L)
{
	struct map_handle *self = check_map(L, 1);
	struct map_walk *walk;
	int err;

	lua_settop(L, 1);
	lua_pushcfunction(L, next_entry);
	walk = lua_newuserdatauv(L, sizeof(*walk), 1);
	*walk = (struct map_walk){.is_done = true};
	luaL_setmetatable(L, WALK);
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	err = map_walk__begin(walk, self->fd);
	if (err)
		return luaL_error(L, "cannot walk a map: %s", strerror(-err));
	lua_pushnil(L);
	lua_pushvalue(L, -2);
	return 4;
}

int open_map(lua_State *L)
{
	static const luaL_Reg functions[] = {
	    {"create", create},	  {"open_id", open_id},	 {"open_pin", open_pinned},
	    {"next_id", next_id}, {"blob", create_blob}, {"adopt", adopt},
	    {NULL, NULL},
	};
	static const luaL_Reg methods[] = {
	    {"fd", get_fd},	    {"info", get_info},
	    {"lookup", lookup},	    {"update", update},
	    {"delete", delete_key}, {"freeze", freeze},
	    {"pin", pin},	    {"pairs", walk_pairs},
	    {"blob", read_blob},    {"cpu_count", cpu_count},
	    {NULL, NULL},
	};

	luaL_newlib(L, functions);
	define_handle(L, MAP_HANDLE, methods, close_map);
	lua_setfield(L, -2, "methods");

	luaL_newmetatable(L, WALK);
	lua_pushcfunction(L, close_walk);
	lua_setfield(L, -2, "__gc");
	lua_pushcfunction(L, close_walk);
	lua_setfield(L, -2, "__close");
	lua_pop(L, 1);
	return 1;
}
