/* bpf.core.disk: files that survive a crash whole. */
#include <lauxlib.h>

#include "bindings/descriptor.h"
#include "bindings/handle.h"
#include "bindings/namespaces.h"
#include "core/disk.h"

/* create(path) -> descriptor of a file that was not there before */
static int create(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	struct descriptor_handle *handle = new_descriptor(L);
	int fd = disk_create(path);

	if (fd < 0)
		return push_errno(L, fd, "cannot make %s", path);
	handle->fd = fd;
	return 1;
}

/* sync(descriptor) -> true */
static int sync_file(lua_State *L)
{
	return push_done(L, disk_sync(check_descriptor_number(L, 1)), "write",
			 "a file to the disk");
}

/* sync_directory(path) -> true */
static int sync_directory(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);

	return push_done(L, disk_sync_directory(path), "write to the disk", path);
}

/* copy(from, to) -> true, after the last byte */
static int copy(lua_State *L)
{
	int from = check_descriptor_number(L, 1), to = check_descriptor_number(L, 2);

	return push_done(L, disk_copy(from, to), "copy", "a file");
}

/* touch(path) -> true */
static int touch(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);

	return push_done(L, disk_touch(path), "touch", path);
}

/* empty(descriptor) -> true */
static int empty(lua_State *L)
{
	return push_done(L, disk_empty(check_descriptor_number(L, 1)), "empty", "a file");
}

/* changed_at(path) -> nanoseconds */
static int changed_at(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	long long nanoseconds;
	int err = disk_changed_at(path, &nanoseconds);

	if (err)
		return push_errno(L, err, "cannot look at %s", path);
	lua_pushinteger(L, nanoseconds);
	return 1;
}

static const luaL_Reg functions[] = {
    {"changed_at", changed_at}, {"copy", copy},	     {"create", create},
    {"empty", empty},		{"sync", sync_file}, {"sync_directory", sync_directory},
    {"touch", touch},		{NULL, NULL},
};

int open_disk(lua_State *L)
{
	luaL_newlib(L, functions);
	return 1;
}
