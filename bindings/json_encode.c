/* Values to JSON texts, for bindings/json.c: written here and not by json-c for the order of keys.
 */
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/json.h"

#define WRITE_DEPTH (2 * JSON_DEPTH) /* what was read, inside of something else */

struct writer {
	lua_State *L;
	struct printbuf *text;
	int ranks; /* index of { key = place } */
	bool sorted;
	int depth;
};

static void append(struct writer *writer, const char *bytes, size_t size)
{
	if (size > INT_MAX || printbuf_memappend(writer->text, bytes, (int)size) < 0)
		luaL_error(writer->L, "not enough memory");
}

/* Those that terminals and editors act on without showing them. */
static bool is_invisible(unsigned int point)
{
	static const unsigned short ranges[][2] = {
	    {0x7f, 0x9f},     {0xad, 0xad},	{0x600, 0x604},	  {0x70f, 0x70f},
	    {0x17b4, 0x17b5}, {0x200c, 0x200f}, {0x2028, 0x202f}, {0x2060, 0x206f},
	    {0xfeff, 0xfeff}, {0xfff0, 0xffff},
	};

	for (size_t i = 0; i < sizeof(ranges) / sizeof(*ranges); i++)
		if (point >= ranges[i][0] && point <= ranges[i][1])
			return true;
	return false;
}

/* The code point of a sequence of one to three bytes; *size: 1 for what is no UTF-8, or longer. */
static unsigned int code_point(const unsigned char *bytes, size_t left, size_t *size)
{
	*size = 1;
	if ((bytes[0] & 0xe0) == 0xc0 && left > 1 && (bytes[1] & 0xc0) == 0x80) {
		*size = 2;
		return (bytes[0] & 0x1fu) << 6 | (bytes[1] & 0x3fu);
	}
	if ((bytes[0] & 0xf0) == 0xe0 && left > 2 && (bytes[1] & 0xc0) == 0x80 &&
	    (bytes[2] & 0xc0) == 0x80) {
		*size = 3;
		return (bytes[0] & 0xfu) << 12 | (bytes[1] & 0x3fu) << 6 | (bytes[2] & 0x3fu);
	}
	return bytes[0] < 0x80 ? bytes[0] : 0xa0;
}

static size_t escape(char escaped[8], unsigned int point)
{
	static const char letters[] = "\"\"\\\\\bb\ff\nn\rr\tt";

	for (const char *letter = letters; *letter; letter += 2)
		if (point == (unsigned char)letter[0])
			return (size_t)sprintf(escaped, "\\%c", letter[1]);
	return (size_t)sprintf(escaped, "\\u%04x", point & 0xffff);
}

static void write_string(struct writer *writer, const char *string, size_t length)
{
	const unsigned char *bytes = (const unsigned char *)string;
	char escaped[8];
	size_t written = 0, size;

	append(writer, "\"", 1);
	for (size_t at = 0; at < length; at += size) {
		unsigned int point = code_point(bytes + at, length - at, &size);

		if (point >= ' ' && point != '"' && point != '\\' && !is_invisible(point))
			continue;
		append(writer, string + written, at - written);
		append(writer, escaped, escape(escaped, point));
		written = at + size;
	}
	append(writer, string + written, length - written);
	append(writer, "\"", 1);
}

/* The number on top of the stack, as Lua prints it; JSON knows no infinity. */
static void write_number(struct writer *writer)
{
	size_t length;
	const char *text;

	if (!lua_isinteger(writer->L, -1) && !isfinite(lua_tonumber(writer->L, -1))) {
		append(writer, "null", 4);
		return;
	}
	text = luaL_tolstring(writer->L, -1, &length);
	append(writer, text, length);
	lua_pop(writer->L, 1);
}

struct entry {
	const char *key; /* NULL: the number */
	size_t length;
	lua_Integer number;
	lua_Integer rank;
	size_t place;
};

static int compare_names(const struct entry *a, const struct entry *b)
{
	size_t shorter = a->length < b->length ? a->length : b->length;
	int order = memcmp(a->key, b->key, shorter);

	return order ? order : (a->length > b->length) - (a->length < b->length);
}

static int compare_places(const void *left, const void *right)
{
	const struct entry *a = left, *b = right;

	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	return (a->place > b->place) - (a->place < b->place);
}

static int compare_sorted(const void *left, const void *right)
{
	const struct entry *a = left, *b = right;

	if (a->rank != b->rank || !a->key || !b->key)
		return compare_places(left, right);
	return compare_names(a, b);
}

static void take_key(struct writer *writer, struct entry *entry, bool ranked)
{
	lua_State *L = writer->L;

	entry->rank = LUA_MAXINTEGER;
	if (lua_isinteger(L, -2)) {
		entry->number = lua_tointeger(L, -2);
		return;
	}
	if (lua_type(L, -2) != LUA_TSTRING)
		luaL_error(L, "a %s as a key has no JSON form", luaL_typename(L, -2));
	entry->key = lua_tolstring(L, -2, &entry->length);
	if (!ranked)
		return;
	lua_pushvalue(L, -2);
	if (lua_rawget(L, writer->ranks) != LUA_TNIL)
		entry->rank = lua_tointeger(L, -1);
	lua_pop(L, 1);
}

static void write_value(struct writer *writer, bool of_user);

static void write_entry(struct writer *writer, const struct entry *entry)
{
	lua_State *L = writer->L;
	bool of_user = false;
	char number[24];

	if (entry->key) {
		lua_pushlstring(L, entry->key, entry->length);
		write_string(writer, entry->key, entry->length);
		of_user = !strcmp(entry->key, "metadata") || !strcmp(entry->key, "global");
	} else {
		lua_pushinteger(L, entry->number);
		append(writer, number,
		       (size_t)sprintf(number, "\"%lld\"", (long long)entry->number));
	}
	append(writer, ":", 1);
	lua_rawget(L, -3);
	write_value(writer, of_user);
	lua_pop(L, 1);
}

static size_t count_keys(lua_State *L)
{
	size_t count = 0;

	for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
		count++;
	return count;
}

/* The table on top of the stack. The keys stay where they are while the table does. */
static void write_object(struct writer *writer, bool of_user)
{
	lua_State *L = writer->L;
	size_t count = count_keys(L), place = 0;
	struct entry *entries = lua_newuserdatauv(L, (count + 1) * sizeof(*entries), 0);

	memset(entries, 0, (count + 1) * sizeof(*entries));
	lua_pushnil(L);
	while (lua_next(L, -3)) {
		entries[place].place = place;
		take_key(writer, &entries[place++], !(writer->sorted && of_user));
		lua_pop(L, 1);
	}
	qsort(entries, count, sizeof(*entries), writer->sorted ? compare_sorted : compare_places);
	append(writer, "{", 1);
	for (place = 0; place < count; place++) {
		if (place)
			append(writer, ",", 1);
		write_entry(writer, &entries[place]);
	}
	append(writer, "}", 1);
	lua_pop(L, 1);
}

static void write_array(struct writer *writer, lua_Integer length)
{
	append(writer, "[", 1);
	for (lua_Integer i = 1; i <= length; i++) {
		if (i > 1)
			append(writer, ",", 1);
		lua_rawgeti(writer->L, -1, i);
		write_value(writer, false);
		lua_pop(writer->L, 1);
	}
	append(writer, "]", 1);
}

/* The length of what has no key but whole numbers from 1 on, few of them left out; -1: an object.
 */
static lua_Integer length_as_array(lua_State *L)
{
	lua_Integer greatest = 0, count = 0;
	bool good = true;

	for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
		lua_Integer key = lua_isinteger(L, -2) ? lua_tointeger(L, -2) : 0;

		good = good && key > 0;
		greatest = key > greatest ? key : greatest;
		count++;
	}
	return good && greatest <= 2 * count + 10 ? greatest : -1;
}

static bool is_marked(lua_State *L, const char *as)
{
	bool marked;

	if (luaL_getmetafield(L, -1, "__jsontype") == LUA_TNIL)
		return false;
	marked = lua_type(L, -1) == LUA_TSTRING && !strcmp(lua_tostring(L, -1), as);
	lua_pop(L, 1);
	return marked;
}

/* Of a value that writes itself. */
static bool write_own(struct writer *writer)
{
	lua_State *L = writer->L;
	const char *text;
	size_t length;

	if (luaL_getmetafield(L, -1, "__tojson") == LUA_TNIL)
		return false;
	lua_pushvalue(L, -2);
	lua_call(L, 1, 1);
	text = luaL_checklstring(L, -1, &length);
	append(writer, text, length);
	lua_pop(L, 1);
	return true;
}

static void write_table(struct writer *writer, bool of_user)
{
	lua_Integer length;

	if (write_own(writer))
		return;
	if (++writer->depth > WRITE_DEPTH)
		luaL_error(writer->L, "a table nested too deeply, or in itself, has no JSON form");
	luaL_checkstack(writer->L, 12, "a value to be written");
	length = is_marked(writer->L, "object") ? -1 : length_as_array(writer->L);
	if (length >= 0)
		write_array(writer, length);
	else
		write_object(writer, of_user);
	writer->depth--;
}

/* The value on top of the stack, which stays there. */
static void write_value(struct writer *writer, bool of_user)
{
	lua_State *L = writer->L;
	const char *string;
	size_t length;

	switch (lua_type(L, -1)) {
	case LUA_TNIL:
		append(writer, "null", 4);
		break;
	case LUA_TBOOLEAN:
		string = lua_toboolean(L, -1) ? "true" : "false";
		append(writer, string, strlen(string));
		break;
	case LUA_TNUMBER:
		write_number(writer);
		break;
	case LUA_TSTRING:
		string = lua_tolstring(L, -1, &length);
		write_string(writer, string, length);
		break;
	case LUA_TTABLE:
		write_table(writer, of_user);
		break;
	default:
		luaL_error(L, "a %s has no JSON form", luaL_typename(L, -1));
	}
}

int json_encode(lua_State *L)
{
	struct writer writer = {.L = L, .ranks = 2, .sorted = lua_toboolean(L, 3)};
	bool is_line = lua_toboolean(L, 4);
	struct json_work *work;

	luaL_checktype(L, 2, LUA_TTABLE);
	lua_settop(L, 2);
	work = new_json_work(L);
	work->text = printbuf_new();
	if (!work->text)
		return luaL_error(L, "not enough memory");
	writer.text = work->text;
	lua_pushvalue(L, 1);
	write_value(&writer, false);
	if (is_line)
		append(&writer, "\n", 1);
	lua_pushlstring(L, work->text->buf, (size_t)work->text->bpos);
	release_json_work(work);
	return 1;
}
