/* A file descriptor that Lua owns: opened to be passed to the daemon, or received over a socket. */
#ifndef BINDINGS_DESCRIPTOR_H
#define BINDINGS_DESCRIPTOR_H

#include <lua.h>

#define DESCRIPTOR_HANDLE "bpf.descriptor"

struct descriptor_handle {
	int fd; /* -1 until proven open and again after close */
};

/* Pushes a closed one; the caller fills in fd. */
struct descriptor_handle *new_descriptor(lua_State *L);

/*
 * The number behind an integer or behind anything with a method `fd`; raises for other values and
 * for closed handles. Borrowed.
 */
int check_descriptor_number(lua_State *L, int index);

/* Those of a list, at most so many; returns how many. */
size_t check_descriptor_numbers(lua_State *L, int index, int *numbers, size_t most);

#endif
