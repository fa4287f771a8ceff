/* libbpfd: the module `bpf` for programs that embed Lua. */
#include "bindings/namespaces.h"
#include "core/embedded.h"
#include "include/bpfd.h"

int luaopen_bpf(lua_State *L)
{
	embedded_install(L, luaopen_bpf_core);
	lua_settop(L, 0);
	embedded_load(L, "bpf");
	lua_call(L, 0, 1);
	return 1;
}
