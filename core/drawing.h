/* Values in memory as text, by a list of steps that tells where each lies and what it is. */
#ifndef CORE_DRAWING_H
#define CORE_DRAWING_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>

#include "core/text.h"

enum drawing_kind {
	DRAW_TEXT,    /* what stands there whatever the value is */
	DRAW_INTEGER, /* in base 10 */
	DRAW_HEX,     /* an integer in base 16 */
	DRAW_BOOLEAN, /* false and true are 0 and 1; else an integer */
	DRAW_NAME,    /* one of `names`; else an integer */
	DRAW_FLOAT,   /* of 4 or 8 bytes, in as few digits as name it */
	DRAW_STRING,  /* in quotes without the zeros behind it, or a list of bytes where it is no
			 UTF-8 */
	DRAW_BYTES,   /* 0x, then as they lie */
	DRAW_HUGE,    /* 0x, then the highest byte first */
	DRAW_IP4,
	DRAW_IP6,
	DRAW_MAC,
	DRAW_LIST, /* the steps behind it, `cnt` times, with `text` between */
};

struct drawing_name {
	__u64 value;
	const char *text;
	size_t size;
};

struct drawing_step {
	enum drawing_kind kind;
	bool is_signed, is_big_endian;
	bool is_quoted;	    /* what is no number stands in quotes */
	bool is_cut;	    /* a string ends at its first zero whatever stands behind */
	__u32 offset, size; /* bytes; integers have 9 at most */
	__u32 shift, width; /* integers: the bits of a bit-field */
	__u32 cnt, stride;  /* lists */
	size_t steps;	    /* a list's */
	const char *text;   /* borrowed, as are names */
	size_t text_size;
	const struct drawing_name *names; /* by value, ascending */
	size_t name_cnt;
};

/* Bytes that the steps read, -EINVAL for steps that cannot be followed. */
__s64 drawing__extent(const struct drawing_step *steps, size_t cnt);

/* Adds the text; `bytes` has as many as the extent at least. */
void drawing__draw(const struct drawing_step *steps, size_t cnt, const void *bytes,
		   struct text *text);

#endif
