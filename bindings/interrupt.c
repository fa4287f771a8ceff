/* bpf.core.interrupt: calls of Lua functions that Ctrl-C or a deadline can end. */
#include <errno.h>
#include <time.h>
#include <lauxlib.h>

#include "bindings/handle.h"
#include "bindings/namespaces.h"
#include "core/interrupt.h"

#define LONGEST 1000000 /* seconds that one wait may take */

/* The coroutines under way, innermost first. Signal handlers read it. */
struct running {
	lua_State *L;
	struct running *below;
};
static struct running *volatile running;

/* Deadlines under way, innermost first. */
struct deadline {
	double end;
	bool has_expired;
	struct deadline *outer;
};
static struct deadline *deadlines;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void expire_outermost(void)
{
	struct deadline *found = NULL;
	double time = now();

	for (struct deadline *each = deadlines; each; each = each->outer) {
		if (each->end <= time)
			found = each;
	}
	if (found)
		found->has_expired = true;
}

/* The signal that is ending the coroutines under way. */
static volatile sig_atomic_t stopping;

/*
 * Raises in this coroutine. Those below have the same hook and are ended when it comes to them.
 * What is closed on the way may wait again.
 */
static void stop(lua_State *L, lua_Debug *where)
{
	int signal = stopping;

	(void)where;
	lua_sethook(L, NULL, 0, 0);
	interrupt_clear();
	if (!signal)
		return;
	if (signal == SIGALRM) {
		interrupt_silence();
		expire_outermost();
		push_error(L, -ETIMEDOUT, NULL, "the time is up");
	} else {
		push_error(L, -EINTR, NULL, "interrupted");
	}
	lua_error(L);
}

/* In the signal's handler; lua_sethook is made for it. */
static void stop_all(void)
{
	stopping = interrupt_pending();
	for (struct running *each = running; each; each = each->below)
		lua_sethook(each->L, stop,
			    LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
}

static void leave(struct running *here)
{
	running = here->below;
	stopping = 0;
	interrupt_clear();
	lua_sethook(here->L, NULL, 0, 0);
}

/* call(handler, f, ...) -> as xpcall; Ctrl-C meanwhile raises EINTR in f, a second one ends the
 * process */
static int call_interruptibly(lua_State *L)
{
	struct running here = {L, running};
	struct sigaction before;
	int status;

	luaL_checktype(L, 2, LUA_TFUNCTION);
	running = &here;
	interrupt_catch(SIGINT, stop_all, &before);
	status = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 1);
	interrupt_release(SIGINT, &before);
	leave(&here);

	lua_pushboolean(L, status == LUA_OK);
	lua_replace(L, 1);
	return lua_gettop(L);
}

static void arm(void)
{
	double end = 0;

	if (!deadlines)
		return;
	for (struct deadline *each = deadlines; each; each = each->outer) {
		if (!end || each->end < end)
			end = each->end;
	}
	interrupt_alarm(end - now());
}

/* deadline(seconds, f, ...) -> true and what f returns; false when the time was up */
static int call_with_deadline(lua_State *L)
{
	lua_Number seconds = luaL_checknumber(L, 1);
	struct deadline mine = {.end = now() + seconds, .outer = deadlines};
	struct running here = {L, running};
	struct sigaction before;
	int status;

	luaL_argcheck(L, seconds > 0, 1, "not a time to wait");
	luaL_checktype(L, 2, LUA_TFUNCTION);
	running = &here;
	deadlines = &mine;
	interrupt_catch(SIGALRM, stop_all, &before);
	arm();
	status = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 0);
	interrupt_silence();
	deadlines = mine.outer;
	running = here.below;
	if (stopping == SIGALRM)
		leave(&here);
	interrupt_release(SIGALRM, &before);
	arm();

	if (status && !mine.has_expired)
		return lua_error(L);
	if (status)
		lua_settop(L, 1);
	lua_pushboolean(L, status == LUA_OK);
	lua_replace(L, 1);
	return status ? 1 : lua_gettop(L);
}

/* coroutine.resume (upvalue 1) that keeps `running` */
static int resume(lua_State *L)
{
	lua_State *coroutine = lua_tothread(L, 1);
	struct running here = {coroutine, running};
	int status;

	luaL_argexpected(L, coroutine, 1, "coroutine");
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	running = &here;
	status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
	running = here.below;
	return status ? lua_error(L) : lua_gettop(L);
}

/* What coroutine.wrap returns: upvalues are the resume above and the coroutine. */
static int resume_wrapped(lua_State *L)
{
	lua_State *coroutine = lua_tothread(L, lua_upvalueindex(2));

	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_pushvalue(L, lua_upvalueindex(2));
	lua_insert(L, 2);
	lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
	if (lua_toboolean(L, 1))
		return lua_gettop(L) - 1;
	lua_resetthread(coroutine);
	if (lua_type(L, -1) == LUA_TSTRING) {
		luaL_where(L, 1);
		lua_insert(L, -2);
		lua_concat(L, 2);
	}
	return lua_error(L);
}

/* upvalues: the resume above, coroutine.create */
static int wrap(lua_State *L)
{
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_pushvalue(L, lua_upvalueindex(2));
	lua_pushvalue(L, 1);
	lua_call(L, 1, 1);
	lua_pushcclosure(L, resume_wrapped, 2);
	return 1;
}

/* follow_coroutines(): from now on loops inside coroutines can be ended, too */
static int follow_coroutines(lua_State *L)
{
	lua_getglobal(L, "coroutine");
	lua_getfield(L, -1, "resume");
	lua_pushcclosure(L, resume, 1);
	lua_pushvalue(L, -1);
	lua_setfield(L, -3, "resume");
	lua_getfield(L, -2, "create");
	lua_pushcclosure(L, wrap, 2);
	lua_setfield(L, -2, "wrap");
	return 0;
}

/* sleep(seconds): less where it is interrupted */
static int sleep_for(lua_State *L)
{
	double end = now() + luaL_checknumber(L, 1), left;

	while (!interrupt_pending() && (left = end - now()) > 0)
		interrupt_poll(NULL, 0, left > LONGEST ? LONGEST * 1000 : (int)(left * 1000) + 1);
	return 0;
}

/* ignore(): Ctrl-C between calls does nothing */
static int ignore(lua_State *L)
{
	(void)L;
	signal(SIGINT, SIG_IGN);
	return 0;
}

static const luaL_Reg functions[] = {
    {"call", call_interruptibly},
    {"deadline", call_with_deadline},
    {"follow_coroutines", follow_coroutines},
    {"ignore", ignore},
    {"sleep", sleep_for},
    {NULL, NULL},
};

int open_interrupt(lua_State *L)
{
	luaL_newlib(L, functions);
	return 1;
}
