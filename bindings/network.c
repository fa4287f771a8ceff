/* core.network: interfaces, network namespaces, and what runs on XDP and TC. */
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/descriptor.h"
#include "bindings/handle.h"
#include "bindings/namespaces.h"
#include "bindings/table.h"
#include "core/interface_watch.h"
#include "core/network.h"
#include "core/traffic_control.h"

#define LIST "bpf.network.list"

/* C's lists, while Lua tables are made of them. */
static int free_list(lua_State *L)
{
	void **list = lua_touserdata(L, 1);

	free(*list);
	*list = NULL;
	return 0;
}

static void **new_list(lua_State *L)
{
	void **list = lua_newuserdatauv(L, sizeof(*list), 0);

	*list = NULL;
	if (luaL_newmetatable(L, LIST)) {
		lua_pushcfunction(L, free_list);
		lua_setfield(L, -2, "__gc");
	}
	lua_setmetatable(L, -2);
	return list;
}

static bool check_is_egress(lua_State *L, int index)
{
	static const char *const directions[] = {"ingress", "egress", NULL};

	return luaL_checkoption(L, index, NULL, directions);
}

/* index(name) -> ifindex */
static int get_index(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1);
	unsigned int index = if_nametoindex(name);

	if (!index)
		return push_error(L, -ENODEV, NULL, "there is no interface %s", name);
	lua_pushinteger(L, index);
	return 1;
}

/* name(ifindex) -> name */
static int get_name(lua_State *L)
{
	unsigned int index = check_u32(L, 1);
	char name[IF_NAMESIZE];

	if (!if_indextoname(index, name))
		return push_error(L, -ENODEV, NULL, "there is no interface %u", index);
	lua_pushstring(L, name);
	return 1;
}

static void push_interface(lua_State *L, const struct interface *each)
{
	lua_createtable(L, 0, 6);
	set_integer(L, "index", each->index);
	set_string(L, "name", each->name);
	if (each->kind[0])
		set_string(L, "kind", each->kind);
	set_integer(L, "mtu", each->mtu);
	set_boolean(L, "up", each->is_up);
}

/* interfaces() -> { { index =, name =, kind =, mtu =, up = } ... } */
static int list_interfaces(lua_State *L)
{
	struct interface **all = (struct interface **)new_list(L);
	size_t count;
	int err = network__interfaces(all, &count);

	if (err)
		return push_errno(L, err, "cannot list the interfaces");
	lua_createtable(L, (int)count, 0);
	for (size_t i = 0; i < count; i++) {
		push_interface(L, &(*all)[i]);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	return 1;
}

/* watch() -> descriptor of what tells of changes to interfaces */
static int watch_interfaces(lua_State *L)
{
	struct descriptor_handle *handle = new_descriptor(L);
	int err = interface_watch__open(&handle->fd);

	if (err)
		return push_errno(L, err, "cannot watch the interfaces");
	return 1;
}

/* changes(descriptor) -> those of one message: interfaces, `gone` among their fields */
static int read_changes(lua_State *L)
{
	struct interface_change changes[INTERFACE_CHANGES_MAX];
	size_t count;
	int err = interface_watch__read(check_descriptor_number(L, 1), changes, &count);

	if (err)
		return push_errno(L, err, "cannot read what changed of the interfaces");
	lua_createtable(L, (int)count, 0);
	for (size_t i = 0; i < count; i++) {
		push_interface(L, &changes[i].interface);
		set_boolean(L, "gone", changes[i].is_gone);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	return 1;
}

/* identity(ifindex) -> integer */
static int get_identity(lua_State *L)
{
	int ifindex = (int)luaL_checkinteger(L, 1);
	__u64 identity;
	int err = network__interface_identity(ifindex, &identity);

	if (err)
		return push_errno(L, err, "cannot tell interface %d from others", ifindex);
	lua_pushinteger(L, (lua_Integer)identity);
	return 1;
}

/* namespace_cookie() -> integer */
static int get_namespace_cookie(lua_State *L)
{
	__u64 cookie;
	int err = network__namespace_cookie(&cookie);

	if (err)
		return push_errno(L, err, "cannot tell the network namespace's cookie");
	lua_pushinteger(L, (lua_Integer)cookie);
	return 1;
}

/* enter(fd) -> true: this thread, from now on */
static int enter(lua_State *L)
{
	int err = network__enter((int)luaL_checkinteger(L, 1));

	if (err == -EINVAL)
		return push_error(L, err, NULL, "that is no network namespace");
	if (err)
		return push_errno(L, err, "cannot enter a network namespace");
	lua_pushboolean(L, 1);
	return 1;
}

/* xdp(ifindex) -> program id, "native" | "generic" | "hardware"; nothing where none runs */
static int get_xdp(lua_State *L)
{
	static const char *const modes[] = {NULL, "native", "generic", "hardware"};
	int ifindex = (int)luaL_checkinteger(L, 1);
	enum xdp_how how;
	__u32 id;
	int err = network__xdp(ifindex, &id, &how);

	if (err)
		return push_errno(L, err, "cannot ask about XDP on interface %d", ifindex);
	if (how == XDP_NONE)
		return 0;
	lua_pushinteger(L, id);
	lua_pushstring(L, modes[how]);
	return 2;
}

/* tcx(ifindex, direction) -> { program id ... } in running order */
static int get_tcx(lua_State *L)
{
	int ifindex = (int)luaL_checkinteger(L, 1);
	__u32 ids[TCX_PROGRAMS_MAX], count;
	int err = network__tcx(ifindex, check_is_egress(L, 2), ids, &count);

	if (err == -EOPNOTSUPP)
		return push_error(L, err, NULL, "this kernel has no TCX (6.6 has it)");
	if (err)
		return push_errno(L, err, "cannot ask about TCX on interface %d", ifindex);
	lua_createtable(L, (int)count, 0);
	for (__u32 i = 0; i < count; i++) {
		lua_pushinteger(L, ids[i]);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	return 1;
}

/* qdisc(ifindex) -> "clsact" | "ingress"; nothing where neither is */
static int get_qdisc(lua_State *L)
{
	int ifindex = (int)luaL_checkinteger(L, 1);
	char kind[16];
	int err = qdisc__kind(ifindex, kind, sizeof(kind));

	if (err)
		return push_errno(L, err, "cannot list the qdiscs of interface %d", ifindex);
	if (!kind[0])
		return 0;
	lua_pushstring(L, kind);
	return 1;
}

/* add_clsact(ifindex) -> true */
static int add_clsact(lua_State *L)
{
	int ifindex = (int)luaL_checkinteger(L, 1);
	int err = qdisc__add_clsact(ifindex);

	if (err == -EEXIST)
		return push_error(L, err, NULL, "interface %d has a clsact or ingress qdisc",
				  ifindex);
	if (err)
		return push_errno(L, err, "cannot add clsact to interface %d", ifindex);
	lua_pushboolean(L, 1);
	return 1;
}

/* remove_clsact(ifindex) -> true, with all filters */
static int remove_clsact(lua_State *L)
{
	int ifindex = (int)luaL_checkinteger(L, 1);
	int err = qdisc__remove_clsact(ifindex);

	if (err)
		return push_errno(L, err, "cannot remove clsact from interface %d", ifindex);
	lua_pushboolean(L, 1);
	return 1;
}

/* filters(ifindex, direction) -> { { kind =, priority =, handle =, prog_id =, name = } ... } */
static int list_filters(lua_State *L)
{
	int ifindex = (int)luaL_checkinteger(L, 1);
	bool is_egress = check_is_egress(L, 2);
	struct filter **all = (struct filter **)new_list(L);
	size_t count;
	int err = filters__list(ifindex, is_egress, all, &count);

	if (err)
		return push_errno(L, err, "cannot list the filters of interface %d", ifindex);
	lua_createtable(L, (int)count, 0);
	for (size_t i = 0; i < count; i++) {
		const struct filter *each = &(*all)[i];

		lua_createtable(L, 0, 6);
		set_string(L, "kind", each->kind);
		set_integer(L, "priority", each->priority);
		set_integer(L, "handle", each->handle);
		if (each->program_id) {
			set_integer(L, "prog_id", each->program_id);
			set_string(L, "name", each->name);
			set_boolean(L, "direct", each->is_direct);
		}
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	return 1;
}

static struct filter_place check_place(lua_State *L)
{
	return (struct filter_place){
	    .ifindex = (int)luaL_checkinteger(L, 1),
	    .is_egress = check_is_egress(L, 2),
	    .priority = check_u32(L, 3),
	    .handle = check_u32(L, 4),
	};
}

/* set_filter(ifindex, direction, priority, handle, program, name, "add" | "replace") -> true */
static int set_filter(lua_State *L)
{
	static const char *const ways[] = {"add", "replace", NULL};
	struct filter_place place = check_place(L);
	int program = check_program(L, 5)->fd, err;
	const char *name = luaL_checkstring(L, 6);

	if (luaL_checkoption(L, 7, NULL, ways))
		err = filter__replace(&place, program, name);
	else
		err = filter__add(&place, program, name);
	if (err == -EEXIST)
		return push_error(L, err, NULL, "interface %d has a filter with handle %#x",
				  place.ifindex, place.handle);
	if (err)
		return push_errno(L, err, "cannot set a filter on interface %d", place.ifindex);
	lua_pushboolean(L, 1);
	return 1;
}

/* remove_filter(ifindex, direction, priority, handle) -> true */
static int remove_filter(lua_State *L)
{
	struct filter_place place = check_place(L);
	int err = filter__remove(&place);

	if (err)
		return push_errno(L, err, "cannot remove a filter from interface %d",
				  place.ifindex);
	lua_pushboolean(L, 1);
	return 1;
}

int open_network(lua_State *L)
{
	static const luaL_Reg functions[] = {
	    {"index", get_index},
	    {"name", get_name},
	    {"interfaces", list_interfaces},
	    {"watch", watch_interfaces},
	    {"changes", read_changes},
	    {"identity", get_identity},
	    {"namespace_cookie", get_namespace_cookie},
	    {"enter", enter},
	    {"xdp", get_xdp},
	    {"tcx", get_tcx},
	    {"qdisc", get_qdisc},
	    {"add_clsact", add_clsact},
	    {"remove_clsact", remove_clsact},
	    {"filters", list_filters},
	    {"set_filter", set_filter},
	    {"remove_filter", remove_filter},
	    {NULL, NULL},
	};

	luaL_newlib(L, functions);
	return 1;
}
