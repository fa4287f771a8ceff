/* core.libxdp: dispatchers that are shared with libxdp. */
#include <errno.h>

#include "bindings/handle.h"
#include "bindings/namespaces.h"
#include "bindings/table.h"
#include "core/chain/libxdp.h"

#define LOCK_HANDLE "bpf.libxdp.lock"

static const char *const modes[] = {"auto", "native", "generic", NULL};

/* read(program) -> { version =, device_bound =, { mask =, priority =, flags = } ... };
 * nothing for a program that is no dispatcher */
static int read_dispatcher(lua_State *L)
{
	struct program_handle *program = check_program(L, 1);
	struct libxdp_dispatcher dispatcher;
	int err = libxdp__read(program->fd, &dispatcher);

	if (err == -ENOENT)
		return 0;
	if (err == -EBADMSG)
		return push_error(L, err, NULL, "it is a damaged libxdp dispatcher");
	if (err)
		return push_errno(L, err, "cannot read a libxdp dispatcher");
	lua_createtable(L, (int)dispatcher.slot_cnt, 2);
	set_integer(L, "version", dispatcher.version);
	set_boolean(L, "device_bound", dispatcher.is_device_bound);
	for (size_t i = 0; i < dispatcher.slot_cnt; i++) {
		lua_createtable(L, 0, 4);
		set_integer(L, "mask", dispatcher.slots[i].mask);
		set_integer(L, "priority", dispatcher.slots[i].priority);
		set_integer(L, "flags", dispatcher.slots[i].flags);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	return 1;
}

static int release(lua_State *L)
{
	int *fd = luaL_checkudata(L, 1, LOCK_HANDLE);

	close_descriptor(fd);
	return 0;
}

/* lock(directory, milliseconds) -> lock, which is released by close */
static int lock(lua_State *L)
{
	const char *directory = luaL_checkstring(L, 1);
	unsigned int wait_ms = check_u32(L, 2);
	int *fd = lua_newuserdatauv(L, sizeof(*fd), 1), taken;

	*fd = -1;
	luaL_setmetatable(L, LOCK_HANDLE);
	taken = libxdp__lock(directory, wait_ms);
	if (taken == -EWOULDBLOCK)
		return push_error(L, taken, NULL, "somebody holds libxdp's lock on %s", directory);
	if (taken < 0)
		return push_errno(L, taken, "cannot take libxdp's lock on %s", directory);
	*fd = taken;
	return 1;
}

/* attach(program, ifindex, mode, old_id) -> mode used; old_id 0: nothing may run there */
static int attach(lua_State *L)
{
	struct program_handle *program = check_program(L, 1);
	int ifindex = (int)check_u32(L, 2), err;
	enum xdp_mode mode = luaL_checkoption(L, 3, "auto", modes);
	__u32 old_id = check_u32(L, 4);
	struct diagnostic *why = new_diagnostic(L);

	err = libxdp__attach(program->fd, ifindex, &mode, old_id, why);
	if (err)
		return push_diagnostic(L, err, why, "cannot attach the dispatcher to XDP there");
	lua_pushstring(L, modes[mode]);
	return 1;
}

/* detach(ifindex, mode, old_id) -> true */
static int detach(lua_State *L)
{
	int ifindex = (int)check_u32(L, 1), err;
	enum xdp_mode mode = luaL_checkoption(L, 2, NULL, modes);
	__u32 old_id = check_u32(L, 3);
	struct diagnostic *why = new_diagnostic(L);

	err = libxdp__detach(ifindex, mode, old_id, why);
	if (err)
		return push_diagnostic(L, err, why, "cannot detach the dispatcher");
	lua_pushboolean(L, 1);
	return 1;
}

int open_libxdp(lua_State *L)
{
	static const luaL_Reg lock_methods[] = {{NULL, NULL}};
	static const luaL_Reg functions[] = {
	    {"read", read_dispatcher}, {"lock", lock}, {"attach", attach},
	    {"detach", detach},	       {NULL, NULL},
	};

	define_handle(L, LOCK_HANDLE, lock_methods, release);
	lua_pop(L, 1);
	luaL_newlib(L, functions);
	return 1;
}
