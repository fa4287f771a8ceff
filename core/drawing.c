#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/drawing.h"

#define MOST_DEPTH 64
#define MOST_BYTES (1 << 30)

static bool is_integer(enum drawing_kind kind)
{
	return kind == DRAW_INTEGER || kind == DRAW_HEX || kind == DRAW_BOOLEAN ||
	       kind == DRAW_NAME;
}

static bool has_good_size(const struct drawing_step *step)
{
	switch (step->kind) {
	case DRAW_TEXT:
		return true;
	case DRAW_FLOAT:
		return step->size == 4 || step->size == 8;
	case DRAW_IP4:
		return step->size == 4;
	case DRAW_IP6:
	case DRAW_HUGE:
		return step->size == 16;
	case DRAW_MAC:
		return step->size == 6;
	case DRAW_STRING:
	case DRAW_BYTES:
	case DRAW_LIST:
		return true;
	default:
		return is_integer(step->kind) && step->size >= 1 && step->size <= 9 &&
		       step->width >= 1 && step->width <= 64 &&
		       step->shift + step->width <= 8 * step->size;
	}
}

static __s64 extent(const struct drawing_step *steps, size_t cnt, int depth)
{
	__s64 most = 0;

	if (depth > MOST_DEPTH)
		return -EINVAL;
	for (size_t i = 0; i < cnt; i++) {
		const struct drawing_step *step = &steps[i];
		__s64 end = (__s64)step->offset + step->size;

		if (!has_good_size(step))
			return -EINVAL;
		if (step->kind == DRAW_LIST) {
			if (step->steps > cnt - i - 1)
				return -EINVAL;
			end = extent(step + 1, step->steps, depth + 1);
			if (end < 0)
				return end;
			end = step->cnt ? end + step->offset + (__s64)step->stride * (step->cnt - 1)
					: 0;
			i += step->steps;
		}
		if (end > MOST_BYTES)
			return -EINVAL;
		most = end > most ? end : most;
	}
	return most;
}

__s64 drawing__extent(const struct drawing_step *steps, size_t cnt)
{
	return extent(steps, cnt, 0);
}

static __u64 read_integer(const struct drawing_step *step, const unsigned char *bytes)
{
	bool is_big_endian = step->is_big_endian || __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
	unsigned __int128 raw = 0;
	__u64 value;

	for (__u32 i = 0; i < step->size; i++)
		raw = raw << 8 | bytes[is_big_endian ? i : step->size - 1 - i];
	value = (__u64)(raw >> step->shift);
	if (step->width < 64) {
		value &= (1ull << step->width) - 1;
		if (step->is_signed && value >> (step->width - 1))
			value |= -1ull << step->width;
	}
	return value;
}

static const struct drawing_name *find_name(const struct drawing_step *step, __u64 value)
{
	size_t low = 0, high = step->name_cnt;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (step->names[middle].value == value)
			return &step->names[middle];
		if (step->names[middle].value < value)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static void add_word(struct text *text, const struct drawing_step *step, const char *word,
		     size_t size)
{
	if (step->is_quoted)
		text__add(text, "\"", 1);
	text__add(text, word, size);
	if (step->is_quoted)
		text__add(text, "\"", 1);
}

static void draw_integer(const struct drawing_step *step, const unsigned char *bytes,
			 struct text *text)
{
	__u64 value = read_integer(step, bytes);
	const struct drawing_name *name;
	char digits[24];

	if (step->kind == DRAW_BOOLEAN && value <= 1) {
		text__add(text, value ? "true" : "false", value ? 4 : 5);
		return;
	}
	name = step->kind == DRAW_NAME ? find_name(step, value) : NULL;
	if (name)
		add_word(text, step, name->text, name->size);
	else if (step->kind == DRAW_HEX)
		text__add(text, digits, (size_t)snprintf(digits, sizeof(digits), "0x%llx", value));
	else if (step->is_signed)
		text__add_signed(text, (__s64)value);
	else
		text__add_unsigned(text, value);
}

/* A NaN that is not the usual one is told by its bits. */
static void draw_nan(const struct drawing_step *step, const unsigned char *bytes, struct text *text)
{
	char word[32];
	__u32 half = 0;
	__u64 bits = 0;

	if (step->size == 4)
		memcpy(&half, bytes, 4);
	else
		memcpy(&bits, bytes, 8);
	if (half == 0x7fc00000 || bits == 0x7ff8000000000000)
		strcpy(word, "nan");
	else
		snprintf(word, sizeof(word), "nan(0x%llx)", bits | half);
	add_word(text, step, word, strlen(word));
}

static void draw_float(const struct drawing_step *step, const unsigned char *bytes,
		       struct text *text)
{
	int digits = step->size == 4 ? 6 : 15, most = step->size == 4 ? 9 : 17;
	double value;
	float single;
	char word[40];

	memcpy(&single, bytes, sizeof(single));
	if (step->size == 8)
		memcpy(&value, bytes, sizeof(value));
	else
		value = single;
	if (isnan(value)) {
		draw_nan(step, bytes, text);
		return;
	}
	if (isinf(value)) {
		add_word(text, step, value > 0 ? "inf" : "-inf", value > 0 ? 3 : 4);
		return;
	}
	do
		snprintf(word, sizeof(word), "%.*g", digits, value);
	while (digits++ < most &&
	       (step->size == 4 ? strtof(word, NULL) != single : strtod(word, NULL) != value));
	text__add(text, word, strlen(word));
}

static void draw_byte_list(const unsigned char *bytes, size_t size, struct text *text)
{
	text__add(text, "[", 1);
	for (size_t i = 0; i < size; i++) {
		if (i)
			text__add(text, ",", 1);
		text__add_unsigned(text, bytes[i]);
	}
	text__add(text, "]", 1);
}

static void draw_string(const struct drawing_step *step, const char *bytes, struct text *text)
{
	size_t size = strnlen(bytes, step->size), whole = step->size;

	if (!step->is_cut) {
		while (whole > size && !bytes[whole - 1])
			whole--;
	} else {
		whole = size;
	}
	if (whole == size && text__is_utf8(bytes, size))
		text__add_quoted(text, bytes, size);
	else
		draw_byte_list((const unsigned char *)bytes, whole, text);
}

static void draw_address(const struct drawing_step *step, const unsigned char *bytes,
			 struct text *text)
{
	char word[INET6_ADDRSTRLEN];

	if (step->kind == DRAW_MAC)
		snprintf(word, sizeof(word), "%02x:%02x:%02x:%02x:%02x:%02x", bytes[0], bytes[1],
			 bytes[2], bytes[3], bytes[4], bytes[5]);
	else
		inet_ntop(step->kind == DRAW_IP4 ? AF_INET : AF_INET6, bytes, word, sizeof(word));
	add_word(text, step, word, strlen(word));
}

static void draw_hex(const struct drawing_step *step, const unsigned char *bytes, struct text *text)
{
	bool is_reversed = step->kind == DRAW_HUGE && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;

	text__add(text, step->is_quoted ? "\"0x" : "0x", step->is_quoted ? 3 : 2);
	text__add_hex(text, bytes, step->size, is_reversed);
	if (step->is_quoted)
		text__add(text, "\"", 1);
}

static void draw_value(const struct drawing_step *step, const unsigned char *bytes,
		       struct text *text)
{
	switch (step->kind) {
	case DRAW_FLOAT:
		draw_float(step, bytes, text);
		return;
	case DRAW_STRING:
		draw_string(step, (const char *)bytes, text);
		return;
	case DRAW_BYTES:
	case DRAW_HUGE:
		draw_hex(step, bytes, text);
		return;
	case DRAW_IP4:
	case DRAW_IP6:
	case DRAW_MAC:
		draw_address(step, bytes, text);
		return;
	default:
		draw_integer(step, bytes, text);
	}
}

void drawing__draw(const struct drawing_step *steps, size_t cnt, const void *bytes,
		   struct text *text)
{
	const unsigned char *start = bytes;

	for (size_t i = 0; i < cnt; i++) {
		const struct drawing_step *step = &steps[i];

		if (step->kind == DRAW_TEXT) {
			text__add(text, step->text, step->text_size);
			continue;
		}
		if (step->kind != DRAW_LIST) {
			draw_value(step, start + step->offset, text);
			continue;
		}
		for (__u32 n = 0; n < step->cnt; n++) {
			if (n)
				text__add(text, step->text, step->text_size);
			drawing__draw(step + 1, step->steps,
				      start + step->offset + (size_t)n * step->stride, text);
		}
		i += step->steps;
	}
}
