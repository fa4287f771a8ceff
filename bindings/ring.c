/* core.ring: records of ring buffers and perf event arrays as byte strings. */
#include <errno.h>
#include <limits.h>

#include "bindings/handle.h"
#include "bindings/namespaces.h"
#include "core/ring.h"

#define RING_HANDLE "bpf.ring"

struct ring_handle {
	struct ring *ring; /* NULL: closed */
};

static struct ring *check_ring(lua_State *L)
{
	struct ring_handle *self = luaL_checkudata(L, 1, RING_HANDLE);

	luaL_argcheck(L, self->ring, 1, "the ring is closed");
	return self->ring;
}

static int close_ring(lua_State *L)
{
	struct ring_handle *self = luaL_checkudata(L, 1, RING_HANDLE);
	struct ring *ring = self->ring;

	self->ring = NULL;
	ring__close(ring);
	return 0;
}

/* open(map, pages) -> ring */
static int open_one(lua_State *L)
{
	struct map_handle *map = check_map(L, 1);
	__u32 pages = check_u32(L, 2);
	struct ring_handle *self;
	int err;

	luaL_argcheck(L, pages && !(pages & (pages - 1)), 2, "pages are a power of two");
	self = lua_newuserdatauv(L, sizeof(*self), 1);
	self->ring = NULL;
	luaL_setmetatable(L, RING_HANDLE);
	err = ring__open(&self->ring, map->fd, pages);
	if (err == -EMEDIUMTYPE)
		return push_error(L, err, NULL, "neither a ring buffer nor a perf event array");
	if (err)
		return push_errno(L, err, "cannot read what is sent through a map");
	return 1;
}

/* take(ring) -> bytes [, cpu]; nothing where none is there */
static int take(lua_State *L)
{
	struct ring_record record;
	int more = ring__next(check_ring(L), &record);

	if (more < 0)
		return push_errno(L, more, "cannot read what is sent through a map");
	if (!more)
		return 0;
	lua_pushlstring(L, record.bytes ? record.bytes : "", record.size);
	if (record.cpu < 0)
		return 1;
	lua_pushinteger(L, record.cpu);
	return 2;
}

/* wait(ring [, seconds]) -> whether there is something; false too when a signal came */
static int wait_for(lua_State *L)
{
	struct ring *ring = check_ring(L);
	lua_Number seconds = luaL_optnumber(L, 2, -1);
	int ready;

	if (seconds > INT_MAX / 1000)
		seconds = INT_MAX / 1000;
	ready = ring__wait(ring, seconds < 0 ? -1 : (int)(seconds * 1000));

	if (ready < 0 && ready != -EINTR)
		return push_errno(L, ready, "cannot wait for what is sent through a map");
	lua_pushboolean(L, ready > 0);
	return 1;
}

/* lost(ring) -> records that a perf event array had no room for */
static int get_lost(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)ring__lost(check_ring(L)));
	return 1;
}

int open_ring(lua_State *L)
{
	static const luaL_Reg functions[] = {{"open", open_one}, {NULL, NULL}};
	static const luaL_Reg methods[] = {
	    {"take", take}, {"wait", wait_for}, {"lost", get_lost}, {NULL, NULL}};

	luaL_newlib(L, functions);
	define_handle(L, RING_HANDLE, methods, close_ring);
	lua_setfield(L, -2, "methods");
	return 1;
}
