#include <stdint.h>
#include <string.h>
#include <lauxlib.h>

#include "bindings/plain.h"

#define DEEPEST 32

enum tag {
	NIL = 'n',
	FALSE = 'f',
	TRUE = 't',
	INTEGER = 'i',
	FLOAT = 'd',
	TEXT = 's',
	OPEN = '{',
	CLOSE = '}'
};

/* The bytes are a userdata in a slot of the stack: freed by the collector and counted by the
 * allocator of the state, whatever raises meanwhile. */
struct writer {
	lua_State *L;
	int slot;
	char *bytes;
	size_t size, capacity;
};

static char *reserve(struct writer *writer, size_t more)
{
	char *place;

	if (writer->capacity - writer->size < more) {
		size_t capacity = (writer->capacity + more) * 2;
		char *grown = lua_newuserdatauv(writer->L, capacity, 0);

		memcpy(grown, writer->bytes, writer->size);
		lua_replace(writer->L, writer->slot);
		writer->bytes = grown;
		writer->capacity = capacity;
	}
	place = writer->bytes + writer->size;
	writer->size += more;
	return place;
}

static void write_tag(struct writer *writer, enum tag tag)
{
	*reserve(writer, 1) = (char)tag;
}

static void write_fixed(struct writer *writer, enum tag tag, const void *value, size_t size)
{
	char *place = reserve(writer, 1 + size);

	*place = (char)tag;
	memcpy(place + 1, value, size);
}

static void write_number(struct writer *writer, int index)
{
	lua_Integer integer;
	lua_Number number;

	if (lua_isinteger(writer->L, index)) {
		integer = lua_tointeger(writer->L, index);
		write_fixed(writer, INTEGER, &integer, sizeof(integer));
	} else {
		number = lua_tonumber(writer->L, index);
		write_fixed(writer, FLOAT, &number, sizeof(number));
	}
}

static void write_text(struct writer *writer, int index)
{
	size_t size;
	const char *text = lua_tolstring(writer->L, index, &size);
	uint32_t length = (uint32_t)size;

	if (size != length)
		luaL_error(writer->L, "a text is too long to be passed on");
	write_fixed(writer, TEXT, &length, sizeof(length));
	memcpy(reserve(writer, size), text, size);
}

static void write_value(struct writer *writer, int index, int depth);

static void write_table(struct writer *writer, int index, int depth)
{
	lua_State *L = writer->L;

	if (depth > DEEPEST)
		luaL_error(L, "tables within tables are passed on to a depth of %d", DEEPEST);
	luaL_checkstack(L, 8, NULL);
	write_tag(writer, OPEN);
	lua_pushnil(L);
	while (lua_next(L, index)) {
		int top = lua_gettop(L);

		write_value(writer, top - 1, depth);
		write_value(writer, top, depth);
		lua_pop(L, 1);
	}
	write_tag(writer, CLOSE);
}

static void write_value(struct writer *writer, int index, int depth)
{
	switch (lua_type(writer->L, index)) {
	case LUA_TNIL:
		return write_tag(writer, NIL);
	case LUA_TBOOLEAN:
		return write_tag(writer, lua_toboolean(writer->L, index) ? TRUE : FALSE);
	case LUA_TNUMBER:
		return write_number(writer, index);
	case LUA_TSTRING:
		return write_text(writer, index);
	case LUA_TTABLE:
		return write_table(writer, index, depth + 1);
	default:
		luaL_error(writer->L, "a %s cannot be passed on", luaL_typename(writer->L, index));
	}
}

void pack_values(lua_State *L, int first)
{
	int last = lua_gettop(L);
	struct writer writer = {.L = L, .slot = last + 1, .capacity = 1024};

	luaL_checkstack(L, 8, NULL);
	writer.bytes = lua_newuserdatauv(L, writer.capacity, 0);
	for (int i = first; i <= last; i++)
		write_value(&writer, i, 0);
	lua_pushlstring(L, writer.bytes, writer.size);
	lua_remove(L, writer.slot);
}

struct reader {
	lua_State *L;
	const char *at, *end;
};

static void read_fixed(struct reader *reader, void *value, size_t size)
{
	if ((size_t)(reader->end - reader->at) < size)
		luaL_error(reader->L, "packed values are cut off");
	memcpy(value, reader->at, size);
	reader->at += size;
}

static char read_tag(struct reader *reader)
{
	char tag;

	read_fixed(reader, &tag, 1);
	return tag;
}

static void read_value(struct reader *reader, char tag, int depth);

static void read_table(struct reader *reader, int depth)
{
	lua_State *L = reader->L;
	char tag;

	if (depth > DEEPEST)
		luaL_error(L, "packed values are too deep");
	luaL_checkstack(L, 8, NULL);
	lua_newtable(L);
	while ((tag = read_tag(reader)) != CLOSE) {
		read_value(reader, tag, depth);
		if (lua_isnil(L, -1))
			luaL_error(L, "packed values have a key that is none");
		read_value(reader, read_tag(reader), depth);
		lua_rawset(L, -3);
	}
}

static void read_text(struct reader *reader)
{
	uint32_t length;

	read_fixed(reader, &length, sizeof(length));
	if ((size_t)(reader->end - reader->at) < length)
		luaL_error(reader->L, "packed values are cut off");
	lua_pushlstring(reader->L, reader->at, length);
	reader->at += length;
}

static void read_value(struct reader *reader, char tag, int depth)
{
	lua_State *L = reader->L;
	lua_Integer integer;
	lua_Number number;

	switch (tag) {
	case NIL:
		return lua_pushnil(L);
	case FALSE:
	case TRUE:
		return lua_pushboolean(L, tag == TRUE);
	case INTEGER:
		read_fixed(reader, &integer, sizeof(integer));
		return lua_pushinteger(L, integer);
	case FLOAT:
		read_fixed(reader, &number, sizeof(number));
		return lua_pushnumber(L, number);
	case TEXT:
		return read_text(reader);
	case OPEN:
		return read_table(reader, depth + 1);
	default:
		luaL_error(L, "packed values have a tag that is none");
	}
}

int unpack_values(lua_State *L, const char *bytes, size_t size)
{
	struct reader reader = {L, bytes, bytes + size};
	int count = 0;

	while (reader.at < reader.end) {
		luaL_checkstack(L, 8, NULL);
		read_value(&reader, read_tag(&reader), 0);
		count++;
	}
	return count;
}
