/*
 * bpf.core.json: texts to values by json-c, and values to texts. The rules of the wire, such as the
 * order of keys, are lua/bpf/json.lua's. In bpfctl too, which reads an answer and ends.
 */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/json.h"
#include "bindings/namespaces.h"

#define WORK "bpf.json.work"

void release_json_work(struct json_work *work)
{
	if (work->tokener)
		json_tokener_free(work->tokener);
	if (work->text)
		printbuf_free(work->text);
	json_object_put(work->value);
	*work = (struct json_work){};
}

static int collect(lua_State *L)
{
	release_json_work(lua_touserdata(L, 1));
	return 0;
}

struct json_work *new_json_work(lua_State *L)
{
	struct json_work *work = lua_newuserdatauv(L, sizeof(*work), 0);

	*work = (struct json_work){};
	luaL_setmetatable(L, WORK);
	return work;
}

/* The arguments of decode. */
enum { TEXT = 1, NULL_VALUE, OBJECT_META, ARRAY_META, UNSIGNED };

/* What the values of a text that json-c has read say of it. */
struct doubts {
	bool infinite; /* a number is beyond a double; json-c also reads "Infinity" */
	bool extreme;  /* an integer is the least or the greatest: that, or one that did not fit */
};

static void push_value(lua_State *L, struct json_object *value, struct doubts *doubts);

static void push_object(lua_State *L, struct json_object *object, struct doubts *doubts)
{
	lua_createtable(L, 0, json_object_object_length(object));
	lua_pushvalue(L, OBJECT_META);
	lua_setmetatable(L, -2);
	json_object_object_foreach(object, key, value)
	{
		lua_pushstring(L, key);
		push_value(L, value, doubts);
		lua_rawset(L, -3);
	}
}

static void push_array(lua_State *L, struct json_object *array, struct doubts *doubts)
{
	size_t count = json_object_array_length(array);

	lua_createtable(L, count > INT_MAX ? INT_MAX : (int)count, 0);
	lua_pushvalue(L, ARRAY_META);
	lua_setmetatable(L, -2);
	for (size_t i = 0; i < count; i++) {
		push_value(L, json_object_array_get_idx(array, i), doubts);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
}

/* json-c answers INT64_MAX for what only fits without a sign. */
static void push_integer(lua_State *L, struct json_object *value, struct doubts *doubts)
{
	int64_t number = json_object_get_int64(value);
	uint64_t bits = number == INT64_MAX ? json_object_get_uint64(value) : 0;

	doubts->extreme |= number == INT64_MIN || bits == UINT64_MAX;
	if (bits <= INT64_MAX) {
		lua_pushinteger(L, number);
		return;
	}
	lua_pushvalue(L, UNSIGNED);
	lua_pushinteger(L, (lua_Integer)bits);
	lua_call(L, 1, 1);
}

static void push_value(lua_State *L, struct json_object *value, struct doubts *doubts)
{
	luaL_checkstack(L, 8, "a JSON text");
	switch (json_object_get_type(value)) {
	case json_type_null:
		lua_pushvalue(L, NULL_VALUE);
		break;
	case json_type_boolean:
		lua_pushboolean(L, json_object_get_boolean(value));
		break;
	case json_type_double:
		lua_pushnumber(L, json_object_get_double(value));
		doubts->infinite |= !isfinite(lua_tonumber(L, -1));
		break;
	case json_type_int:
		push_integer(L, value, doubts);
		break;
	case json_type_string:
		lua_pushlstring(L, json_object_get_string(value),
				(size_t)json_object_get_string_len(value));
		break;
	case json_type_object:
		push_object(L, value, doubts);
		break;
	case json_type_array:
		push_array(L, value, doubts);
		break;
	}
}

/* Behind the string that begins here. */
static const char *skip_string(const char *at, bool *has_zero)
{
	for (at++; *at != '"'; at += *at == '\\' ? 2 : 1)
		*has_zero |= !strncmp(at, "\\u0000", 6);
	at++;
	return at + strspn(at, " \t\r\n");
}

/* NULL where the integer that begins here does not fit; what is no integer is skipped too. */
static const char *skip_number(const char *at)
{
	char *end;

	errno = 0;
	if (*at == '-')
		strtoll(at, &end, 10);
	else
		strtoull(at, &end, 10);
	if (errno == ERANGE && *end != '.' && *end != 'e' && *end != 'E')
		return NULL;
	return at + strspn(at, "-+.eE0123456789");
}

/* In a text that json-c accepts: it cuts keys at a zero byte, and integers to what fits. */
static const char *hidden_fault(const char *at)
{
	while (*at) {
		bool has_zero = false;

		if (*at == '"') {
			at = skip_string(at, &has_zero);
			if (has_zero && *at == ':')
				return "a key has a zero byte";
		} else if (*at == '-' || (*at >= '0' && *at <= '9')) {
			at = skip_number(at);
			if (!at)
				return "an integer has more than 64 bits";
		} else {
			at++;
		}
	}
	return NULL;
}

/* At that place in the text, where one is known. */
static int malformed(lua_State *L, const char *why, size_t place)
{
	lua_pushnil(L);
	if (place)
		lua_pushfstring(L, "%s at byte %I", why, (lua_Integer)place + 1);
	else
		lua_pushstring(L, why);
	return 2;
}

/*
 * decode(text, null, object_meta, array_meta, unsigned) -> value; nil, why. null: what stands for a
 * null; unsigned(bits): makes an integer above 2^63 - 1
 */
static int decode(lua_State *L)
{
	size_t size;
	const char *text = luaL_checklstring(L, TEXT, &size);
	enum json_tokener_error error;
	struct doubts doubts = {};
	const char *fault = NULL;
	struct json_work *work;
	size_t end;

	lua_settop(L, UNSIGNED);
	if (size >= INT_MAX)
		return malformed(L, "it is too long", 0);
	work = new_json_work(L);
	work->tokener = json_tokener_new_ex(JSON_DEPTH);
	if (!work->tokener)
		return luaL_error(L, "not enough memory");
	json_tokener_set_flags(work->tokener, JSON_TOKENER_STRICT);
	/* with the zero byte at the end, which tells json-c that a number is over */
	work->value = json_tokener_parse_ex(work->tokener, text, (int)size + 1);
	error = json_tokener_get_error(work->tokener);
	end = json_tokener_get_parse_end(work->tokener);
	if (error == json_tokener_continue)
		return malformed(L, "it ends too early", size);
	if (error == json_tokener_error_depth)
		return malformed(L, "nested too deeply", end);
	if (error != json_tokener_success)
		return malformed(L, json_tokener_error_desc(error), end);
	if (end + strspn(text + end, " \t\r\n") < size)
		return malformed(L, "something follows the value", end);
	push_value(L, work->value, &doubts);
	if (doubts.extreme || strstr(text, "\\u0000"))
		fault = hidden_fault(text);
	if (doubts.infinite)
		fault = "a number is too great";
	if (fault)
		return malformed(L, fault, 0);
	release_json_work(work);
	return 1;
}

static const luaL_Reg functions[] = {
    {"decode", decode},
    {"encode", json_encode},
    {NULL, NULL},
};

int open_json(lua_State *L)
{
	luaL_newmetatable(L, WORK);
	lua_pushcfunction(L, collect);
	lua_setfield(L, -2, "__gc");
	lua_pop(L, 1);
	luaL_newlib(L, functions);
	return 1;
}
