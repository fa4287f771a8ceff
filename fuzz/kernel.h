/*
 * A kernel that takes every program, map and type: what is fuzzed is all that happens before and
 * after bpf(2), and no input may load anything. Each bpf(2) of this process comes here.
 */
#ifndef FUZZ_KERNEL_H
#define FUZZ_KERNEL_H

#include <lua.h>

/* Forgets what it holds; descriptors stay open, and name nothing. */
void kernel_reset(void);

/* fuzz.kernel: add { kind = "program"|"map"|"btf", ... } -> id, for what somebody else has loaded.
 */
int open_kernel(lua_State *L);

#endif
