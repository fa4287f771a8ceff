/* The part of namespace system that is about processes: this one, and its children. */
#ifndef BINDINGS_PROCESS_H
#define BINDINGS_PROCESS_H

#include <lauxlib.h>

extern const luaL_Reg process_functions[];

#endif
