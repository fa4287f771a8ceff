/* bpfd: the daemon. Everything that it decides is in lua/bpfd. */
#include "core/host.h"
#include "bindings/namespaces.h"

int main(int argc, char **argv)
{
	const struct host_options options = {
	    .module = "bpfd",
	    .open_core = luaopen_bpf_core,
	    .trust_environment = false,
	};

	return host_main(argc, argv, &options);
}
