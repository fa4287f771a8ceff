#include <string.h>

#include "bindings/chain_hook.h"
#include "bindings/handle.h"
#include "core/chain/hook.h"

static const char *const modes[] = {"auto", "native", "generic", NULL};

static int check_ifindex(lua_State *L, int index)
{
	lua_Integer ifindex = luaL_checkinteger(L, index);

	luaL_argcheck(L, ifindex > 0 && ifindex <= INT32_MAX, index, "not an interface index");
	return (int)ifindex;
}

static bool check_egress(lua_State *L, int index)
{
	static const char *const directions[] = {"ingress", "egress", NULL};

	return luaL_checkoption(L, index, NULL, directions) == 1;
}

/* true, or nil and an error that says what could not be done where the kernel has no words for it
 */
static int finish(lua_State *L, int err, struct diagnostic *why, const char *failure)
{
	if (err)
		return push_diagnostic(L, err, why, "%s", failure);
	lua_pushboolean(L, true);
	return 1;
}

/* attach_xdp(program, ifindex, mode) -> link, mode used, code of the driver's refusal or nil */
static int attach_xdp(lua_State *L)
{
	struct program_handle *program = check_program(L, 1);
	int ifindex = check_ifindex(L, 2), refusal, fd;
	enum xdp_mode mode = luaL_checkoption(L, 3, "auto", modes);
	struct diagnostic *why = new_diagnostic(L);
	struct link_handle *link = new_link(L);

	fd = hook__attach_xdp(program->fd, ifindex, &mode, &refusal, why);
	if (fd < 0)
		return push_diagnostic(L, fd, why, "cannot attach to XDP there");
	link->fd = fd;
	lua_pushstring(L, modes[mode]);
	lua_pushstring(L, refusal ? strerrorname_np(-refusal) : NULL);
	return 3;
}

/* attach_tcx(program, ifindex, direction) -> link */
static int attach_tcx(lua_State *L)
{
	struct program_handle *program = check_program(L, 1);
	int ifindex = check_ifindex(L, 2), fd;
	bool is_egress = check_egress(L, 3);
	struct diagnostic *why = new_diagnostic(L);
	struct link_handle *link = new_link(L);

	fd = hook__attach_tcx(program->fd, ifindex, is_egress, why);
	if (fd < 0)
		return push_diagnostic(L, fd, why, "cannot attach to TCX there");
	link->fd = fd;
	return 1;
}

static int has_tcx(lua_State *L)
{
	lua_pushboolean(L, hook__has_tcx());
	return 1;
}

/* update(link, program, old_id) -> true */
static int update(lua_State *L)
{
	struct link_handle *link = check_link(L, 1);
	struct program_handle *program = check_program(L, 2);
	__u32 old_id = (__u32)luaL_checkinteger(L, 3);
	struct diagnostic *why = new_diagnostic(L);
	int err = hook__update(link->fd, program->fd, old_id, why);

	return finish(L, err, why, "cannot replace the chain");
}

/* query_filter(ifindex, direction) -> id, nil if there is no filter of ours */
static int query_filter(lua_State *L)
{
	int ifindex = check_ifindex(L, 1), err;
	bool is_egress = check_egress(L, 2);
	struct diagnostic *why = new_diagnostic(L);
	__u32 id;

	err = hook__query_filter(ifindex, is_egress, &id, why);
	if (err)
		return push_diagnostic(L, err, why, "cannot ask for TC filters");
	if (!id)
		return 0;
	lua_pushinteger(L, id);
	return 1;
}

/* set_filter(program, ifindex, direction, old_id) -> true */
static int set_filter(lua_State *L)
{
	struct program_handle *program = check_program(L, 1);
	int ifindex = check_ifindex(L, 2), err;
	bool is_egress = check_egress(L, 3);
	__u32 old_id = (__u32)luaL_optinteger(L, 4, 0);
	struct diagnostic *why = new_diagnostic(L);

	err = hook__set_filter(program->fd, ifindex, is_egress, old_id, why);
	return finish(L, err, why, "cannot set the TC filter");
}

/* remove_filter(ifindex, direction, old_id) -> true */
static int remove_filter(lua_State *L)
{
	int ifindex = check_ifindex(L, 1), err;
	bool is_egress = check_egress(L, 2);
	__u32 old_id = (__u32)luaL_checkinteger(L, 3);
	struct diagnostic *why = new_diagnostic(L);

	err = hook__remove_filter(ifindex, is_egress, old_id, why);
	return finish(L, err, why, "cannot remove the TC filter");
}

static int settle(lua_State *L)
{
	int err = hook__settle();

	if (err)
		return push_errno(L, err, "cannot wait for packets in flight");
	lua_pushboolean(L, 1);
	return 1;
}

const luaL_Reg chain_hook_functions[] = {
    {"attach_xdp", attach_xdp},
    {"attach_tcx", attach_tcx},
    {"has_tcx", has_tcx},
    {"update", update},
    {"query_filter", query_filter},
    {"set_filter", set_filter},
    {"remove_filter", remove_filter},
    {"settle", settle},
    {NULL, NULL},
};
