/* bpf.core.service: what a daemon tells its service manager, gets from it, and gives up. */
#include "bindings/handle.h"
#include "bindings/namespaces.h"
#include "core/privilege.h"
#include "core/service.h"
#include "core/signals.h"

/* notify(state) -> true, as sd_notify(3) has it; also true where nobody listens */
static int notify(lua_State *L)
{
	int err = service_notify(luaL_checkstring(L, 1));

	if (err)
		return push_errno(L, err, "cannot tell the service manager");
	lua_pushboolean(L, 1);
	return 1;
}

/* watchdog() -> seconds in which WATCHDOG=1 is expected, or nil */
static int watchdog(lua_State *L)
{
	unsigned long long microseconds = service_watchdog();

	if (!microseconds)
		return 0;
	lua_pushnumber(L, (lua_Number)microseconds / 1e6);
	return 1;
}

/* listeners() -> { descriptor number ... }, the caller's from now on; empty at the second call */
static int listeners(lua_State *L)
{
	size_t count;
	int first;

	lua_newtable(L);
	first = service_listeners(&count);
	for (size_t i = 0; i < count; i++) {
		lua_pushinteger(L, first + (int)i);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	return 1;
}

static void push_capabilities(lua_State *L, uint64_t set)
{
	lua_newtable(L);
	for (int number = 0; number < 64; number++) {
		const char *name = privilege_capability_name(number);

		if (!(set >> number & 1) || !name)
			continue;
		lua_pushstring(L, name);
		lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
	}
}

/* capabilities() -> { name ... }: those in effect */
static int capabilities(lua_State *L)
{
	uint64_t set;
	int err = privilege_effective(&set);

	if (err)
		return push_errno(L, err, "cannot read this process's capabilities");
	push_capabilities(L, set);
	return 1;
}

/* keep_capabilities { name ... } -> { name ... }: those that are left */
static int keep_capabilities(lua_State *L)
{
	uint64_t keep = 0, kept;
	int err;

	luaL_checktype(L, 1, LUA_TTABLE);
	for (lua_Integer i = 1; lua_rawgeti(L, 1, i) == LUA_TSTRING; i++) {
		const char *name = lua_tostring(L, -1);
		int number = privilege_capability(name);

		if (number < 0)
			return luaL_error(L, "there is no capability %s", name);
		keep |= UINT64_C(1) << number;
		lua_pop(L, 1);
	}
	err = privilege_drop(keep, &kept);
	if (err)
		return push_errno(L, err, "cannot drop capabilities");
	push_capabilities(L, kept);
	return 1;
}

/* refuse_calls() -> how many system calls are refused from now on */
static int refuse_calls(lua_State *L)
{
	unsigned int count;
	int err = privilege_refuse_calls(&count);

	if (err)
		return push_errno(L, err, "cannot filter system calls");
	lua_pushinteger(L, count);
	return 1;
}

/* ignore_signals(): all that are not meant to end a daemon (core/signals.h) */
static int ignore_signals(lua_State *L)
{
	(void)L;
	signals_ignore();
	return 0;
}

/* hold_signals(): none comes through until this process has ended */
static int hold_signals(lua_State *L)
{
	(void)L;
	signals_hold();
	return 0;
}

int open_service(lua_State *L)
{
	static const luaL_Reg functions[] = {
	    {"notify", notify},
	    {"watchdog", watchdog},
	    {"listeners", listeners},
	    {"capabilities", capabilities},
	    {"keep_capabilities", keep_capabilities},
	    {"refuse_calls", refuse_calls},
	    {"ignore_signals", ignore_signals},
	    {"hold_signals", hold_signals},
	    {NULL, NULL},
	};

	luaL_newlib(L, functions);
	return 1;
}
