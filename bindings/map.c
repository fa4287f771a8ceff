#include <lauxlib.h>

#include "bindings/namespaces.h"

int open_map(lua_State *L)
{
	lua_newtable(L);
	return 1;
}
