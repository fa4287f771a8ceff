/* bpfd: the daemon. Everything that it decides is in lua/bpfd. */
#include "core/host.h"
#include "bindings/namespaces.h"

static int open_core(lua_State *L)
{
	luaopen_bpf_core(L);
#define OPEN_NAMESPACE(name)                                                                       \
	open_##name(L);                                                                            \
	lua_setfield(L, -2, #name);
	DAEMON_NAMESPACES(OPEN_NAMESPACE)
	return 1;
}

int main(int argc, char **argv)
{
	const struct host_options options = {
	    .module = "bpfd",
	    .open_core = open_core,
	    .trust_environment = false,
	};

	return host_main(argc, argv, &options);
}
