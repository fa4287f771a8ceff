/* Userdata shared between namespaces, and how bindings report errors. */
#ifndef BINDINGS_HANDLE_H
#define BINDINGS_HANDLE_H

#include <stdbool.h>
#include <lua.h>
#include <lauxlib.h>

#include "core/diagnostic.h"
#include "core/map.h"
#include "core/object.h"

#define PROGRAM_HANDLE	"bpf.program"
#define MAP_HANDLE	"bpf.map"
#define LINK_HANDLE	"bpf.link"
#define OBJECT_HANDLE	"bpf.object"
#define PREPARED_HANDLE "bpf.prepared"
#define BTF_HANDLE	"bpf.btf"
#define ERROR_OBJECT	"bpf.error"

/*
 * fd is -1 until proven open and again after close. Every handle has one user value: a table of
 * facts (name, section, type ...) that indexing falls back to when no method has the name.
 */
struct program_handle {
	int fd;
};

struct map_handle {
	int fd;
	struct map_layout layout; /* asked for once, by map_layout */
};

struct link_handle {
	int fd;
	bool pinned; /* the link outlives the handle */
};

struct object_handle {
	struct object *object; /* NULL: closed */
};

/* Borrowed from an object: user value 1 is that object's userdata, which outlives this. */
struct prepared_handle {
	size_t program; /* its place in the object */
};

/* Creates the userdata first (closed), so that nothing owned is invisible to Lua. */
struct program_handle *new_program(lua_State *L);
struct map_handle *new_map(lua_State *L);
struct link_handle *new_link(lua_State *L);

/* Raise if the argument is of another kind or closed. */
struct program_handle *check_program(lua_State *L, int index);
struct map_handle *check_map(lua_State *L, int index);
struct link_handle *check_link(lua_State *L, int index);
struct object *check_object(lua_State *L, int index);

/* "xdp", "tc" (the kernel's sched_cls), ...; nil for an unspecified one. */
void push_program_type(lua_State *L, __u32 type);
void push_map_type(lua_State *L, __u32 type);

/* An integer within 32 bits, or misuse. */
__u32 check_u32(lua_State *L, int index);

/*
 * The prepared program behind a handle from object:prepared. Valid until Lua runs again; its map
 * loads name descriptors of the object, so it raises once the object is closed.
 */
const struct prepared_program *check_prepared(lua_State *L, int index);

/*
 * Registers the metatable `name` with methods, `close` as close, __close and __gc. Leaves the table
 * of methods on the stack; a namespace shows it as `methods`, where lua/bpf adds its own.
 */
void define_handle(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction close);

/* Closes once; any later call does nothing. */
void close_descriptor(int *fd);

/*
 * Pushes nil and an error object {message, code, log}; returns 2. `err` is -errno or a libbpf code
 * past 4000; log may be NULL. The message is the formatted text and nothing else: a sentence that
 * says what is wrong needs no "Invalid argument" behind it.
 */
int push_error(lua_State *L, int err, const char *log, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The same, with the code's own words behind the text: "cannot pin pass at /x: File exists". */
int push_errno(lua_State *L, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* true for 0; for -errno as push_errno, of "cannot DOING PATH". */
int push_done(lua_State *L, int err, const char *doing, const char *path);

/*
 * What programs, maps and links have in common. `fd` is what opening by id or path has given, or
 * -errno; it becomes *place, that of the handle on the stack's top, which is the result. `kind` is
 * the word for messages.
 */
int take_id(lua_State *L, int *place, int fd, const char *kind, __u32 id);
int take_pin(lua_State *L, int *place, int fd, const char *kind, const char *path);

/* The id that the kernel has told; nothing after the last. */
int push_next_id(lua_State *L, int err, __u32 id, const char *kind);

/* A diagnostic that collection frees, left on the stack. */
struct diagnostic *new_diagnostic(lua_State *L);

/*
 * push_error from a diagnostic: its message, or, where it has none, the formatted text and the
 * code's words; its log.
 */
int push_diagnostic(lua_State *L, int err, struct diagnostic *why, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
