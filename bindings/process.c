/* bpf.core.system: what a process may do to itself and to its children. */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <unistd.h>
#include <sys/resource.h>
#include <lauxlib.h>

#include "bindings/descriptor.h"
#include "bindings/handle.h"
#include "bindings/process.h"
#include "bindings/table.h"
#include "core/process.h"
#include "core/system.h"

#define KEPT_DESCRIPTORS 1100

/* fork({ descriptor ... }) -> pid, or 0 in the child, which keeps only these (core/process.h) */
static int fork_child(lua_State *L)
{
	int keep[KEPT_DESCRIPTORS];
	size_t count = check_descriptor_numbers(L, 1, keep, KEPT_DESCRIPTORS);
	pid_t pid = process_fork(keep, count);

	if (pid < 0)
		return push_errno(L, pid, "cannot fork");
	lua_pushinteger(L, pid);
	return 1;
}

/* release({ descriptor ... }) -> true: all others are let go of (core/process.h) */
static int release(lua_State *L)
{
	int keep[KEPT_DESCRIPTORS];
	size_t count = check_descriptor_numbers(L, 1, keep, KEPT_DESCRIPTORS);
	int err = process_release(keep, count);

	if (err)
		return push_errno(L, err, "cannot let go of descriptors");
	lua_pushboolean(L, 1);
	return 1;
}

/* set_name(text): this process's, see core/process.h */
static int set_name(lua_State *L)
{
	process_set_name(luaL_checkstring(L, 1));
	return 0;
}

/* wait(pid [, block]) -> { code = n } or { signal = n }, false while it runs */
static int wait_child(lua_State *L)
{
	pid_t pid = (pid_t)luaL_checkinteger(L, 1);
	int code = -1, signal = -1;
	int ended = process_wait(pid, lua_toboolean(L, 2), &code, &signal);

	if (ended < 0)
		return push_errno(L, ended, "cannot wait for process %d", (int)pid);
	if (!ended) {
		lua_pushboolean(L, 0);
		return 1;
	}
	lua_createtable(L, 0, 1);
	set_integer(L, code >= 0 ? "code" : "signal", code >= 0 ? code : signal);
	return 1;
}

/* limit_data(bytes) -> the limit before: of what this process may have in its own memory (-1: none)
 */
static int limit_data(lua_State *L)
{
	rlim_t before, wanted = (rlim_t)luaL_checkinteger(L, 1);
	int err = process_limit_data(wanted, &before);

	if (err)
		return push_errno(L, err, "cannot limit memory");
	lua_pushinteger(L, (lua_Integer)before);
	return 1;
}

/* kill(pid, "KILL" | "TERM" | "check") -> true */
static int kill_process(lua_State *L)
{
	static const char *const names[] = {"KILL", "TERM", "check", NULL};
	static const int signals[] = {SIGKILL, SIGTERM, 0};
	pid_t pid = (pid_t)luaL_checkinteger(L, 1);

	luaL_argcheck(L, pid > 0, 1, "not a process");
	return push_done(L, kill(pid, signals[luaL_checkoption(L, 2, NULL, names)]) ? -errno : 0,
			 "signal", "a process");
}

/* leave(code): no return, and nothing of the parent's is flushed or collected */
static int leave(lua_State *L)
{
	_exit((int)luaL_checkinteger(L, 1));
}

static int identity(lua_State *L)
{
	lua_createtable(L, 0, 3);
	set_integer(L, "pid", getpid());
	set_integer(L, "uid", geteuid());
	set_integer(L, "gid", getegid());
	return 1;
}

/* group_id(name) -> number */
static int group_id(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1);
	gid_t gid;
	int err = system_group_id(name, &gid);

	if (err)
		return push_error(L, err, NULL, "there is no group %s", name);
	lua_pushinteger(L, gid);
	return 1;
}

/* group_name(number) -> name */
static int group_name(lua_State *L)
{
	gid_t gid = (gid_t)luaL_checkinteger(L, 1);
	char name[256];
	int err = system_group_name(gid, name, sizeof(name));

	if (err)
		return push_error(L, err, NULL, "there is no group %u", gid);
	lua_pushstring(L, name);
	return 1;
}

/* As many descriptors as root may have: a chain is rebuilt from all of its members' maps. */
static int raise_descriptor_limit(lua_State *L)
{
	struct rlimit limit;

	if (!getrlimit(RLIMIT_NOFILE, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	(void)L;
	return 0;
}

/* keep_free(bytes) -> whether: so much that is free stays this process's until trim gives it back,
 * and nothing smaller is mapped by itself. glibc's default, 128 KiB, is one long answer. */
static int keep_free(lua_State *L)
{
	int bytes = (int)luaL_checkinteger(L, 1);

	luaL_argcheck(L, bytes >= 0, 1, "out of range");
	lua_pushboolean(L, mallopt(M_TRIM_THRESHOLD, bytes) && mallopt(M_MMAP_THRESHOLD, bytes));
	return 1;
}

/* trim() -> whether the allocator gave pages back to the kernel */
static int trim(lua_State *L)
{
	lua_pushboolean(L, malloc_trim(0));
	return 1;
}

const luaL_Reg process_functions[] = {
    {"fork", fork_child},
    {"group_id", group_id},
    {"group_name", group_name},
    {"identity", identity},
    {"kill", kill_process},
    {"keep_free", keep_free},
    {"limit_data", limit_data},
    {"leave", leave},
    {"raise_descriptor_limit", raise_descriptor_limit},
    {"release", release},
    {"set_name", set_name},
    {"trim", trim},
    {"wait", wait_child},
    {NULL, NULL},
};
