/* A text that grows. Additions that find no memory are left out and told by `failed`. */
#ifndef CORE_TEXT_H
#define CORE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>

struct text {
	char *bytes; /* not ended by a zero */
	size_t size, room;
	bool failed;
};

void text__add(struct text *text, const char *bytes, size_t size);
void text__add_unsigned(struct text *text, __u64 value);
void text__add_signed(struct text *text, __s64 value);
/* "0a0b" */
void text__add_hex(struct text *text, const unsigned char *bytes, size_t size, bool is_reversed);
/* In quotes, with escapes as JSON has them. */
void text__add_quoted(struct text *text, const char *bytes, size_t size);
/* Leaves it empty, with its memory. */
void text__reset(struct text *text);
void text__free(struct text *text);

/* UTF-8, without surrogates and what lies behind U+10FFFF. */
bool text__is_utf8(const char *bytes, size_t size);

#endif
