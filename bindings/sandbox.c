/*
 * bpf.core.sandbox: Lua states of their own, with an end to memory and instructions, for code that
 * others have written; and what a process gives up before it runs such code.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <lauxlib.h>
#include <lualib.h>

#include "bindings/descriptor.h"
#include "bindings/handle.h"
#include "bindings/namespaces.h"
#include "bindings/plain.h"
#include "bindings/table.h"
#include "core/confine.h"

#define SANDBOX "bpf.sandbox"

struct sandbox {
	lua_State *state; /* NULL: closed */
	size_t used, limit;
	int instructions;
	bool is_spent; /* the instructions of this call */
};

static void *allocate(void *context, void *block, size_t old_size, size_t size)
{
	struct sandbox *self = context;
	size_t before = block ? old_size : 0;
	void *moved;

	if (!size) {
		free(block);
		self->used -= before;
		return NULL;
	}
	if (size > before && size - before > self->limit - self->used)
		return NULL;
	moved = realloc(block, size);
	if (!moved)
		return NULL;
	self->used += size - before;
	return moved;
}

/* Once it has fired it fires at each further instruction, so that nothing that catches errors goes
 * on for long. */
static void end_of_instructions(lua_State *state, lua_Debug *where)
{
	struct sandbox *self = *(struct sandbox **)lua_getextraspace(state);

	self->is_spent = true;
	lua_sethook(state, end_of_instructions, LUA_MASKCOUNT, 1);
	lua_getinfo(state, "Sl", where);
	lua_pushfstring(state, "%s:%d: it has run for %d instructions", where->short_src,
			where->currentline, self->instructions);
	lua_error(state);
}

/* Inside: line_of(function) -> where its text begins; 0 for one of C */
static int line_of(lua_State *state)
{
	lua_Debug facts = {};

	luaL_checktype(state, 1, LUA_TFUNCTION);
	lua_settop(state, 1);
	lua_getinfo(state, ">S", &facts);
	lua_pushinteger(state, facts.linedefined > 0 ? facts.linedefined : 0);
	return 1;
}

/* Inside, protected. */
static int open_libraries(lua_State *state)
{
	static const luaL_Reg libraries[] = {
	    {LUA_GNAME, luaopen_base},	     {LUA_STRLIBNAME, luaopen_string},
	    {LUA_TABLIBNAME, luaopen_table}, {LUA_MATHLIBNAME, luaopen_math},
	    {LUA_UTF8LIBNAME, luaopen_utf8}, {NULL, NULL},
	};
	lua_CFunction lpeg = lua_tocfunction(state, 1);

	for (const luaL_Reg *library = libraries; library->name; library++) {
		luaL_requiref(state, library->name, library->func, 1);
		lua_pop(state, 1);
	}
	lua_register(state, "line_of", line_of);
	if (lpeg) {
		luaL_requiref(state, "lpeg", lpeg, 1);
		lua_pop(state, 1);
	}
	return 0;
}

static struct sandbox *check_sandbox(lua_State *L)
{
	struct sandbox *self = luaL_checkudata(L, 1, SANDBOX);

	luaL_argcheck(L, self->state, 1, "the sandbox is closed");
	return self;
}

/* What pcall has left on the inner stack, as nil, kind, message. */
static int push_failure(lua_State *L, struct sandbox *self, int status)
{
	lua_State *state = self->state;
	int type = lua_type(state, -1);

	lua_pushnil(L);
	if (status == LUA_ERRMEM) {
		lua_pushliteral(L, "memory");
		lua_pushfstring(L, "it needs more than %I bytes", (LUAI_UACINT)self->limit);
	} else {
		lua_pushstring(L, self->is_spent ? "instructions" : "error");
		if (type == LUA_TSTRING)
			lua_pushstring(L, lua_tostring(state, -1));
		else
			lua_pushfstring(L, "an error that is no text but a %s",
					lua_typename(state, type));
	}
	lua_settop(state, 0);
	return 3;
}

/* new(bytes, instructions [, luaopen_lpeg]) -> sandbox */
static int new_sandbox(lua_State *L)
{
	lua_Integer limit = luaL_checkinteger(L, 1), instructions = luaL_checkinteger(L, 2);
	lua_CFunction lpeg = lua_tocfunction(L, 3);
	struct sandbox *self;
	int status;

	luaL_argcheck(L, limit > 0, 1, "a size");
	luaL_argcheck(L, instructions > 0 && instructions <= INT32_MAX, 2, "a count");
	self = lua_newuserdatauv(L, sizeof(*self), 0);
	*self = (struct sandbox){.limit = (size_t)limit, .instructions = (int)instructions};
	luaL_setmetatable(L, SANDBOX);
	self->state = lua_newstate(allocate, self);
	if (!self->state)
		return push_error(L, -ENOMEM, NULL, "%lld bytes are not enough for a Lua state",
				  (long long)limit);
	*(struct sandbox **)lua_getextraspace(self->state) = self;
	lua_pushcfunction(self->state, open_libraries);
	if (lpeg)
		lua_pushcfunction(self->state, lpeg);
	else
		lua_pushnil(self->state);
	status = lua_pcall(self->state, 1, 0, 0);
	if (status)
		return push_error(L, -ENOMEM, NULL, "%lld bytes are not enough for Lua's libraries",
				  (long long)limit);
	return 1;
}

struct call {
	const char *name;
	const char *chunk; /* NULL: the global `name` is called */
	size_t chunk_size;
	const char *arguments;
	size_t arguments_size;
};

/* Inside, protected: unpacks, calls, packs. */
static int perform(lua_State *state)
{
	const struct call *call = lua_touserdata(state, 1);
	int count;

	lua_settop(state, 0);
	if (!call->chunk)
		lua_getglobal(state, call->name);
	else if (luaL_loadbufferx(state, call->chunk, call->chunk_size, call->name, "bt"))
		return lua_error(state);
	count = unpack_values(state, call->arguments, call->arguments_size);
	lua_call(state, count, LUA_MULTRET);
	pack_values(state, 1);
	return 1;
}

/* Expects the packed arguments on top. -> true, results ... or nil, kind, message */
static int enter(lua_State *L, struct sandbox *self, struct call *call)
{
	lua_State *state = self->state;
	size_t size;
	const char *results;
	int status;

	call->arguments = lua_tolstring(L, -1, &call->arguments_size);
	self->is_spent = false;
	lua_settop(state, 0);
	lua_pushcfunction(state, perform);
	lua_pushlightuserdata(state, call);
	lua_sethook(state, end_of_instructions, LUA_MASKCOUNT, self->instructions);
	status = lua_pcall(state, 1, 1, 0);
	lua_sethook(state, NULL, 0, 0);
	if (status)
		return push_failure(L, self, status);
	lua_pushboolean(L, 1);
	results = lua_tolstring(state, -1, &size);
	return 1 + unpack_values(L, results, size);
}

/* sandbox:run(chunk, name, argument ...): a text, or what string.dump has made of our own code */
static int run_chunk(lua_State *L)
{
	struct sandbox *self = check_sandbox(L);
	struct call call = {.name = luaL_checkstring(L, 3)};

	call.chunk = luaL_checklstring(L, 2, &call.chunk_size);
	pack_values(L, 4);
	return enter(L, self, &call);
}

/* sandbox:call(name, argument ...): a global function of the state */
static int call_function(lua_State *L)
{
	struct sandbox *self = check_sandbox(L);
	struct call call = {.name = luaL_checkstring(L, 2)};

	pack_values(L, 3);
	return enter(L, self, &call);
}

/* sandbox:memory() -> bytes in use */
static int get_memory(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)check_sandbox(L)->used);
	return 1;
}

static int close_sandbox(lua_State *L)
{
	struct sandbox *self = luaL_checkudata(L, 1, SANDBOX);
	lua_State *state = self->state;

	self->state = NULL;
	if (state)
		lua_close(state);
	return 0;
}

/* pack(value ...) -> bytes */
static int pack(lua_State *L)
{
	pack_values(L, 1);
	return 1;
}

/* unpack(bytes) -> value ... */
static int unpack(lua_State *L)
{
	size_t size;
	const char *bytes = luaL_checklstring(L, 1, &size);

	return unpack_values(L, bytes, size);
}

/* confine() -> true: this process, for good (core/confine.h) */
static int confine(lua_State *L)
{
	int err = confine_process();

	if (err)
		return push_errno(L, err, "cannot confine a process");
	lua_pushboolean(L, 1);
	return 1;
}

/* watch(milliseconds, descriptor, last words): 0 ends it (core/confine.h) */
static int watch(lua_State *L)
{
	lua_Integer milliseconds = luaL_checkinteger(L, 1);
	int fd = check_descriptor_number(L, 2);
	size_t size;
	const char *words = luaL_checklstring(L, 3, &size);

	luaL_argcheck(L, milliseconds >= 0 && milliseconds <= INT32_MAX, 1, "milliseconds");
	if (confine_watch((unsigned int)milliseconds, fd, words, size))
		return luaL_error(L, "last words are too long");
	return 0;
}

int open_sandbox(lua_State *L)
{
	static const luaL_Reg functions[] = {
	    {"new", new_sandbox}, {"pack", pack},   {"unpack", unpack},
	    {"confine", confine}, {"watch", watch}, {NULL, NULL},
	};
	static const luaL_Reg methods[] = {
	    {"run", run_chunk},
	    {"call", call_function},
	    {"memory", get_memory},
	    {"close", close_sandbox},
	    {"__close", close_sandbox},
	    {"__gc", close_sandbox},
	    {NULL, NULL},
	};

	define_methods(L, SANDBOX, methods);
	luaL_newlib(L, functions);
	return 1;
}
