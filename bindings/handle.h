/* Userdata shared between namespaces, and how bindings report errors. */
#ifndef BINDINGS_HANDLE_H
#define BINDINGS_HANDLE_H

#include <stdbool.h>
#include <lua.h>
#include <lauxlib.h>

#define PROGRAM_HANDLE "bpf.program"
#define MAP_HANDLE     "bpf.map"
#define LINK_HANDLE    "bpf.link"
#define OBJECT_HANDLE  "bpf.object"
#define ERROR_OBJECT   "bpf.error"

/* fd is -1 until proven open and again after close. */
struct program_handle {
	int fd;
};

struct map_handle {
	int fd;
};

struct link_handle {
	int fd;
	bool pinned; /* the link outlives the handle */
};

/* Creates the userdata first (closed), so that nothing owned is invisible to Lua. */
struct program_handle *new_program(lua_State *L);
struct map_handle *new_map(lua_State *L);
struct link_handle *new_link(lua_State *L);

/* Raise if the argument is of another kind or closed. */
struct program_handle *check_program(lua_State *L, int index);
struct map_handle *check_map(lua_State *L, int index);
struct link_handle *check_link(lua_State *L, int index);

/*
 * Pushes nil and an error object {message, code, log}; returns 2. `err` is -errno or a libbpf code
 * past 4000; log may be NULL. The message is the formatted text alone: the code's own words belong
 * to tostring.
 */
int push_error(lua_State *L, int err, const char *log, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The same, with the code's own words behind the text: "cannot pin pass at /x: File exists". */
int push_errno(lua_State *L, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
