#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <lauxlib.h>
#include <lualib.h>

#include "core/embedded.h"
#include "core/host.h"

#define EXIT_SOFTWARE 70

/* A root process must not run code from the directory that it happens to stand in. */
static void drop_relative_entries(lua_State *L, const char *field)
{
	const char *entry;
	luaL_Buffer kept;

	lua_getfield(L, -1, field);
	entry = lua_tostring(L, -1);
	luaL_buffinit(L, &kept);
	while (entry && *entry) {
		size_t length = strcspn(entry, ";");

		if (*entry == '/') {
			luaL_addlstring(&kept, entry, length);
			luaL_addchar(&kept, ';');
		}
		entry += length;
		entry += strspn(entry, ";");
	}
	luaL_pushresult(&kept);
	lua_setfield(L, -3, field);
	lua_pop(L, 1);
}

static void set_up_modules(lua_State *L, const struct host_options *options)
{
	lua_getglobal(L, "package");
	drop_relative_entries(L, "path");
	drop_relative_entries(L, "cpath");
	lua_pop(L, 1);
	embedded_install(L, options->open_core);
}

static int with_traceback(lua_State *L)
{
	luaL_traceback(L, L, luaL_tolstring(L, 1, NULL), 1);
	return 1;
}

struct invocation {
	int argc;
	char **argv;
	const struct host_options *options;
};

static int run(lua_State *L)
{
	const struct invocation *call = lua_touserdata(L, 1);

	if (!call->options->trust_environment) {
		lua_pushboolean(L, 1);
		lua_setfield(L, LUA_REGISTRYINDEX, "LUA_NOENV");
	}
	luaL_openlibs(L);
	set_up_modules(L, call->options);
	lua_warning(L, "@on", 0);

	lua_pushcfunction(L, with_traceback);
	lua_getglobal(L, "require");
	lua_pushstring(L, call->options->module);
	lua_call(L, 1, 1);
	lua_createtable(L, call->argc - 1, 1);
	for (int i = 0; i < call->argc; i++) {
		lua_pushstring(L, call->argv[i]);
		lua_rawseti(L, -2, i);
	}
	if (lua_pcall(L, 1, 1, -3))
		return lua_error(L);
	return 1;
}

/* A file or socket must not become standard output because that was closed. */
static void fill_standard_descriptors(void)
{
	static const int useless[] = {O_WRONLY, O_RDONLY, O_RDONLY};

	for (int fd = 0; fd < 3; fd++) {
		if (fcntl(fd, F_GETFD) < 0)
			(void)!open("/dev/null", useless[fd]);
	}
}

/* print says nothing when it cannot write. */
static int check_output(const char *name, int code)
{
	bool failed = fflush(stdout) || ferror(stdout);

	if (!failed || code)
		return code;
	fprintf(stderr, "%s: cannot write the output\n", name);
	return EXIT_FAILURE;
}

int host_main(int argc, char **argv, const struct host_options *options)
{
	struct invocation call = {argc, argv, options};
	lua_State *L = luaL_newstate();
	int code;

	fill_standard_descriptors();
	if (!L) {
		fputs("out of memory\n", stderr);
		return EXIT_SOFTWARE;
	}
	/* A step of negative size is a credit: lua_gc adds it to what the collector is owed. */
	if (options->uncollected)
		lua_gc(L, LUA_GCSTEP, -options->uncollected);
	lua_pushcfunction(L, run);
	lua_pushlightuserdata(L, &call);
	if (lua_pcall(L, 1, 1, 0)) {
		fprintf(stderr, "%s\n", luaL_tolstring(L, -1, NULL));
		code = EXIT_SOFTWARE;
	} else {
		code = (int)lua_tointeger(L, -1);
	}
	lua_close(L);
	return check_output(options->module, code);
}
