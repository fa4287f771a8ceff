/*
 * bpfctl: the command line. It links only what talks to the daemon; the rest of bpf.core comes out
 * of core.so when a script first asks for it, because mapping libbpf, libnl and SQLite would double
 * the start-up time of `bpfctl list`.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <lauxlib.h>

#include "core/host.h"
#include "bindings/namespaces.h"

/* core.so beside the executable (a build tree) or under the same prefix (an installation). */
static const char *const core_places[] = {"/bpf/core.so", "/../lib/lua/5.4/bpf/core.so"};

static bool find_core(char *path, size_t size)
{
	char directory[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", directory, sizeof(directory) - 1);
	char *slash;

	if (length < 0)
		return false;
	directory[length] = '\0';
	slash = strrchr(directory, '/');
	if (!slash)
		return false;
	*slash = '\0';
	for (size_t i = 0; i < sizeof(core_places) / sizeof(*core_places); i++) {
		int written = snprintf(path, size, "%s%s", directory, core_places[i]);

		if (written > 0 && (size_t)written < size && !access(path, R_OK))
			return true;
	}
	return false;
}

/* __index(core, namespace): fetches the full module once and lets it answer from then on. */
static int load_namespace(lua_State *L)
{
	char path[PATH_MAX];

	if (!find_core(path, sizeof(path)))
		return luaL_error(L, "bpf/core.so is neither beside bpfctl nor under its prefix");
	lua_getglobal(L, "package");
	lua_getfield(L, -1, "loadlib");
	lua_pushstring(L, path);
	lua_pushliteral(L, "luaopen_bpf_core");
	lua_call(L, 2, 2);
	if (lua_isnil(L, -2))
		return luaL_error(L, "%s", lua_tostring(L, -1));
	lua_pop(L, 1);
	lua_call(L, 0, 1);

	lua_getmetatable(L, 1);
	lua_pushvalue(L, -2);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
	lua_pushvalue(L, 2);
	lua_gettable(L, -2);
	return 1;
}

static int open_light_core(lua_State *L)
{
	lua_newtable(L);
#define OPEN_NAMESPACE(name)                                                                       \
	open_##name(L);                                                                            \
	lua_setfield(L, -2, #name);
	LIGHT_NAMESPACES(OPEN_NAMESPACE)
	lua_createtable(L, 0, 1);
	lua_pushcfunction(L, load_namespace);
	lua_setfield(L, -2, "__index");
	lua_setmetatable(L, -2);
	return 1;
}

int main(int argc, char **argv)
{
	const struct host_options options = {
	    .module = "bpfctl",
	    .open_core = open_light_core,
	    .trust_environment = true,
	    .uncollected = 8 * 1024, /* most commands end before */
	};

	return host_main(argc, argv, &options);
}
