/* Lua modules that are part of the program (scripts/embed.lua), for `require` to find. */
#ifndef CORE_EMBEDDED_H
#define CORE_EMBEDDED_H

#include <stdbool.h>
#include <stddef.h>
#include <lua.h>

/* Ends with a NULL name. */
struct embedded_module {
	const char *name;
	const char *chunk;
	size_t size;
};
extern const struct embedded_module embedded_modules[];

/* Pushes the module's chunk, or a text that says that there is none; returns whether there is. */
bool embedded_load(lua_State *L, const char *name);

/* From now on they are found right behind package.preload, where `bpf.core` gets this opener. */
void embedded_install(lua_State *L, lua_CFunction open_core);

#endif
