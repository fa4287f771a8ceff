/* The part of namespace chain that is about where chains attach. */
#ifndef BINDINGS_CHAIN_HOOK_H
#define BINDINGS_CHAIN_HOOK_H

#include <lauxlib.h>

extern const luaL_Reg chain_hook_functions[];

#endif
