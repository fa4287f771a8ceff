/* core.link: programs at work, and what they hang on. */
#include <errno.h>
#include <stdio.h>
#include <linux/bpf.h>
#include <linux/if_link.h>

#include "bindings/handle.h"
#include "bindings/namespaces.h"
#include "bindings/table.h"
#include "core/code.h"
#include "core/link.h"
#include "core/pin.h"

struct link_handle *new_link(lua_State *L)
{
	struct link_handle *self = lua_newuserdatauv(L, sizeof(*self), 1);

	*self = (struct link_handle){.fd = -1};
	luaL_setmetatable(L, LINK_HANDLE);
	return self;
}

struct link_handle *check_link(lua_State *L, int index)
{
	struct link_handle *self = luaL_checkudata(L, index, LINK_HANDLE);

	luaL_argcheck(L, self->fd >= 0, index, "link is closed");
	return self;
}

static int close_link(lua_State *L)
{
	struct link_handle *self = luaL_checkudata(L, 1, LINK_HANDLE);

	close_descriptor(&self->fd);
	return 0;
}

static bool is_at_work(int fd, struct link_info *info)
{
	bool has_interface;

	if (fd < 0 || link__info(fd, info))
		return false;
	has_interface = info->type == LINK_TYPE_XDP || info->type == LINK_TYPE_TCX;
	return !has_interface || info->ifindex;
}

/* What nobody closed and nobody pinned stops working now, without anybody having said so. */
static int collect_link(lua_State *L)
{
	struct link_handle *self = luaL_checkudata(L, 1, LINK_HANDLE);
	struct link_info info;
	bool is_lost = !self->pinned && is_at_work(self->fd, &info);
	char text[160];

	close_descriptor(&self->fd);
	if (!is_lost)
		return 0;
	snprintf(text, sizeof(text),
		 "bpf: link %u (program %u) was collected while live and is detached; pin, keep or "
		 "close it",
		 info.id, info.program_id);
	lua_warning(L, text, 0);
	return 0;
}

static int get_fd(lua_State *L)
{
	lua_pushinteger(L, check_link(L, 1)->fd);
	return 1;
}

/* The way out of every attaching function: `self` is on the stack's top. */
static int finish(lua_State *L, struct link_handle *self, int fd, struct diagnostic *why)
{
	if (fd < 0)
		return push_diagnostic(L, fd, why, "cannot attach");
	self->fd = fd;
	return 1;
}

/* tracepoint(program, category, name) -> link */
static int attach_tracepoint(lua_State *L)
{
	int program = check_program(L, 1)->fd;
	const char *category = luaL_checkstring(L, 2), *name = luaL_checkstring(L, 3);
	struct diagnostic *why = new_diagnostic(L);
	struct link_handle *self = new_link(L);

	return finish(L, self, link__attach_tracepoint(program, category, name, why), why);
}

/* raw_tracepoint(program, name) -> link */
static int attach_raw_tracepoint(lua_State *L)
{
	int program = check_program(L, 1)->fd;
	const char *name = luaL_checkstring(L, 2);
	struct diagnostic *why = new_diagnostic(L);
	struct link_handle *self = new_link(L);

	return finish(L, self, link__attach_raw_tracepoint(program, name, why), why);
}

/* kprobe(program, function, offset, is_return) -> link */
static int attach_kprobe(lua_State *L)
{
	int program = check_program(L, 1)->fd;
	struct probe probe = {
	    .function = luaL_checkstring(L, 2),
	    .offset = (__u64)luaL_checkinteger(L, 3),
	    .is_return = lua_toboolean(L, 4),
	};
	struct diagnostic *why = new_diagnostic(L);
	struct link_handle *self = new_link(L);

	return finish(L, self, link__attach_kprobe(program, &probe, why), why);
}

/* uprobe(program, path, function | nil, offset, is_return, pid [, name of the file]) -> link */
static int attach_uprobe(lua_State *L)
{
	int program = check_program(L, 1)->fd;
	struct probe probe = {
	    .path = luaL_checkstring(L, 2),
	    .function = luaL_optstring(L, 3, NULL),
	    .offset = (__u64)luaL_checkinteger(L, 4),
	    .is_return = lua_toboolean(L, 5),
	    .pid = (pid_t)luaL_checkinteger(L, 6),
	    .name = luaL_optstring(L, 7, luaL_checkstring(L, 2)),
	};
	struct diagnostic *why = new_diagnostic(L);
	struct link_handle *self = new_link(L);

	return finish(L, self, link__attach_uprobe(program, &probe, why), why);
}

/* locate(path, function | nil, offset, name of the file) -> offset in the file */
static int locate(lua_State *L)
{
	struct code_place place = {
	    .path = luaL_checkstring(L, 1),
	    .function = luaL_optstring(L, 2, NULL),
	    .offset = (__u64)luaL_checkinteger(L, 3),
	    .name = luaL_checkstring(L, 4),
	};
	struct diagnostic *why = new_diagnostic(L);
	__u64 offset;
	int err = code__find(&place, &offset, why);

	if (err)
		return push_diagnostic(L, err, why, "cannot find the place");
	lua_pushinteger(L, (lua_Integer)offset);
	return 1;
}

/* tracing(program, "fentry" | "fexit") -> link: the program was loaded for its function */
static int attach_tracing(lua_State *L)
{
	static const char *const kinds[] = {"fentry", "fexit", NULL};
	int program = check_program(L, 1)->fd;
	__u32 type = luaL_checkoption(L, 2, NULL, kinds) ? BPF_TRACE_FEXIT : BPF_TRACE_FENTRY;
	struct diagnostic *why = new_diagnostic(L);
	struct link_handle *self = new_link(L);

	return finish(L, self, link__attach_tracing(program, type, why), why);
}

/* xdp(program, ifindex, "auto" | "native" | "generic") -> link */
static int attach_xdp(lua_State *L)
{
	static const char *const modes[] = {"auto", "native", "generic", NULL};
	static const __u32 flags[] = {0, XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE};
	int program = check_program(L, 1)->fd, ifindex = (int)luaL_checkinteger(L, 2);
	__u32 mode = flags[luaL_checkoption(L, 3, "auto", modes)];
	struct diagnostic *why = new_diagnostic(L);
	struct link_handle *self = new_link(L);

	return finish(L, self, link__attach_xdp(program, ifindex, mode, why), why);
}

/* tcx(program, ifindex, direction, "before" | "after" | nil, anchor program id | 0) -> link */
static int attach_tcx(lua_State *L)
{
	static const char *const directions[] = {"ingress", "egress", NULL};
	static const char *const places[] = {"anywhere", "before", "after", NULL};
	int program = check_program(L, 1)->fd, ifindex = (int)luaL_checkinteger(L, 2);
	int side = luaL_checkoption(L, 4, "anywhere", places);
	struct tcx_place place = {
	    .is_egress = luaL_checkoption(L, 3, NULL, directions),
	    .is_before = side == 1,
	    .is_after = side == 2,
	    .anchor = (__u32)luaL_optinteger(L, 5, 0),
	};
	struct diagnostic *why = new_diagnostic(L);
	struct link_handle *self = new_link(L);

	return finish(L, self, link__attach_tcx(program, ifindex, &place, why), why);
}

/* open_id(id) -> link. Somebody else holds or pinned it, or there would be no such id. */
static int open_id(lua_State *L)
{
	__u32 id = check_u32(L, 1);
	struct link_handle *self = new_link(L);
	int fd = link__open_id(id);

	self->pinned = true;
	return take_id(L, &self->fd, fd, "link", id);
}

/* open_pin(path) -> link */
static int open_pinned(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	struct link_handle *self = new_link(L);
	int fd = pin__open(path, BPF_KIND_LINK, 0);

	self->pinned = true;
	return take_pin(L, &self->fd, fd, "link", path);
}

/* next_id(id) -> id; nothing after the last. 0 comes before the first. */
static int next_id(lua_State *L)
{
	__u32 id = check_u32(L, 1);
	int err = link__next_id(&id);

	return push_next_id(L, err, id, "link");
}

static void set_interface(lua_State *L, const struct link_info *info)
{
	if (info->type != LINK_TYPE_XDP && info->type != LINK_TYPE_TCX)
		return;
	set_integer(L, "ifindex", info->ifindex);
	set_boolean(L, "severed", !info->ifindex);
	if (info->type != LINK_TYPE_TCX)
		return;
	set_string(L, "direction", info->attach_type == ATTACH_TCX_EGRESS ? "egress" : "ingress");
}

/* info(link) -> table */
static int get_info(lua_State *L)
{
	struct link_handle *self = check_link(L, 1);
	struct link_info info;
	int err = link__info(self->fd, &info);
	const char *type;

	if (err)
		return push_errno(L, err, "cannot ask the kernel about a link");
	type = link__type_name(info.type);
	lua_createtable(L, 0, 6);
	set_integer(L, "id", info.id);
	set_integer(L, "prog_id", info.program_id);
	if (type)
		lua_pushstring(L, type);
	else
		lua_pushfstring(L, "type %d", (int)info.type);
	lua_setfield(L, -2, "type");
	set_interface(L, &info);
	return 1;
}

/* update(link, program, old program | nil) -> true */
static int update(lua_State *L)
{
	struct link_handle *self = check_link(L, 1);
	int program = check_program(L, 2)->fd;
	int old = lua_isnoneornil(L, 3) ? -1 : check_program(L, 3)->fd;
	int err = link__update(self->fd, program, old);

	if (err == -ESTALE)
		return push_error(L, err, NULL, "the link runs another program than expected");
	if (err == -ENOLINK)
		return push_error(L, err, NULL, "the link's interface is gone");
	if (err)
		return push_errno(L, err, "cannot give a link another program");
	lua_pushboolean(L, 1);
	return 1;
}

/* pin(link, path) -> true */
static int pin(lua_State *L)
{
	struct link_handle *self = check_link(L, 1);
	const char *path = luaL_checkstring(L, 2);
	int err = pin__add(self->fd, path);

	if (err)
		return push_errno(L, err, "cannot pin a link at %s", path);
	self->pinned = true;
	lua_pushboolean(L, 1);
	return 1;
}

/* detach(link) -> true: the program works there no more, whoever has pinned the link */
static int detach(lua_State *L)
{
	struct link_handle *self = check_link(L, 1);
	int err = link__detach(self->fd);

	if (err == -EOPNOTSUPP)
		return push_error(L, err, NULL,
				  "links of this type end when they are unpinned and closed");
	if (err)
		return push_errno(L, err, "cannot detach a link");
	self->pinned = true; /* nothing live is lost with this handle any more */
	lua_pushboolean(L, 1);
	return 1;
}

int open_link(lua_State *L)
{
	static const luaL_Reg functions[] = {
	    {"tracepoint", attach_tracepoint},
	    {"raw_tracepoint", attach_raw_tracepoint},
	    {"kprobe", attach_kprobe},
	    {"uprobe", attach_uprobe},
	    {"locate", locate},
	    {"tracing", attach_tracing},
	    {"xdp", attach_xdp},
	    {"tcx", attach_tcx},
	    {"open_id", open_id},
	    {"open_pin", open_pinned},
	    {"next_id", next_id},
	    {NULL, NULL},
	};
	static const luaL_Reg methods[] = {
	    {"fd", get_fd}, {"info", get_info}, {"update", update},
	    {"pin", pin},   {"detach", detach}, {NULL, NULL},
	};

	luaL_newlib(L, functions);
	define_handle(L, LINK_HANDLE, methods, close_link);
	lua_setfield(L, -2, "methods");
	luaL_getmetatable(L, LINK_HANDLE);
	lua_pushcfunction(L, collect_link);
	lua_setfield(L, -2, "__gc");
	lua_pop(L, 1);
	return 1;
}
