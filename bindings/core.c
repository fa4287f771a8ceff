/* bpf.core: a table of the namespaces. */
#include <lauxlib.h>

#include "bindings/namespaces.h"

int luaopen_bpf_core(lua_State *L)
{
	lua_newtable(L);
#define OPEN_NAMESPACE(name)                                                                       \
	open_##name(L);                                                                            \
	lua_setfield(L, -2, #name);
	FULL_NAMESPACES(OPEN_NAMESPACE)
	return 1;
}
