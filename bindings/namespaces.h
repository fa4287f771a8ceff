/* The namespaces of bpf.core, one bindings/NAME.c each with `int open_NAME(lua_State *L)`. */
#ifndef BINDINGS_NAMESPACES_H
#define BINDINGS_NAMESPACES_H

#include <lua.h>

/* In bpfctl's executable: nothing but libc and two small libraries. */
#define LIGHT_NAMESPACES(X) X(socket) X(system) X(terminal) X(interrupt) X(json)

#define FULL_NAMESPACES(X) \
	LIGHT_NAMESPACES(X) \
	X(object) \
	X(program) \
	X(map) \
	X(link) \
	X(pin) \
	X(network) \
	X(btf) \
	X(chain) \
	X(freplace) \
	X(libxdp) \
	X(feature) \
	X(ring) \
	X(drawing) \
	X(sandbox) \
	X(transfer) \
	X(layer) \
	X(disk) \
	X(signature) \
	X(service)

/* In bpfd alone: SQLite. */
#define DAEMON_NAMESPACES(X) X(database)

#define DECLARE_OPENER(name) int open_##name(lua_State *L);
FULL_NAMESPACES(DECLARE_OPENER)
DAEMON_NAMESPACES(DECLARE_OPENER)

int luaopen_bpf_core(lua_State *L);
int luaopen_bpfd_database(lua_State *L); /* for plain Lua */

#endif
