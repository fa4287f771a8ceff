/* core.pin: the directories that pins live in. */
#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "bindings/handle.h"
#include "bindings/namespaces.h"
#include "core/pin.h"

/* mount_bpffs(directory, mode) -> true, also where one is mounted */
static int mount_bpffs(lua_State *L)
{
	const char *directory = luaL_checkstring(L, 1);
	mode_t mode = (mode_t)luaL_checkinteger(L, 2);

	return push_done(L, bpffs__mount(directory, mode), "mount a bpffs at", directory);
}

/* unmount(directory) -> true */
static int unmount(lua_State *L)
{
	const char *directory = luaL_checkstring(L, 1);

	return push_done(L, bpffs__unmount(directory), "unmount", directory);
}

/* is_bpffs(directory) -> boolean */
static int is_bpffs(lua_State *L)
{
	const char *directory = luaL_checkstring(L, 1);
	int contains = bpffs__contains(directory);

	if (contains < 0)
		return push_errno(L, contains, "cannot look at %s", directory);
	lua_pushboolean(L, contains);
	return 1;
}

/* mkdir(path, mode) -> true */
static int make_directory(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	mode_t mode = (mode_t)luaL_checkinteger(L, 2);

	return push_done(L, pin__make_directory(path, mode), "make directory", path);
}

/* rename(from, to) -> true; never over something */
static int rename_path(lua_State *L)
{
	const char *from = luaL_checkstring(L, 1), *to = luaL_checkstring(L, 2);
	int err = pin__rename(from, to);

	if (err)
		return push_errno(L, err, "cannot rename %s to %s", from, to);
	lua_pushboolean(L, 1);
	return 1;
}

/* unlink(path) -> true */
static int unlink_path(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);

	return push_done(L, pin__remove(path), "remove", path);
}

/* remove_tree(path) -> true, also where nothing is */
static int remove_tree(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);

	return push_done(L, pin__remove_tree(path), "remove", path);
}

static int close_stream(lua_State *L)
{
	DIR **stream = lua_touserdata(L, 1);

	if (*stream)
		closedir(*stream);
	*stream = NULL;
	return 0;
}

/* list(directory) -> { name = "directory" | "file" | "link" ... } */
static int list(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	DIR **stream = lua_newuserdatauv(L, sizeof(*stream), 0);
	struct dirent *entry;

	*stream = NULL;
	if (luaL_newmetatable(L, "bpf.pin.stream")) {
		lua_pushcfunction(L, close_stream);
		lua_setfield(L, -2, "__gc");
	}
	lua_setmetatable(L, -2);
	*stream = opendir(path);
	if (!*stream)
		return push_errno(L, -errno, "cannot list %s", path);
	lua_newtable(L);
	while ((entry = readdir(*stream))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		lua_pushstring(L, entry->d_type == DT_DIR   ? "directory"
				  : entry->d_type == DT_LNK ? "link"
				  : entry->d_type == DT_REG ? "file"
							    : "other");
		lua_setfield(L, -2, entry->d_name);
	}
	closedir(*stream);
	*stream = NULL;
	return 1;
}

int open_pin(lua_State *L)
{
	static const luaL_Reg functions[] = {
	    {"mount_bpffs", mount_bpffs},
	    {"unmount", unmount},
	    {"is_bpffs", is_bpffs},
	    {"mkdir", make_directory},
	    {"rename", rename_path},
	    {"unlink", unlink_path},
	    {"list", list},
	    {"remove_tree", remove_tree},
	    {NULL, NULL},
	};

	luaL_newlib(L, functions);
	return 1;
}
