/* What bindings/json.c and bindings/json_encode.c share. */
#ifndef BINDINGS_JSON_H
#define BINDINGS_JSON_H

#include <lauxlib.h>
#include <json-c/json.h>
#include <json-c/printbuf.h>

#define JSON_DEPTH 128

/* What json-c has allocated, in a userdata, so that an error in Lua does not lose it. */
struct json_work {
	struct json_tokener *tokener;
	struct json_object *value;
	struct printbuf *text;
};

/* Pushes an empty one. */
struct json_work *new_json_work(lua_State *L);

/* What the collector would do, at once. */
void release_json_work(struct json_work *work);

/*
 * encode(value, ranks, sorted, is_line) -> text on one line; is_line: with the line's end.
 * ranks: { key = place }, other keys behind these; sorted: by name, where else as the table has
 * them
 */
int json_encode(lua_State *L);

#endif
