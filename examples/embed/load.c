/*
 * A C program with bpfd's core inside: loads a program of an object file and says what it became.
 *
 *   cc load.c $(pkg-config --cflags --libs bpfd) -o load && ./load xdp_pass_kern.o pass xdp
 */
#include <stdio.h>
#include <lauxlib.h>
#include <lualib.h>
#include <bpfd.h>

static const char load_program[] = "local path, name, type = ...\n"
				   "local object <close> = assert(bpf.object.open(path))\n"
				   "assert(object:choose(name))\n"
				   "assert(object:as(name, type))\n"
				   "assert(object:load())\n"
				   "return bpf.pretty.text(object.programs[name])\n";

int main(int argc, char **argv)
{
	lua_State *L = luaL_newstate();
	int failed;

	luaL_openlibs(L);
	luaL_requiref(L, "bpf", luaopen_bpf, 1);
	luaL_loadstring(L, load_program);
	for (int i = 1; i < argc && i < 4; i++)
		lua_pushstring(L, argv[i]);
	failed = lua_pcall(L, lua_gettop(L) - 2, 1, 0);
	fprintf(failed ? stderr : stdout, "%s\n", luaL_tolstring(L, -1, NULL));
	lua_close(L);
	return failed;
}
