/* bpf.core.layer: eBPF objects out of layers, and layers compressed. */
#include <errno.h>
#include <lauxlib.h>

#include "bindings/descriptor.h"
#include "bindings/handle.h"
#include "bindings/namespaces.h"
#include "bindings/table.h"
#include "core/layer.h"

#define READER "bpf.layer.reader"

static const char *const faults[] = {
    [LAYER_SOUND] = "sound",
    [LAYER_BROKEN] = "broken",
    [LAYER_NESTED] = "nested",
    [LAYER_NAMELESS] = "nameless",
    [LAYER_ABSOLUTE] = "absolute",
    [LAYER_ABOVE] = "above",
    [LAYER_LINK] = "link",
    [LAYER_DEVICE] = "device",
    [LAYER_MANY] = "many",
    [LAYER_LARGE] = "large",
    [LAYER_LARGE_OBJECT] = "large_object",
    [LAYER_MANY_OBJECTS] = "many_objects",
};

static int close_reader(lua_State *L)
{
	struct layer_reader **reader = luaL_checkudata(L, 1, READER);

	layer_close(*reader);
	*reader = NULL;
	return 0;
}

static uint64_t limit(lua_State *L, const char *key)
{
	lua_Integer value;

	lua_getfield(L, 2, key);
	value = luaL_checkinteger(L, -1);
	luaL_argcheck(L, value >= 0, 2, key);
	lua_pop(L, 1);
	return (uint64_t)value;
}

/* nil, an error object whose `log` is the fault's word, and { fault, entry, words } */
static int failed(lua_State *L, int err, struct layer_reader *reader)
{
	const struct layer_complaint *complaint = reader ? layer_complaint(reader) : NULL;

	if (!complaint || !complaint->fault)
		return push_errno(L, err, "cannot read the layer");
	push_error(L, err, NULL, "the layer is refused");
	lua_createtable(L, 0, 3);
	set_string(L, "fault", faults[complaint->fault]);
	set_string(L, "entry", complaint->entry);
	set_string(L, "words", complaint->words);
	return 3;
}

/*
 * read(layer, { object_size, unpacked, entries, objects }) -> { { path, size, object } ... }, each
 * object a descriptor of sealed memory; nil, err, { fault, entry, words } for what is refused
 */
static int read_layer(lua_State *L)
{
	int layer = check_descriptor_number(L, 1);
	struct layer_reader **reader;
	struct layer_limits limits;
	struct descriptor_handle *handle;
	const char *path;
	uint64_t size;
	int found;

	luaL_checktype(L, 2, LUA_TTABLE);
	limits.object_size = limit(L, "object_size");
	limits.unpacked = limit(L, "unpacked");
	limits.entries = (uint32_t)limit(L, "entries");
	limits.objects = (uint32_t)limit(L, "objects");
	reader = lua_newuserdatauv(L, sizeof(*reader), 0);
	*reader = NULL;
	luaL_setmetatable(L, READER);
	lua_toclose(L, -1);
	lua_newtable(L);
	found = layer_open(reader, layer, &limits);
	for (lua_Integer place = 1; !found; place++) {
		lua_createtable(L, 0, 3);
		handle = new_descriptor(L);
		found = layer_next_object(*reader, &handle->fd, &path, &size);
		if (found != 1)
			break;
		lua_setfield(L, -2, "object");
		set_string(L, "path", path);
		set_integer(L, "size", (lua_Integer)size);
		lua_rawseti(L, -2, place);
		found = 0;
	}
	if (found < 0)
		return failed(L, found, *reader);
	lua_pop(L, 2);
	return 1;
}

/* compress(from, to) -> true */
static int compress_file(lua_State *L)
{
	int from = check_descriptor_number(L, 1), to = check_descriptor_number(L, 2);
	int err = layer_compress(from, to);

	if (err)
		return push_errno(L, err, "cannot compress");
	lua_pushboolean(L, 1);
	return 1;
}

static const luaL_Reg functions[] = {
    {"compress", compress_file},
    {"read", read_layer},
    {NULL, NULL},
};

int open_layer(lua_State *L)
{
	static const luaL_Reg reader_methods[] = {
	    {"__close", close_reader},
	    {"__gc", close_reader},
	    {NULL, NULL},
	};

	define_methods(L, READER, reader_methods);
	luaL_newlib(L, functions);
	return 1;
}
