/* bpf.core.terminal: the terminal that a person looks at, and lines typed there. */
#include <string.h>
#include <lauxlib.h>

#include "bindings/handle.h"
#include "bindings/namespaces.h"
#include "bindings/table.h"
#include "core/line_editor.h"
#include "core/terminal.h"

#define EDITOR "bpf.terminal.editor"

/* User value 1 is the function that completes. */
struct editor_handle {
	struct line_editor *editor; /* NULL: closed */
	lua_State *L;		    /* while a line is read */
};

/* width(number) -> columns; nil where there is no terminal or it does not tell */
static int width(lua_State *L)
{
	int columns = terminal_width((int)luaL_checkinteger(L, 1));

	if (columns < 0)
		return 0;
	lua_pushinteger(L, columns);
	return 1;
}

/* Runs protected: f(before) -> insertion or nil, listing or nil */
static int ask(lua_State *L)
{
	struct line_completion *found = lua_touserdata(L, 3);

	lua_settop(L, 2);
	lua_call(L, 1, 2);
	if (lua_isstring(L, 1))
		found->insertion = strdup(lua_tostring(L, 1));
	if (lua_isstring(L, 2))
		found->listing = strdup(lua_tostring(L, 2));
	return 0;
}

/* No error crosses libedit: a completion that fails completes nothing. */
static void complete(void *context, const char *before, size_t length,
		     struct line_completion *found)
{
	struct editor_handle *self = context;
	lua_State *L = self->L;
	int top = lua_gettop(L);

	if (!lua_checkstack(L, 8))
		return;
	lua_pushcfunction(L, ask);
	lua_getiuservalue(L, 1, 1);
	lua_pushlstring(L, before, length);
	lua_pushlightuserdata(L, found);
	lua_pcall(L, 3, 0, 0);
	lua_settop(L, top);
}

/* editor(complete) -> editor; ENOSYS without libedit, ENOTTY without a terminal */
static int new_editor(lua_State *L)
{
	struct editor_handle *self;
	int err;

	luaL_checktype(L, 1, LUA_TFUNCTION);
	self = lua_newuserdatauv(L, sizeof(*self), 1);
	*self = (struct editor_handle){};
	luaL_setmetatable(L, EDITOR);
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	err = line_editor_new(complete, self, &self->editor);
	return err ? push_errno(L, err, "cannot edit lines here") : 1;
}

static struct editor_handle *check(lua_State *L)
{
	struct editor_handle *self = luaL_checkudata(L, 1, EDITOR);

	luaL_argcheck(L, self->editor, 1, "the editor is closed");
	return self;
}

/* editor:read(prompt) -> line; nil at the end */
static int read_line(lua_State *L)
{
	struct editor_handle *self = check(L);
	const char *prompt = luaL_checkstring(L, 2), *line;
	size_t length;
	int err;

	self->L = L;
	err = line_editor_read(self->editor, prompt, &line, &length);
	self->L = NULL;
	if (err)
		return 0;
	lua_pushlstring(L, line, length);
	return 1;
}

/* editor:remember(line) */
static int remember(lua_State *L)
{
	line_editor_remember(check(L)->editor, luaL_checkstring(L, 2));
	return 0;
}

static int close_editor(lua_State *L)
{
	struct editor_handle *self = luaL_checkudata(L, 1, EDITOR);
	struct line_editor *editor = self->editor;

	self->editor = NULL;
	line_editor_free(editor);
	return 0;
}

static const luaL_Reg methods[] = {
    {"read", read_line},       {"remember", remember}, {"close", close_editor},
    {"__close", close_editor}, {"__gc", close_editor}, {NULL, NULL},
};

static const luaL_Reg functions[] = {
    {"editor", new_editor},
    {"width", width},
    {NULL, NULL},
};

int open_terminal(lua_State *L)
{
	/* bpfctl opens this once more when it fetches core.so, whose libedit would be another. */
	define_methods(L, EDITOR, methods);
	luaL_newlib(L, functions);
	return 1;
}
