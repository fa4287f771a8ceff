#include <string.h>
#include <lauxlib.h>

#include "core/embedded.h"

bool embedded_load(lua_State *L, const char *name)
{
	const struct embedded_module *module;

	for (module = embedded_modules; module->name; module++) {
		if (strcmp(module->name, name))
			continue;
		if (luaL_loadbufferx(L, module->chunk, module->size, name, "b"))
			lua_error(L);
		return true;
	}
	lua_pushfstring(L, "no embedded module '%s'", name);
	return false;
}

static int search(lua_State *L)
{
	if (!embedded_load(L, luaL_checkstring(L, 1)))
		return 1;
	lua_pushliteral(L, ":embedded:");
	return 2;
}

void embedded_install(lua_State *L, lua_CFunction open_core)
{
	lua_getglobal(L, "package");
	lua_getfield(L, -1, "preload");
	lua_pushcfunction(L, open_core);
	lua_setfield(L, -2, "bpf.core");
	lua_pop(L, 1);

	lua_getfield(L, -1, "searchers");
	for (lua_Integer i = (lua_Integer)lua_rawlen(L, -1); i >= 2; i--) {
		lua_rawgeti(L, -1, i);
		lua_rawseti(L, -2, i + 1);
	}
	lua_pushcfunction(L, search);
	lua_rawseti(L, -2, 2);
	lua_pop(L, 2);
}
