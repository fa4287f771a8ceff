/*
 * bpfd's core for C programs that embed Lua: the module `bpf`, whole, out of one library.
 * `cc program.c $(pkg-config --cflags --libs bpfd)`
 */
#ifndef BPFD_H
#define BPFD_H

#include <lua.h>

/*
 * luaL_requiref(L, "bpf", luaopen_bpf, 1): makes `require "bpf"` and its submodules work in this
 * state and leaves the module on the stack. lpeg and dkjson, which JSON and selectors need, are
 * looked for in package.path and package.cpath when those are first used.
 */
int luaopen_bpf(lua_State *L);

#endif
