/* bpf.core.socket: local sockets, and the descriptors that travel on them. */
#include <errno.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>
#include <lauxlib.h>

#include "bindings/descriptor.h"
#include "bindings/handle.h"
#include "bindings/namespaces.h"
#include "bindings/table.h"
#include "core/socket.h"

#define SOCKET_HANDLE "bpf.socket"
#define RECEIVE_SIZE  65536

struct socket_handle {
	int fd;
};

static struct socket_handle *new_socket(lua_State *L)
{
	struct socket_handle *self = lua_newuserdatauv(L, sizeof(*self), 0);

	self->fd = -1;
	luaL_setmetatable(L, SOCKET_HANDLE);
	return self;
}

static int check_socket(lua_State *L)
{
	struct socket_handle *self = luaL_checkudata(L, 1, SOCKET_HANDLE);

	if (self->fd < 0)
		luaL_argerror(L, 1, "the socket is closed");
	return self->fd;
}

/* Seconds (may be a fraction; absent: forever) to milliseconds. */
static int timeout_argument(lua_State *L, int index)
{
	lua_Number seconds = luaL_optnumber(L, index, -1);

	if (seconds < 0)
		return -1;
	return seconds > 1000000 ? 1000000000 : (int)(seconds * 1000);
}

static lua_Integer optional_field(lua_State *L, int index, const char *name, lua_Integer otherwise)
{
	lua_Integer value = otherwise;

	if (lua_getfield(L, index, name) != LUA_TNIL)
		value = luaL_checkinteger(L, -1);
	lua_pop(L, 1);
	return value;
}

/* listen(path, { mode = 0600, owner = uid, group = gid }) -> socket */
static int listen_at(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	struct socket_handle *self;
	lua_Integer mode, owner, group;
	int fd;

	if (lua_isnoneornil(L, 2)) {
		lua_settop(L, 1);
		lua_newtable(L);
	}
	luaL_checktype(L, 2, LUA_TTABLE);
	mode = optional_field(L, 2, "mode", 0600);
	owner = optional_field(L, 2, "owner", -1);
	group = optional_field(L, 2, "group", -1);
	self = new_socket(L);
	fd = socket_listen(path, (mode_t)mode, (uid_t)owner, (gid_t)group);
	if (fd < 0)
		return push_errno(L, fd, "cannot listen on %s", path);
	self->fd = fd;
	return 1;
}

/* connect(path [, seconds]) -> socket */
static int connect_to(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	int timeout = timeout_argument(L, 2);
	struct socket_handle *self = new_socket(L);
	int fd = socket_connect(path, timeout);

	if (fd < 0)
		return push_errno(L, fd, "cannot connect to %s", path);
	self->fd = fd;
	return 1;
}

/* pair() -> socket, socket */
static int make_pair(lua_State *L)
{
	struct socket_handle *left = new_socket(L), *right = new_socket(L);
	int pair[2], err = socket_pair(pair);

	if (err)
		return push_errno(L, err, "cannot make a pair of sockets");
	left->fd = pair[0];
	right->fd = pair[1];
	return 2;
}

static int accept_one(lua_State *L)
{
	int listener = check_socket(L);
	struct socket_handle *self = new_socket(L);
	int fd = socket_accept(listener);

	if (fd < 0)
		return push_errno(L, fd, "cannot accept a connection");
	self->fd = fd;
	return 1;
}

/* socket:send(bytes [, descriptors [, first]]) -> number of bytes sent */
static int send_bytes(lua_State *L)
{
	int fd = check_socket(L), descriptors[SOCKET_DESCRIPTORS];
	size_t size, count = 0;
	const char *bytes = luaL_checklstring(L, 2, &size);
	lua_Integer first = luaL_optinteger(L, 4, 1);
	ssize_t sent;

	luaL_argcheck(L, first >= 1 && (size_t)first <= size, 4, "outside the bytes");
	if (!lua_isnoneornil(L, 3))
		count = check_descriptor_numbers(L, 3, descriptors, SOCKET_DESCRIPTORS);
	sent = socket_send(fd, bytes + first - 1, size - (size_t)first + 1, descriptors, count);
	if (sent < 0)
		return push_errno(L, (int)sent, "cannot send");
	lua_pushinteger(L, sent);
	return 1;
}

/*
 * socket:receive([size]) -> bytes ("" at the end), descriptors (a list, or nil when there are
 * none). The handles exist before the numbers do: none is lost when memory is short.
 */
static int receive_bytes(lua_State *L)
{
	int fd = check_socket(L), descriptors[SOCKET_DESCRIPTORS];
	lua_Integer size = luaL_optinteger(L, 2, RECEIVE_SIZE);
	struct descriptor_handle *handles[SOCKET_DESCRIPTORS];
	size_t count = SOCKET_DESCRIPTORS;
	ssize_t received;
	luaL_Buffer buffer;
	char *bytes;

	luaL_argcheck(L, size > 0 && size <= 1 << 24, 2, "size out of range");
	lua_settop(L, 1);
	lua_createtable(L, SOCKET_DESCRIPTORS, 0);
	for (int i = 0; i < SOCKET_DESCRIPTORS; i++) {
		handles[i] = new_descriptor(L);
		lua_rawseti(L, 2, i + 1);
	}
	bytes = luaL_buffinitsize(L, &buffer, (size_t)size);
	received = socket_receive(fd, bytes, (size_t)size, descriptors, &count);
	if (received < 0)
		return push_errno(L, (int)received, "cannot receive");
	for (size_t i = 0; i < count; i++)
		handles[i]->fd = descriptors[i];
	luaL_pushresultsize(&buffer, (size_t)received);
	for (size_t i = count; i < SOCKET_DESCRIPTORS; i++) {
		lua_pushnil(L);
		lua_rawseti(L, 2, (lua_Integer)i + 1);
	}
	if (!count)
		return 1;
	lua_pushvalue(L, 2);
	return 2;
}

/* socket:wait("r" | "w" | "rw" [, seconds]) -> true */
static int wait_for(lua_State *L)
{
	static const char *const events[] = {"r", "w", "rw", NULL};
	int fd = check_socket(L), event = luaL_checkoption(L, 2, NULL, events);
	int err = socket_wait(fd, event != 1, event != 0, timeout_argument(L, 3));

	if (err)
		return push_errno(L, err, "waiting for the other side");
	lua_pushboolean(L, 1);
	return 1;
}

/* Pushes the list of the other side's groups; 0 or -errno. */
static int push_groups(lua_State *L, int fd)
{
	gid_t few[64], *groups = few;
	size_t count = sizeof(few) / sizeof(*few);
	int err = socket_peer_groups(fd, groups, &count);

	if (err == -ERANGE) {
		groups = lua_newuserdatauv(L, count * sizeof(*groups), 0);
		err = socket_peer_groups(fd, groups, &count);
	}
	if (err)
		return err;
	lua_createtable(L, (int)count, 0);
	for (size_t i = 0; i < count; i++) {
		lua_pushinteger(L, groups[i]);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	return 0;
}

/* socket:peer() -> { pid =, uid =, gid =, groups = { gid ... } } */
static int peer_of(lua_State *L)
{
	struct socket_peer peer;
	int fd = check_socket(L), err;

	lua_settop(L, 1);
	err = socket_peer(fd, &peer);
	if (!err)
		err = push_groups(L, fd);
	if (err)
		return push_errno(L, err, "cannot tell who is on the other side");
	lua_createtable(L, 0, 4);
	lua_insert(L, -2);
	lua_setfield(L, -2, "groups");
	set_integer(L, "pid", peer.pid);
	set_integer(L, "uid", peer.uid);
	set_integer(L, "gid", peer.gid);
	return 1;
}

/* socket:gone() -> whether nobody is on the other side any more */
static int is_gone(lua_State *L)
{
	lua_pushboolean(L, socket_gone(check_socket(L)));
	return 1;
}

/* socket:shutdown("r" | "w" | "rw") -> true */
static int shut_down(lua_State *L)
{
	static const char *const sides[] = {"r", "w", "rw", NULL};
	static const int how[] = {SHUT_RD, SHUT_WR, SHUT_RDWR};
	int fd = check_socket(L);

	if (shutdown(fd, how[luaL_checkoption(L, 2, "rw", sides)]))
		return push_errno(L, -errno, "cannot shut the socket down");
	lua_pushboolean(L, 1);
	return 1;
}

/* socket:path() -> where it is bound, "" if it is not; nil, err for another kind of socket */
static int path_of(lua_State *L)
{
	char path[SOCKET_PATH];
	int err = socket_path(check_socket(L), path);

	if (err)
		return push_errno(L, err, "cannot tell where the socket is bound");
	lua_pushstring(L, path);
	return 1;
}

/* adopt(number) -> socket, which owns the number from now on and does not wait */
static int adopt(lua_State *L)
{
	int fd = (int)luaL_checkinteger(L, 1);
	struct socket_handle *self = new_socket(L);
	int err = socket_set_nonblocking(fd);

	if (err)
		return push_errno(L, err, "cannot use descriptor %d as a socket", fd);
	self->fd = fd;
	return 1;
}

static int number(lua_State *L)
{
	lua_pushinteger(L, check_socket(L));
	return 1;
}

static int close_socket(lua_State *L)
{
	struct socket_handle *self = luaL_checkudata(L, 1, SOCKET_HANDLE);
	int fd = self->fd;

	self->fd = -1;
	if (fd >= 0)
		close(fd);
	return 0;
}

static const luaL_Reg methods[] = {
    {"accept", accept_one},
    {"send", send_bytes},
    {"receive", receive_bytes},
    {"wait", wait_for},
    {"peer", peer_of},
    {"gone", is_gone},
    {"shutdown", shut_down},
    {"fd", number},
    {"close", close_socket},
    {"path", path_of},
    {"__close", close_socket},
    {"__gc", close_socket},
    {NULL, NULL},
};

static const luaL_Reg functions[] = {
    {"listen", listen_at}, {"connect", connect_to}, {"pair", make_pair}, {"adopt", adopt},
    {NULL, NULL},
};

int open_socket(lua_State *L)
{
	define_methods(L, SOCKET_HANDLE, methods);
	luaL_newlib(L, functions);
	return 1;
}
