/* core.freplace: dispatchers with extension programs in their slots. */
#include <stdlib.h>

#include "bindings/handle.h"
#include "bindings/namespaces.h"
#include "bindings/table.h"
#include "core/chain/freplace.h"

static __u32 check_type(lua_State *L, int index)
{
	static const char *const kinds[] = {"xdp", "tc", NULL};

	return luaL_checkoption(L, index, NULL, kinds) ? BPF_PROG_TYPE_SCHED_CLS
						       : BPF_PROG_TYPE_XDP;
}

/* probe(kind) -> true */
static int probe(lua_State *L)
{
	__u32 type = check_type(L, 1);
	struct diagnostic *why = new_diagnostic(L);
	int err = freplace__probe(type, why);

	if (err)
		return push_diagnostic(L, err, why, "cannot try extension (freplace) programs");
	lua_pushboolean(L, 1);
	return 1;
}

/* probe_again(kind) -> true */
static int probe_again(lua_State *L)
{
	__u32 type = check_type(L, 1);
	struct diagnostic *why = new_diagnostic(L);
	int err = freplace__probe_again(type, why);

	if (err)
		return push_diagnostic(L, err, why, "cannot try extension (freplace) programs");
	lua_pushboolean(L, 1);
	return 1;
}

/* open_target(kind) -> program, function */
static int open_target(lua_State *L)
{
	__u32 type = check_type(L, 1);
	struct diagnostic *why = new_diagnostic(L);
	struct program_handle *program = new_program(L);
	int fd, err = freplace__open_target(type, &fd, why);

	if (err)
		return push_diagnostic(L, err, why, "cannot load the dispatcher");
	program->fd = fd;
	lua_pushliteral(L, FREPLACE_TARGET_FUNCTION);
	return 2;
}

static void take_member(lua_State *L, int index, struct freplace_member *member)
{
	luaL_checktype(L, index, LUA_TTABLE);
	lua_getfield(L, index, "program");
	lua_getfield(L, index, "mask");
	lua_getfield(L, index, "priority");
	lua_getfield(L, index, "flags");
	*member = (struct freplace_member){
	    .program_fd = check_program(L, -4)->fd,
	    .mask = (__u32)luaL_checkinteger(L, -3),
	    .priority = (__u32)luaL_checkinteger(L, -2),
	    .flags = (__u32)luaL_checkinteger(L, -1),
	};
	lua_pop(L, 4);
}

static void take_chain(lua_State *L, struct freplace_chain *chain)
{
	size_t count;

	*chain = (struct freplace_chain){.type = check_type(L, 1)};
	luaL_checktype(L, 2, LUA_TTABLE);
	chain->finish = (__s32)luaL_checkinteger(L, 3);
	chain->version = (__u32)luaL_optinteger(L, 4, 0);
	count = lua_rawlen(L, 2);
	luaL_argcheck(L, count >= 1 && count <= DISPATCHER_SLOTS, 2, "1 to 10 members");
	for (size_t i = 0; i < count; i++) {
		lua_rawgeti(L, 2, (lua_Integer)i + 1);
		take_member(L, lua_gettop(L), &chain->members[i]);
		lua_pop(L, 1);
	}
	chain->member_cnt = count;
}

/* build(kind, {{program=, mask=, priority=, flags=} ...}, finish, version) -> dispatcher, {link
 * ...}
 */
static int build(lua_State *L)
{
	struct freplace_dispatcher dispatcher;
	struct link_handle *links[DISPATCHER_SLOTS];
	struct freplace_chain chain;
	struct program_handle *program;
	struct diagnostic *why;
	int err;

	take_chain(L, &chain);
	why = new_diagnostic(L);
	program = new_program(L);
	lua_createtable(L, (int)chain.member_cnt, 0);
	for (size_t i = 0; i < chain.member_cnt; i++) {
		links[i] = new_link(L);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	err = freplace__build(&chain, &dispatcher, why);
	if (err)
		return push_diagnostic(L, err, why, "cannot build the dispatcher");
	program->fd = dispatcher.program_fd;
	for (size_t i = 0; i < chain.member_cnt; i++)
		links[i]->fd = dispatcher.link_fds[i];
	return 2;
}

int open_freplace(lua_State *L)
{
	static const luaL_Reg functions[] = {
	    {"probe", probe},
	    {"probe_again", probe_again},
	    {"open_target", open_target},
	    {"build", build},
	    {NULL, NULL},
	};

	luaL_newlib(L, functions);
	set_integer(L, "slots", DISPATCHER_SLOTS);
	return 1;
}
