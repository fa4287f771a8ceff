/*
 * One program for all fuzz targets: its own name, build/fuzz/TARGET, says which. A target is a
 * module fuzz.TARGET whose value is a function of one text, the input; what that function raises,
 * like whatever the sanitizers find, is a finding.
 */
#include <fcntl.h>
#include <libgen.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/random.h>
#include <lauxlib.h>
#include <lualib.h>

#include "bindings/namespaces.h"
#include "fuzz/kernel.h"

#define MEMORY	      (256u << 20) /* of the Lua state */
#define COLLECT_EVERY 256	   /* inputs */
#define LINES_COUNTED 4096 /* of an input: behind them it is loops mostly, and counting is slow */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* libFuzzer takes what is counted here for coverage as well: lines of Lua, in place of branches. */
__attribute__((section("__libfuzzer_extra_counters"))) static uint8_t lines[1 << 15];

static lua_State *state;
static unsigned int line_cnt;

/* In libc's place, so that a fixed run repeats: Lua orders its tables by the time ... */
time_t time(time_t *now)
{
	if (now)
		*now = 0;
	return 0;
}

/* ... and json-c by this. libFuzzer learns from what strcmp() compares on its way through them. */
ssize_t getrandom(void *bytes, size_t size, unsigned int flags __attribute__((unused)))
{
	memset(bytes, 1, size);
	return (ssize_t)size;
}

/* Lines of ours, not of what targets run as a user's. */
static void count_line(lua_State *L, lua_Debug *at)
{
	uint32_t hash = 2166136261u;

	if (line_cnt++ == LINES_COUNTED)
		lua_sethook(L, NULL, 0, 0);
	lua_getinfo(L, "S", at);
	if (strncmp(at->source, "@lua/", 5))
		return;
	for (const char *letter = at->source; *letter; letter++)
		hash = (hash ^ (unsigned char)*letter) * 16777619u;
	hash = (hash ^ (uint32_t)at->currentline) * 2654435761u;
	lines[hash >> 17]++;
}

static void *allocate(void *used_ptr, void *block, size_t old_size, size_t size)
{
	size_t *used = used_ptr, old = block ? old_size : 0;

	if (size > old && *used + size - old > MEMORY)
		return NULL;
	if (!size)
		free(block);
	else
		block = realloc(block, size);
	if (size && !block)
		return NULL;
	*used += size - old;
	return size ? block : NULL;
}

static int open_core(lua_State *L)
{
	luaopen_bpf_core(L);
	open_database(L);
	lua_setfield(L, -2, "database");
	return 1;
}

static void give_up(lua_State *L)
{
	fprintf(stderr, "finding: %s\n", luaL_tolstring(L, -1, NULL));
	abort();
}

static int with_traceback(lua_State *L)
{
	luaL_traceback(L, L, luaL_tolstring(L, 1, NULL), 1);
	return 1;
}

static int lowest_free_descriptor(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	close(fd);
	return fd;
}

static void name_descriptors(int from, int to)
{
	char link[64], path[256];
	ssize_t length;

	for (int fd = from; fd < to; fd++) {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		length = readlink(link, path, sizeof(path));
		fprintf(stderr, "descriptor %d: %.*s\n", fd, (int)(length < 0 ? 0 : length), path);
	}
}

/* What collection closes is closed then; what is still open afterwards stays so for ever. */
static void collect(lua_State *L)
{
	static int lowest;
	int now;

	lua_gc(L, LUA_GCCOLLECT);
	now = lowest_free_descriptor();
	if (lowest && now != lowest) {
		fprintf(stderr, "finding: descriptors are lost: the next one is %d, and was %d\n",
			now, lowest);
		name_descriptors(lowest, now);
		abort();
	}
	lowest = now;
}

int LLVMFuzzerInitialize(int *argc __attribute__((unused)), char ***argv)
{
	static size_t used;
	const char *target = basename(strdupa((*argv)[0]));

	state = lua_newstate(allocate, &used);
	luaL_openlibs(state);
	luaL_requiref(state, "bpf.core", open_core, 0);
	luaL_requiref(state, "fuzz.kernel", open_kernel, 0);
	lua_settop(state, 0);
	lua_pushcfunction(state, with_traceback);
	lua_getglobal(state, "require");
	lua_pushfstring(state, "fuzz.%s", target);
	if (lua_pcall(state, 1, 1, 1))
		give_up(state);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static unsigned int inputs;

	line_cnt = 0;
	lua_sethook(state, count_line, LUA_MASKLINE, 0);
	lua_pushvalue(state, 2);
	lua_pushlstring(state, (const char *)data, size);
	if (lua_pcall(state, 1, 0, 1))
		give_up(state);
	kernel_reset();
	if (++inputs % COLLECT_EVERY == 0)
		collect(state);
	return 0;
}
