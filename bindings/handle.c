/* What all handles share: an index that knows methods and facts, and closing once. */
#include <errno.h>
#include <unistd.h>

#include "bindings/handle.h"

#define DIAGNOSTIC "bpf.diagnostic"

/* handle.key: the methods (upvalue), then the facts. */
static int index_handle(lua_State *L)
{
	lua_settop(L, 2);
	lua_pushvalue(L, 2);
	if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL)
		return 1;
	if (lua_getiuservalue(L, 1, 1) != LUA_TTABLE)
		return 0;
	lua_pushvalue(L, 2);
	lua_rawget(L, -2);
	return 1;
}

void define_handle(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction close)
{
	luaL_newmetatable(L, name);
	lua_newtable(L);
	luaL_setfuncs(L, methods, 0);
	lua_pushcfunction(L, close);
	lua_setfield(L, -2, "close");

	lua_pushvalue(L, -1);
	lua_pushcclosure(L, index_handle, 1);
	lua_setfield(L, -3, "__index");
	lua_pushcfunction(L, close);
	lua_setfield(L, -3, "__close");
	lua_pushcfunction(L, close);
	lua_setfield(L, -3, "__gc");
	lua_remove(L, -2);
}

void close_descriptor(int *fd)
{
	int open = *fd;

	*fd = -1;
	if (open >= 0)
		close(open);
}

int take_id(lua_State *L, int *place, int fd, const char *kind, __u32 id)
{
	if (fd == -ENOENT)
		return push_error(L, fd, NULL, "there is no %s with id %u", kind, id);
	if (fd < 0)
		return push_errno(L, fd, "cannot open %s %u", kind, id);
	*place = fd;
	return 1;
}

int take_pin(lua_State *L, int *place, int fd, const char *kind, const char *path)
{
	if (fd == -EMEDIUMTYPE)
		return push_error(L, fd, NULL, "%s is no pinned %s", path, kind);
	if (fd < 0)
		return push_errno(L, fd, "cannot open %s", path);
	*place = fd;
	return 1;
}

int push_next_id(lua_State *L, int err, __u32 id, const char *kind)
{
	if (err == -ENOENT)
		return 0;
	if (err)
		return push_errno(L, err, "cannot list the kernel's %ss", kind);
	lua_pushinteger(L, id);
	return 1;
}

static int collect_diagnostic(lua_State *L)
{
	diagnostic__clear(luaL_checkudata(L, 1, DIAGNOSTIC));
	return 0;
}

struct diagnostic *new_diagnostic(lua_State *L)
{
	struct diagnostic *why = lua_newuserdatauv(L, sizeof(*why), 0);

	*why = (struct diagnostic){};
	if (luaL_newmetatable(L, DIAGNOSTIC)) {
		lua_pushcfunction(L, collect_diagnostic);
		lua_setfield(L, -2, "__gc");
	}
	lua_setmetatable(L, -2);
	return why;
}
