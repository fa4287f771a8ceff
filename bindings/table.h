/* Fields of the tables that bindings return, and metatables of what needs no facts. */
#ifndef BINDINGS_TABLE_H
#define BINDINGS_TABLE_H

#include <stdbool.h>
#include <lauxlib.h>

/* Each sets a field of the table on the stack's top. */
void set_integer(lua_State *L, const char *key, lua_Integer value);
void set_boolean(lua_State *L, const char *key, bool value);
void set_string(lua_State *L, const char *key, const char *value); /* NULL: no field */

/* Registers the metatable `name`, whose functions are the methods as well; once, whoever asks. */
void define_methods(lua_State *L, const char *name, const luaL_Reg *methods);

#endif
