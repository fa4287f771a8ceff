#include <unistd.h>
#include <lauxlib.h>

#include "bindings/descriptor.h"
#include "bindings/handle.h"
#include "bindings/table.h"

static struct descriptor_handle *check(lua_State *L)
{
	struct descriptor_handle *self = luaL_checkudata(L, 1, DESCRIPTOR_HANDLE);

	if (self->fd < 0)
		luaL_argerror(L, 1, "the descriptor is closed");
	return self;
}

static int close_handle(lua_State *L)
{
	struct descriptor_handle *self = luaL_checkudata(L, 1, DESCRIPTOR_HANDLE);
	int fd = self->fd;

	self->fd = -1;
	if (fd >= 0)
		close(fd);
	return 0;
}

static int number(lua_State *L)
{
	lua_pushinteger(L, check(L)->fd);
	return 1;
}

/* The number, which from now on is the caller's to close. */
static int release(lua_State *L)
{
	struct descriptor_handle *self = check(L);

	lua_pushinteger(L, self->fd);
	self->fd = -1;
	return 1;
}

static const luaL_Reg methods[] = {
    {"fd", number},	     {"release", release},
    {"close", close_handle}, {"__close", close_handle},
    {"__gc", close_handle},  {NULL, NULL},
};

struct descriptor_handle *new_descriptor(lua_State *L)
{
	struct descriptor_handle *self = lua_newuserdatauv(L, sizeof(*self), 0);

	self->fd = -1;
	define_methods(L, DESCRIPTOR_HANDLE, methods);
	luaL_setmetatable(L, DESCRIPTOR_HANDLE);
	return self;
}

int check_descriptor_number(lua_State *L, int index)
{
	int fd;

	index = lua_absindex(L, index);
	if (!lua_isinteger(L, index)) {
		if (luaL_getmetafield(L, index, "__index") == LUA_TNIL)
			return luaL_typeerror(L, index, "descriptor");
		lua_pop(L, 1);
		lua_getfield(L, index, "fd");
		lua_pushvalue(L, index);
		lua_call(L, 1, 1);
	} else {
		lua_pushvalue(L, index);
	}
	fd = (int)luaL_checkinteger(L, -1);
	lua_pop(L, 1);
	return fd;
}

size_t check_descriptor_numbers(lua_State *L, int index, int *numbers, size_t most)
{
	size_t count;

	luaL_checktype(L, index, LUA_TTABLE);
	count = lua_rawlen(L, index);
	luaL_argcheck(L, count <= most, index, "too many descriptors");
	for (size_t i = 0; i < count; i++) {
		lua_rawgeti(L, index, (lua_Integer)i + 1);
		numbers[i] = check_descriptor_number(L, -1);
		lua_pop(L, 1);
	}
	return count;
}
