#include <stdlib.h>
#include <string.h>

#include "core/text.h"

/* Room for so many more bytes, or NULL. */
static char *extend(struct text *text, size_t size)
{
	size_t room = text->room;
	char *bigger;

	if (text->size + size <= text->room)
		return text->bytes + text->size;
	while (room < text->size + size)
		room = room ? 2 * room : 4096;
	bigger = realloc(text->bytes, room);
	if (!bigger) {
		text->failed = true;
		return NULL;
	}
	text->bytes = bigger;
	text->room = room;
	return text->bytes + text->size;
}

void text__add(struct text *text, const char *bytes, size_t size)
{
	char *place = extend(text, size);

	if (!place || !size)
		return;
	memcpy(place, bytes, size);
	text->size += size;
}

void text__add_unsigned(struct text *text, __u64 value)
{
	char digits[20], *first = digits + sizeof(digits);

	do
		*--first = (char)('0' + value % 10);
	while (value /= 10);
	text__add(text, first, (size_t)(digits + sizeof(digits) - first));
}

void text__add_signed(struct text *text, __s64 value)
{
	if (value < 0)
		text__add(text, "-", 1);
	text__add_unsigned(text, value < 0 ? -(__u64)value : (__u64)value);
}

void text__add_hex(struct text *text, const unsigned char *bytes, size_t size, bool is_reversed)
{
	static const char digits[] = "0123456789abcdef";
	char *place = extend(text, 2 * size);

	if (!place)
		return;
	for (size_t i = 0; i < size; i++) {
		unsigned char byte = bytes[is_reversed ? size - 1 - i : i];

		*place++ = digits[byte >> 4];
		*place++ = digits[byte & 15];
	}
	text->size += 2 * size;
}

void text__add_quoted(struct text *text, const char *bytes, size_t size)
{
	char *place = extend(text, 6 * size + 2), *start = place;

	if (!place)
		return;
	*place++ = '"';
	for (size_t i = 0; i < size; i++) {
		unsigned char byte = (unsigned char)bytes[i];

		if (byte < 0x20 || byte == 0x7f) {
			memcpy(place, "\\u00", 4);
			place[4] = "01234567"[byte >> 4];
			place[5] = "0123456789abcdef"[byte & 15];
			place += 6;
			continue;
		}
		if (byte == '"' || byte == '\\')
			*place++ = '\\';
		*place++ = (char)byte;
	}
	*place++ = '"';
	text->size += (size_t)(place - start);
}

void text__reset(struct text *text)
{
	text->size = 0;
	text->failed = false;
}

void text__free(struct text *text)
{
	free(text->bytes);
	*text = (struct text){};
}

/* Bytes of the character that begins here; 0: none does. */
static size_t character(const unsigned char *bytes, size_t left)
{
	static const __u32 least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t size = bytes[0] < 0x80	      ? 1
		      : bytes[0] >> 5 == 0x06 ? 2
		      : bytes[0] >> 4 == 0x0e ? 3
		      : bytes[0] >> 3 == 0x1e ? 4
					      : 0;
	__u32 code;

	if (size < 2)
		return size;
	if (size > left)
		return 0;
	code = bytes[0] & (0x7fu >> size);
	for (size_t i = 1; i < size; i++) {
		if (bytes[i] >> 6 != 2)
			return 0;
		code = code << 6 | (bytes[i] & 0x3f);
	}
	return code < least[size] || code > 0x10ffff || code >> 11 == 0x1b ? 0 : size;
}

bool text__is_utf8(const char *bytes, size_t size)
{
	for (size_t at = 0, length; at < size; at += length) {
		length = character((const unsigned char *)bytes + at, size - at);
		if (!length)
			return false;
	}
	return true;
}
