/* Drawings that other namespaces draw with: map, for entries by the hundred thousand. */
#ifndef BINDINGS_DRAWING_H
#define BINDINGS_DRAWING_H

#include <lua.h>

#include "core/drawing.h"

struct drawing_handle {
	size_t cnt;
	size_t extent; /* bytes that it reads */
	struct drawing_step steps[];
};

const struct drawing_handle *check_drawing(lua_State *L, int index);

/* A text that collection frees, left on the stack. */
struct text *new_text(lua_State *L);

/* Replaces nothing: pushes what stands in the text, or raises where there was no memory for it. */
void push_text(lua_State *L, struct text *text);

#endif
