/* bpf.core.terminal: the terminal that a person looks at. */
#include <lauxlib.h>

#include "bindings/namespaces.h"
#include "core/terminal.h"

/* width(number) -> columns; nil where there is no terminal or it does not tell */
static int width(lua_State *L)
{
	int columns = terminal_width((int)luaL_checkinteger(L, 1));

	if (columns < 0)
		return 0;
	lua_pushinteger(L, columns);
	return 1;
}

static const luaL_Reg functions[] = {
    {"width", width},
    {NULL, NULL},
};

int open_terminal(lua_State *L)
{
	luaL_newlib(L, functions);
	return 1;
}
