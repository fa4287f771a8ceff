/* bpf.core.transfer: HTTP requests. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <lauxlib.h>

#include "bindings/descriptor.h"
#include "bindings/handle.h"
#include "bindings/namespaces.h"
#include "bindings/table.h"
#include "core/transfer.h"
#include "core/url.h"

#define TRANSFER_HANDLE "bpf.transfer"
#define URL_PARTS	"bpf.transfer.url"
#define HEADERS_AT_MOST 32

struct transfer_handle {
	struct transfer *transfer; /* NULL: closed */
	bool busy;
};

static int close_transfer(lua_State *L)
{
	struct transfer_handle *self = luaL_checkudata(L, 1, TRANSFER_HANDLE);

	if (self->busy)
		return luaL_error(L, "a transfer cannot be closed by its own progress");
	transfer_close(self->transfer);
	self->transfer = NULL;
	return 0;
}

static int push_missing_library(lua_State *L, int err)
{
	if (err == -ENOSYS)
		return push_error(L, err, NULL, "libcurl is not installed (libcurl.so.4)");
	return push_errno(L, err, "cannot use libcurl");
}

/* open() -> transfer */
static int open_handle(lua_State *L)
{
	struct transfer_handle *self = lua_newuserdatauv(L, sizeof(*self), 0);
	int err;

	self->transfer = NULL;
	self->busy = false;
	luaL_setmetatable(L, TRANSFER_HANDLE);
	err = transfer_open(&self->transfer);
	return err ? push_missing_library(L, err) : 1;
}

/* Fields stay on the stack while the request runs: what they point to must not be collected. */
static const char *text_field(lua_State *L, const char *name, size_t *size)
{
	lua_getfield(L, 2, name);
	return lua_isnil(L, -1) ? NULL : luaL_checklstring(L, -1, size);
}

static unsigned int milliseconds_field(lua_State *L, const char *name)
{
	lua_Number seconds;

	lua_getfield(L, 2, name);
	seconds = luaL_optnumber(L, -1, 0);
	luaL_argcheck(L, seconds >= 0 && seconds <= 1000000, 2, "seconds out of range");
	return (unsigned int)(seconds * 1000);
}

static uint64_t size_field(lua_State *L, const char *name)
{
	lua_Integer size;

	lua_getfield(L, 2, name);
	size = luaL_optinteger(L, -1, 0);
	luaL_argcheck(L, size >= 0, 2, "a negative size");
	return (uint64_t)size;
}

static size_t read_headers(lua_State *L, const char *headers[HEADERS_AT_MOST])
{
	size_t count;

	if (lua_getfield(L, 2, "headers") == LUA_TNIL)
		return 0;
	luaL_checktype(L, -1, LUA_TTABLE);
	count = lua_rawlen(L, -1);
	luaL_argcheck(L, count <= HEADERS_AT_MOST, 2, "too many headers");
	for (size_t i = 0; i < count; i++) {
		lua_rawgeti(L, -1 - (int)i, (lua_Integer)i + 1);
		headers[i] = luaL_checkstring(L, -1);
		luaL_argcheck(L, !strpbrk(headers[i], "\r\n"), 2, "a line break in a header");
	}
	return count;
}

static void read_body(lua_State *L, struct transfer_request *request)
{
	size_t size;

	if (lua_getfield(L, 2, "body") == LUA_TNIL)
		return;
	request->has_body = true;
	if (lua_type(L, -1) == LUA_TSTRING) {
		request->body = lua_tolstring(L, -1, &size);
		request->body_size = size;
	} else {
		request->body_fd = check_descriptor_number(L, -1);
		request->body_size = size_field(L, "body_size");
	}
}

static void read_request(lua_State *L, struct transfer_request *request,
			 const char *headers[HEADERS_AT_MOST])
{
	request->method = luaL_checkstring(L, (lua_getfield(L, 2, "method"), -1));
	request->url = luaL_checkstring(L, (lua_getfield(L, 2, "url"), -1));
	request->header_count = read_headers(L, headers);
	request->headers = headers;
	request->ca = text_field(L, "ca", NULL);
	lua_getfield(L, 2, "plain_http");
	request->plain_http = lua_toboolean(L, -1);
	request->connect_ms = milliseconds_field(L, "connect");
	request->stall_ms = milliseconds_field(L, "stall");
	request->total_ms = milliseconds_field(L, "total");
	read_body(L, request);
	if (lua_getfield(L, 2, "into") != LUA_TNIL)
		request->into = check_descriptor_number(L, -1);
	request->offset = size_field(L, "offset");
	request->limit = size_field(L, "limit");
}

/* On the stack at `place`: the function, and from its first failure on what it raised. */
struct progress {
	lua_State *L;
	int place;
	bool failed;
};

static int tell_progress(void *context, uint64_t done)
{
	struct progress *self = context;
	lua_State *L = self->L;
	bool over;

	lua_pushvalue(L, self->place);
	lua_pushinteger(L, (lua_Integer)done);
	if (lua_pcall(L, 1, 1, 0)) {
		lua_replace(L, self->place);
		self->failed = true;
		return 1;
	}
	over = lua_toboolean(L, -1);
	lua_pop(L, 1);
	return over;
}

static int push_answer(lua_State *L, const struct transfer_answer *answer)
{
	lua_createtable(L, 0, 3);
	set_integer(L, "status", answer->status);
	lua_pushlstring(L, answer->headers ? answer->headers : "", answer->headers_size);
	lua_setfield(L, -2, "headers");
	lua_pushlstring(L, answer->body ? answer->body : "", answer->body_size);
	lua_setfield(L, -2, "body");
	return 1;
}

static int push_failure(lua_State *L, int err, const struct transfer_request *request,
			const char *message)
{
	if (message[0])
		return push_error(L, err, NULL, "%s", message);
	switch (err) {
	case -EFBIG:
		return push_error(L, err, NULL, "more than the %llu bytes that are allowed",
				  (unsigned long long)request->limit);
	case -ETIMEDOUT:
		return push_error(L, err, NULL, "nothing came for %g seconds",
				  request->stall_ms / 1000.0);
	case -ECANCELED:
		return push_error(L, err, NULL, "cancelled");
	default:
		return push_errno(L, err, "cannot store what comes");
	}
}

/*
 * transfer:request { method, url, headers = { "Name: value" ... }, ca, plain_http, connect, stall,
 * total (seconds), body = bytes | descriptor, body_size, into = descriptor, offset, limit, progress
 * = function(done) -> true to cancel } -> { status, headers, body }; core/transfer.h says more
 */
static int perform(lua_State *L)
{
	struct transfer_handle *self = luaL_checkudata(L, 1, TRANSFER_HANDLE);
	struct transfer_request request = {.into = -1};
	struct progress progress = {.L = L};
	struct transfer_answer answer;
	const char *headers[HEADERS_AT_MOST];
	char message[TRANSFER_MESSAGE];
	int err;

	luaL_argcheck(L, self->transfer, 1, "the transfer is closed");
	luaL_argcheck(L, !self->busy, 1, "the transfer is busy");
	luaL_checktype(L, 2, LUA_TTABLE);
	luaL_checkstack(L, HEADERS_AT_MOST + 32, NULL);
	read_request(L, &request, headers);
	if (lua_getfield(L, 2, "progress") != LUA_TNIL) {
		progress.place = lua_gettop(L);
		request.progress = tell_progress;
		request.context = &progress;
	}
	self->busy = true;
	err = transfer_perform(self->transfer, &request, &answer, message);
	self->busy = false;
	if (progress.failed) {
		lua_pushvalue(L, progress.place);
		return lua_error(L);
	}
	if (err)
		return push_failure(L, err, &request, message);
	return push_answer(L, &answer);
}

static int free_parts(lua_State *L)
{
	url_free(luaL_checkudata(L, 1, URL_PARTS));
	return 0;
}

/* resolve(base | nil, text) -> { url, scheme, host, port } */
static int resolve(lua_State *L)
{
	const char *base = luaL_optstring(L, 1, NULL);
	const char *text = luaL_checkstring(L, 2);
	struct url_parts *parts = lua_newuserdatauv(L, sizeof(*parts), 0);
	int err;

	memset(parts, 0, sizeof(*parts));
	luaL_setmetatable(L, URL_PARTS);
	lua_toclose(L, -1);
	err = url_resolve(base, text, parts);
	if (err == -EINVAL)
		return push_error(L, err, NULL, "%s is no address", text);
	if (err)
		return push_missing_library(L, err);
	lua_createtable(L, 0, 4);
	set_string(L, "url", parts->url);
	set_string(L, "scheme", parts->scheme);
	set_string(L, "host", parts->host);
	set_string(L, "port", parts->port);
	return 1;
}

/* wait(seconds): until it may be tried again */
static int wait_a_while(lua_State *L)
{
	lua_Number seconds = luaL_checknumber(L, 1);

	luaL_argcheck(L, seconds >= 0 && seconds <= 3600, 1, "seconds out of range");
	poll(NULL, 0, (int)(seconds * 1000));
	return 0;
}

static const luaL_Reg methods[] = {
    {"request", perform},
    {"close", close_transfer},
    {"__close", close_transfer},
    {"__gc", close_transfer},
    {NULL, NULL},
};

static const luaL_Reg parts_methods[] = {
    {"__close", free_parts},
    {"__gc", free_parts},
    {NULL, NULL},
};

static const luaL_Reg functions[] = {
    {"open", open_handle},
    {"resolve", resolve},
    {"wait", wait_a_while},
    {NULL, NULL},
};

int open_transfer(lua_State *L)
{
	define_methods(L, URL_PARTS, parts_methods);
	define_methods(L, TRANSFER_HANDLE, methods);
	luaL_newlib(L, functions);
	return 1;
}
