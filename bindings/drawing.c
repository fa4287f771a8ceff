/* core.drawing: texts of bytes, by steps that lua/bpf/layout/drawing.lua lists. */
#include <stdlib.h>
#include <string.h>

#include "bindings/drawing.h"
#include "bindings/handle.h"
#include "bindings/namespaces.h"

#define DRAWING "bpf.drawing"
#define TEXT	"bpf.text"

/* In the order of enum drawing_kind. */
static const char *const kinds[] = {
    "text",  "integer", "hex", "boolean", "name", "float", "string",
    "bytes", "huge",	"ip4", "ip6",	  "mac",  "list",  NULL,
};

const struct drawing_handle *check_drawing(lua_State *L, int index)
{
	return luaL_checkudata(L, index, DRAWING);
}

static int free_text(lua_State *L)
{
	text__free(luaL_checkudata(L, 1, TEXT));
	return 0;
}

struct text *new_text(lua_State *L)
{
	struct text *text = lua_newuserdatauv(L, sizeof(*text), 0);

	*text = (struct text){};
	if (luaL_newmetatable(L, TEXT)) {
		lua_pushcfunction(L, free_text);
		lua_setfield(L, -2, "__gc");
	}
	lua_setmetatable(L, -2);
	return text;
}

void push_text(lua_State *L, struct text *text)
{
	if (text->failed)
		luaL_error(L, "not enough memory");
	lua_pushlstring(L, text->bytes ? text->bytes : "", text->size);
}

static __u32 number_of(lua_State *L, const char *key)
{
	lua_Integer number;

	lua_getfield(L, -1, key);
	number = luaL_optinteger(L, -1, 0);
	lua_pop(L, 1);
	if (number < 0 || number > UINT32_MAX)
		luaL_error(L, "%s of a drawing's step is out of range", key);
	return (__u32)number;
}

static bool is_set(lua_State *L, const char *key)
{
	bool is_true;

	lua_getfield(L, -1, key);
	is_true = lua_toboolean(L, -1);
	lua_pop(L, 1);
	return is_true;
}

/* What a step borrows lives in the list of kept values, at stack index `kept`. */
static void keep(lua_State *L, int kept)
{
	lua_rawseti(L, kept, (lua_Integer)lua_rawlen(L, kept) + 1);
}

static const char *kept_string(lua_State *L, int kept, int index, size_t *size)
{
	const char *text = luaL_checklstring(L, index, size);

	lua_pushvalue(L, index);
	keep(L, kept);
	return text;
}

static int by_value(const void *left, const void *right)
{
	const struct drawing_name *a = left, *b = right;

	return a->value < b->value ? -1 : a->value > b->value;
}

/* names: { [integer] = text } on the stack's top */
static void read_names(lua_State *L, int kept, struct drawing_step *step)
{
	struct drawing_name *names;
	int table = lua_gettop(L);
	size_t cnt = 0;

	luaL_checktype(L, table, LUA_TTABLE);
	for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1))
		cnt++;
	names = lua_newuserdatauv(L, cnt * sizeof(*names) + 1, 0);
	keep(L, kept);
	for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
		names[step->name_cnt].value = (__u64)luaL_checkinteger(L, -2);
		names[step->name_cnt].text =
		    kept_string(L, kept, lua_gettop(L), &names[step->name_cnt].size);
		step->name_cnt++;
	}
	qsort(names, cnt, sizeof(*names), by_value);
	step->names = names;
}

/* The step's table is on the stack's top. */
static void read_step(lua_State *L, int kept, struct drawing_step *step)
{
	lua_getfield(L, -1, "kind");
	*step = (struct drawing_step){.kind = luaL_checkoption(L, -1, NULL, kinds)};
	lua_pop(L, 1);
	step->is_signed = is_set(L, "signed");
	step->is_big_endian = is_set(L, "big_endian");
	step->is_quoted = is_set(L, "quoted");
	step->is_cut = is_set(L, "cut");
	step->offset = number_of(L, "offset");
	step->size = number_of(L, "size");
	step->shift = number_of(L, "shift");
	step->width = number_of(L, "width");
	step->cnt = number_of(L, "count");
	step->stride = number_of(L, "stride");
	step->steps = number_of(L, "steps");
	if (lua_getfield(L, -1, "text") != LUA_TNIL)
		step->text = kept_string(L, kept, lua_gettop(L), &step->text_size);
	lua_pop(L, 1);
	if (lua_getfield(L, -1, "names") != LUA_TNIL)
		read_names(L, kept, step);
	lua_pop(L, 1);
}

/* compile(steps) -> drawing */
static int compile(lua_State *L)
{
	struct drawing_handle *self;
	__s64 extent;
	size_t cnt;

	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	cnt = lua_rawlen(L, 1);
	self = lua_newuserdatauv(L, sizeof(*self) + cnt * sizeof(*self->steps), 1);
	self->cnt = 0;
	luaL_setmetatable(L, DRAWING);
	lua_newtable(L);
	lua_pushvalue(L, 3);
	lua_setiuservalue(L, 2, 1);
	for (size_t i = 0; i < cnt; i++) {
		lua_rawgeti(L, 1, (lua_Integer)i + 1);
		luaL_checktype(L, -1, LUA_TTABLE);
		read_step(L, 3, &self->steps[i]);
		lua_pop(L, 1);
	}
	extent = drawing__extent(self->steps, cnt);
	luaL_argcheck(L, extent >= 0, 1, "steps that cannot be followed");
	self->cnt = cnt;
	self->extent = (size_t)extent;
	lua_pushvalue(L, 2);
	return 1;
}

/* draw(drawing, bytes [, offset]) -> text */
static int draw(lua_State *L)
{
	const struct drawing_handle *self = check_drawing(L, 1);
	size_t size;
	const char *bytes = luaL_checklstring(L, 2, &size);
	lua_Integer offset = luaL_optinteger(L, 3, 0);
	struct text *text;

	luaL_argcheck(
	    L, offset >= 0 && (size_t)offset <= size && self->extent <= size - (size_t)offset, 2,
	    "too few bytes");
	text = new_text(L);
	drawing__draw(self->steps, self->cnt, bytes + offset, text);
	push_text(L, text);
	text__free(text);
	return 1;
}

/* A walk over a map that gives texts of many entries each. */
struct entries {
	struct map_walk walk;
	struct text text;
};

#define ENTRIES	   "bpf.drawing.entries"
#define CHUNK_SIZE (64 << 10)

static int free_entries(lua_State *L)
{
	struct entries *self = luaL_checkudata(L, 1, ENTRIES);

	map_walk__end(&self->walk);
	text__free(&self->text);
	return 0;
}

static void draw_copy(struct entries *self, const struct drawing_handle *value, const char *copy)
{
	const struct map_layout *layout = &self->walk.layout;

	for (__u32 i = 0; i < layout->value_cnt; i++) {
		if (layout->is_per_cpu)
			text__add(&self->text, i ? "," : "[", 1);
		drawing__draw(value->steps, value->cnt, copy + (size_t)i * layout->value_stride,
			      &self->text);
	}
	if (layout->is_per_cpu)
		text__add(&self->text, "]", 1);
}

/* The iterator of entries: upvalues are the walk, the map, both drawings, and three words. */
static int next_entries(lua_State *L)
{
	struct entries *self = lua_touserdata(L, lua_upvalueindex(1));
	const struct drawing_handle *key = lua_touserdata(L, lua_upvalueindex(3)),
				    *value = lua_touserdata(L, lua_upvalueindex(4));
	const void *key_bytes, *copy;
	const char *words[3];
	size_t sizes[3];
	int more = 1;

	check_map(L, lua_upvalueindex(2));
	for (int i = 0; i < 3; i++)
		words[i] = lua_tolstring(L, lua_upvalueindex(5 + i), &sizes[i]);
	text__reset(&self->text);
	while (self->text.size < CHUNK_SIZE && !self->text.failed) {
		more = map_walk__next(&self->walk, &key_bytes, &copy);
		if (more <= 0)
			break;
		text__add(&self->text, words[0], sizes[0]);
		drawing__draw(key->steps, key->cnt, key_bytes, &self->text);
		text__add(&self->text, words[1], sizes[1]);
		draw_copy(self, value, copy);
		text__add(&self->text, words[2], sizes[2]);
	}
	if (more < 0) {
		push_errno(L, more, "cannot walk a map");
		return lua_error(L);
	}
	if (!self->text.size)
		return 0;
	push_text(L, &self->text);
	return 1;
}

/* for text in entries(map, key drawing, value drawing, before, between, behind): per CPU a list */
static int draw_entries(lua_State *L)
{
	struct map_handle *map = check_map(L, 1);
	const struct drawing_handle *key = check_drawing(L, 2), *value = check_drawing(L, 3);
	struct entries *self;
	int err;

	for (int i = 4; i <= 6; i++)
		luaL_checkstring(L, i);
	lua_settop(L, 6);
	self = lua_newuserdatauv(L, sizeof(*self), 0);
	*self = (struct entries){.walk = {.is_done = true}};
	if (luaL_newmetatable(L, ENTRIES)) {
		lua_pushcfunction(L, free_entries);
		lua_setfield(L, -2, "__gc");
	}
	lua_setmetatable(L, -2);
	err = map_walk__begin(&self->walk, map->fd);
	if (err)
		return luaL_error(L, "cannot walk a map: %s", strerror(-err));
	luaL_argcheck(L, key->extent <= self->walk.layout.key_size, 2, "reads more than a key");
	luaL_argcheck(L, value->extent <= self->walk.layout.value_size, 3,
		      "reads more than a value");
	lua_insert(L, 1);
	lua_pushcclosure(L, next_entries, 7);
	return 1;
}

int open_drawing(lua_State *L)
{
	static const luaL_Reg functions[] = {
	    {"compile", compile}, {"draw", draw}, {"entries", draw_entries}, {NULL, NULL}};

	luaL_newmetatable(L, DRAWING);
	lua_pop(L, 1);
	luaL_newlib(L, functions);
	return 1;
}
