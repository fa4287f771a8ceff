/* Plain values (nil, booleans, numbers, texts, tables of these) as bytes, from one Lua state to
 * another. */
#ifndef BINDINGS_PLAIN_H
#define BINDINGS_PLAIN_H

#include <lua.h>

/* Pushes a string that holds the values from index `first` to the top. Raises for anything that is
 * not plain, and for tables within tables past a depth. Metamethods are not asked. */
void pack_values(lua_State *L, int first);

/* Pushes the values and returns how many; raises for bytes that pack_values has not made. */
int unpack_values(lua_State *L, const char *bytes, size_t size);

#endif
