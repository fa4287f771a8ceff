/* What bpfd and bpfctl share: a Lua state with the embedded modules in it. */
#ifndef CORE_HOST_H
#define CORE_HOST_H

#include <stdbool.h>
#include <lua.h>

struct host_options {
	const char *module; /* returns function(argv) -> exit code; argv[0] is the command's name */
	lua_CFunction open_core; /* opener of `bpf.core` */
	bool trust_environment;	 /* LUA_PATH and LUA_CPATH count; relative entries never do */
	int uncollected;	 /* KiB that are allocated before garbage is first looked for */
};

/* Runs the module's function and returns its exit code; an error in Lua is printed with its
 * traceback and returns 70. */
int host_main(int argc, char **argv, const struct host_options *options);

#endif
