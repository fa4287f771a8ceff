/* The fuse engine: member records, builds, and the counters of running chains. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bindings/chain_hook.h"
#include "bindings/handle.h"
#include "bindings/namespaces.h"
#include "bindings/table.h"
#include "core/chain/counters.h"
#include "core/chain/fuse.h"
#include "core/chain/record.h"

#define BUILD_HANDLE "bpf.chain.build"
#define BOX	     "bpf.chain.box"

/* Owns everything from the first allocation on: reading the arguments may raise at any of them. */
struct build {
	struct chain chain; /* stays for what it says about members */
	struct fused_chain fused;
	bool open;
};

static const char *const kinds[] = {"xdp", "tc", NULL};

static struct build *check_build(lua_State *L)
{
	struct build *build = luaL_checkudata(L, 1, BUILD_HANDLE);

	luaL_argcheck(L, build->open, 1, "the build is closed");
	return build;
}

static int build_close(lua_State *L)
{
	struct build *build = luaL_checkudata(L, 1, BUILD_HANDLE);

	fuse__release(&build->fused);
	chain__release(&build->chain);
	build->open = false;
	return 0;
}

/* A pointer that collection frees: pushing bytes as a string may raise. */
static void **new_box(lua_State *L)
{
	void **box = lua_newuserdatauv(L, sizeof(*box), 0);

	*box = NULL;
	luaL_setmetatable(L, BOX);
	return box;
}

static int free_box(lua_State *L)
{
	void **box = luaL_checkudata(L, 1, BOX);

	free(*box);
	*box = NULL;
	return 0;
}

/* record(prepared, note) -> bytes */
static int record(lua_State *L)
{
	const struct prepared_program *prepared = check_prepared(L, 1);
	const char *why;
	size_t note_size, size;
	const char *note = luaL_optlstring(L, 2, "", &note_size);
	void **bytes = new_box(L);
	int err = record__encode(prepared, note, note_size, bytes, &size, &why);

	if (err && why)
		return push_error(L, err, NULL, "%s cannot be part of a fused chain: %s",
				  prepared->name, why);
	if (err)
		return push_errno(L, err, "cannot record %s", prepared->name);
	lua_pushlstring(L, *bytes, size);
	return 1;
}

/* note(bytes) -> note */
static int note(lua_State *L)
{
	size_t size, found_size;
	const char *bytes = luaL_checklstring(L, 1, &size), *found;

	if (record__note(bytes, size, &found, &found_size))
		return push_error(L, -EINVAL, NULL, "not a member record of this version of bpfd");
	lua_pushlstring(L, found, found_size);
	return 1;
}

static void push_description(lua_State *L, const struct member *member)
{
	bool tail_calls = false;

	lua_newtable(L);
	set_string(L, "name", member->name);
	set_string(L, "license", member->license);
	set_boolean(L, "frags", member->flags & BPF_F_XDP_HAS_FRAGS);
	for (__u32 i = 0; i < member->function_cnt; i++)
		tail_calls |= member->functions[i].tail_calls;
	set_boolean(L, "tail_calls", tail_calls);
	lua_createtable(L, member->reference_cnt, 0);
	for (__u32 i = 0; i < member->reference_cnt; i++) {
		lua_pushinteger(L, member->references[i].map_id);
		lua_rawseti(L, -2, i + 1);
	}
	lua_setfield(L, -2, "map_references");
}

/* describe(bytes) -> { name, license, frags, tail_calls, map_references } */
static int describe(lua_State *L)
{
	struct build *scratch = lua_newuserdatauv(L, sizeof(*scratch), 0);
	const char *why = "";
	size_t size;
	const char *bytes = luaL_checklstring(L, 1, &size);
	struct diagnostic failure = {0};
	int err;

	memset(scratch, 0, sizeof(*scratch));
	scratch->fused.counters_fd = -1;
	luaL_setmetatable(L, BUILD_HANDLE);
	err = chain__init(&scratch->chain, CHAIN_XDP, 1, &failure);
	if (!err)
		err = record__decode(bytes, size, &scratch->chain.members[0].member, &why);
	if (err)
		return push_error(L, err, NULL, "cannot read the record: %s", why);
	push_description(L, &scratch->chain.members[0].member);
	return 1;
}

/* The member's maps, { [id] = handle }, at the top of the stack. */
static int add_maps(lua_State *L, struct chain *chain, struct diagnostic *why)
{
	int err = 0;

	lua_pushnil(L);
	while (!err && lua_next(L, -2)) {
		err = chain__add_map(chain, check_map(L, lua_gettop(L))->fd, why);
		lua_pop(L, 1);
	}
	return err;
}

/* The member { program =, mask =, record =, maps = } at `index`. */
static int add_member(lua_State *L, struct chain *chain, __u32 place, int index,
		      struct diagnostic *why)
{
	size_t size;
	const char *bytes;
	__u32 mask;
	int fd, err;

	luaL_checktype(L, index, LUA_TTABLE);
	lua_getfield(L, index, "program");
	fd = check_program(L, lua_gettop(L))->fd;
	lua_getfield(L, index, "mask");
	mask = (__u32)luaL_checkinteger(L, lua_gettop(L));
	lua_getfield(L, index, "record");
	bytes = luaL_checklstring(L, lua_gettop(L), &size);
	err = chain__set_member(chain, place, fd, mask, bytes, size, why);
	if (!err && lua_getfield(L, index, "maps") == LUA_TTABLE)
		err = add_maps(L, chain, why);
	lua_settop(L, index);
	return err;
}

static int add_members(lua_State *L, struct chain *chain, __u32 count, struct diagnostic *why)
{
	int err = 0;

	for (__u32 i = 0; i < count && !err; i++) {
		lua_rawgeti(L, 3, i + 1);
		err = add_member(L, chain, i, lua_gettop(L), why);
		lua_pop(L, 1);
	}
	return err;
}

/* build(kind, end_verdict, members) -> build */
static int build(lua_State *L)
{
	enum chain_kind kind = luaL_checkoption(L, 1, NULL, kinds);
	lua_Integer end_verdict = luaL_checkinteger(L, 2);
	__u32 count;
	struct build *build;
	struct diagnostic *why;
	int err;

	luaL_checktype(L, 3, LUA_TTABLE);
	count = lua_rawlen(L, 3);
	lua_settop(L, 3);
	build = lua_newuserdatauv(L, sizeof(*build), 0);
	memset(build, 0, sizeof(*build));
	build->fused.counters_fd = -1;
	luaL_setmetatable(L, BUILD_HANDLE);
	why = new_diagnostic(L);
	err = chain__init(&build->chain, kind, count, why);
	build->chain.end_verdict = (int)end_verdict;
	if (!err)
		err = add_members(L, &build->chain, count, why);
	if (!err)
		err = chain__check(&build->chain, why);
	if (!err)
		err = fuse__build(&build->chain, &build->fused, why);
	if (err)
		return push_diagnostic(L, err, why, "cannot fuse the chain");
	build->open = true;
	lua_settop(L, 4);
	return 1;
}

/* build:head() -> program: a descriptor of its own */
static int build_head(lua_State *L)
{
	struct build *build = check_build(L);
	struct program_handle *program = new_program(L);

	program->fd = fcntl(build->fused.segments[0].program_fd, F_DUPFD_CLOEXEC, 3);
	return program->fd < 0 ? push_errno(L, -errno, "cannot duplicate a descriptor") : 1;
}

/* build:layout() -> { { first =, count =, called = { boolean ... } } ... }, one for each segment */
static int build_layout(lua_State *L)
{
	struct build *build = check_build(L);

	lua_createtable(L, build->fused.segment_cnt, 0);
	for (__u32 i = 0; i < build->fused.segment_cnt; i++) {
		const struct fused_segment *segment = &build->fused.segments[i];

		lua_createtable(L, 0, 3);
		set_integer(L, "first", segment->first + 1);
		set_integer(L, "count", segment->count);
		lua_createtable(L, segment->count, 0);
		for (__u32 k = 0; k < segment->count; k++) {
			lua_pushboolean(L, build->chain.members[segment->first + k].called);
			lua_rawseti(L, -2, k + 1);
		}
		lua_setfield(L, -2, "called");
		lua_rawseti(L, -2, i + 1);
	}
	return 1;
}

/* build:pin(directory) -> true */
static int build_pin(lua_State *L)
{
	struct build *build = check_build(L);
	const char *directory = luaL_checkstring(L, 2);
	int err = fuse__pin(&build->fused, directory);

	if (err)
		return push_errno(L, err, "cannot pin the chain in %s", directory);
	lua_pushboolean(L, true);
	return 1;
}

static int push_counters(lua_State *L, int fd)
{
	__u64 *positions = lua_newuserdatauv(L, COUNTERS_MAX_POSITIONS * sizeof(*positions), 0);
	int count = counters__read(fd, positions);

	if (count < 0)
		return push_errno(L, count, "cannot read the counters of a chain");
	lua_createtable(L, count, 0);
	for (int i = 0; i < count; i++) {
		lua_pushinteger(L, (lua_Integer)positions[i]);
		lua_rawseti(L, -2, i + 1);
	}
	return 1;
}

/* build:stops() -> { n, ... }: for each member, for "all proceeded", for "not entered" */
static int build_stops(lua_State *L)
{
	return push_counters(L, check_build(L)->fused.counters_fd);
}

/* stops(map) -> the same, from the map that a running chain has pinned */
static int stops(lua_State *L)
{
	return push_counters(L, check_map(L, 1)->fd);
}

int open_chain(lua_State *L)
{
	static const luaL_Reg functions[] = {
	    {"record", record}, {"note", note},	  {"describe", describe},
	    {"build", build},	{"stops", stops}, {NULL, NULL},
	};
	static const luaL_Reg no_methods[] = {{NULL, NULL}};
	static const luaL_Reg methods[] = {
	    {"head", build_head}, {"layout", build_layout},
	    {"pin", build_pin},	  {"stops", build_stops},
	    {NULL, NULL},
	};

	define_handle(L, BUILD_HANDLE, methods, build_close);
	define_handle(L, BOX, no_methods, free_box);
	lua_pop(L, 2);
	luaL_newlib(L, functions);
	luaL_setfuncs(L, chain_hook_functions, 0);
	return 1;
}
