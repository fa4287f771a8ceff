#include <elf.h>
#include <stdbool.h>

#include "core/instruction.h"

/*
 * What follows an x86-64 opcode:
 *   .  nothing                  m  ModRM, and what that brings
 *   1  one byte                 M  ModRM and one byte
 *   2  two bytes                W  ModRM and a word of the operand size
 *   3  three bytes (enter)      w  a word of the operand size: 4 bytes, 2 with 0x66
 *   4  four bytes (jumps)       q  the same, or 8 bytes with REX.W
 *   t  ModRM, and one byte if it says "test"; T: and a word
 *   a  an address, 8 bytes, 4 with 0x67
 *   x  no instruction, or none that is known
 * Prefixes and escapes are x too: they are dealt with before.
 */
static const char one_byte[] = "mmmm1wxxmmmm1wxx"  /* 00 */
			       "mmmm1wxxmmmm1wxx"  /* 10 */
			       "mmmm1wxxmmmm1wxx"  /* 20 */
			       "mmmm1wxxmmmm1wxx"  /* 30 */
			       "xxxxxxxxxxxxxxxx"  /* 40 */
			       "................"  /* 50 */
			       "xxxmxxxxwW1M...."  /* 60 */
			       "1111111111111111"  /* 70 */
			       "MWxMmmmmmmmmmmmm"  /* 80 */
			       "..........x....."  /* 90 */
			       "aaaa....1w......"  /* a0 */
			       "11111111qqqqqqqq"  /* b0 */
			       "MM2.xxMW3.2..1x."  /* c0 */
			       "mmmmxxx.mmmmmmmm"  /* d0 */
			       "1111111144x1...."  /* e0 */
			       "x.xx..tT......mm"; /* f0 */
/* behind 0f */
static const char two_bytes[] = "mmmmx.....x.xm.M"  /* 00 */
				"mmmmmmmmmmmmmmmm"  /* 10 */
				"mmmmxxxxmmmmmmmm"  /* 20 */
				"......x.xxxxxxxx"  /* 30 */
				"mmmmmmmmmmmmmmmm"  /* 40 */
				"mmmmmmmmmmmmmmmm"  /* 50 */
				"mmmmmmmmmmmmmmmm"  /* 60 */
				"MMMMmmm.mmmmmmmm"  /* 70 */
				"4444444444444444"  /* 80 */
				"mmmmmmmmmmmmmmmm"  /* 90 */
				"...mMmxx...mMmmm"  /* a0 */
				"mmmmmmmmmmMmmmmm"  /* b0 */
				"mmMmMMMm........"  /* c0 */
				"mmmmmmmmmmmmmmmm"  /* d0 */
				"mmmmmmmmmmmmmmmm"  /* e0 */
				"mmmmmmmmmmmmmmmm"; /* f0 */

struct decoder {
	const unsigned char *code;
	size_t size;
	size_t at;
	bool cut_off;
	bool operands_16, addresses_32, operands_64; /* 0x66, 0x67, REX.W */
};

static unsigned int take(struct decoder *d)
{
	if (d->at < d->size)
		return d->code[d->at++];
	d->cut_off = true;
	return 0;
}

static unsigned int peek(const struct decoder *d)
{
	return d->at < d->size ? d->code[d->at] : 0;
}

static void skip(struct decoder *d, size_t count)
{
	d->at += count;
	d->cut_off |= d->at > d->size;
}

static bool is_prefix(unsigned int byte)
{
	switch (byte) {
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e:
	case 0x64:
	case 0x65: /* segments */
	case 0x66:
	case 0x67:
	case 0xf0: /* lock */
	case 0xf2:
	case 0xf3: /* rep */
		return true;
	}
	return false;
}

static void take_prefixes(struct decoder *d)
{
	while (is_prefix(peek(d))) {
		unsigned int prefix = take(d);

		d->operands_16 |= prefix == 0x66;
		d->addresses_32 |= prefix == 0x67;
		if (d->cut_off)
			return;
	}
	if ((peek(d) & 0xf0) == 0x40)
		d->operands_64 = take(d) & 8;
}

/* ModRM with SIB and displacement; returns ModRM's middle field, which may extend the opcode. */
static unsigned int take_modrm(struct decoder *d)
{
	unsigned int modrm = take(d), mode = modrm >> 6, base = modrm & 7;

	if (mode != 3) {
		if (base == 4)
			base = take(d) & 7;
		if (mode == 1)
			skip(d, 1);
		else if (mode == 2 || base == 5)
			skip(d, 4);
	}
	return modrm >> 3 & 7;
}

static size_t word(const struct decoder *d)
{
	return d->operands_16 && !d->operands_64 ? 2 : 4;
}

/* Returns false for what is no instruction. */
static bool take_rest(struct decoder *d, char form)
{
	switch (form) {
	case '.':
		return true;
	case '1':
	case '2':
	case '3':
	case '4':
		skip(d, (size_t)(form - '0'));
		return true;
	case 'w':
		skip(d, word(d));
		return true;
	case 'q':
		skip(d, d->operands_64 ? 8 : word(d));
		return true;
	case 'a':
		skip(d, d->addresses_32 ? 4 : 8);
		return true;
	case 'm':
	case 'M':
	case 'W':
		take_modrm(d);
		skip(d, form == 'm' ? 0 : form == 'M' ? 1 : word(d));
		return true;
	case 't':
	case 'T':
		if (take_modrm(d) < 2)
			skip(d, form == 't' ? 1 : word(d));
		return true;
	}
	return false;
}

/* An opcode of one of the maps that VEX and EVEX number as escapes do: 1 is 0f, 2 0f 38, 3 0f 3a.
 */
static bool take_mapped(struct decoder *d, unsigned int map)
{
	unsigned int opcode = take(d);

	switch (map) {
	case 1:
		return take_rest(d, two_bytes[opcode]);
	case 3:
		return take_rest(d, 'M');
	case 2:
	case 5:
	case 6:
		return take_rest(d, 'm');
	}
	return false;
}

static bool take_escaped(struct decoder *d)
{
	if (peek(d) != 0x38 && peek(d) != 0x3a)
		return take_mapped(d, 1);
	return take_mapped(d, take(d) == 0x38 ? 2 : 3);
}

static bool take_instruction(struct decoder *d)
{
	unsigned int opcode, map;

	take_prefixes(d);
	opcode = take(d);
	switch (opcode) {
	case 0x0f:
		return take_escaped(d);
	case 0xc5: /* VEX of two bytes */
		skip(d, 1);
		return take_mapped(d, 1);
	case 0xc4: /* of three */
		map = take(d) & 0x1f;
		skip(d, 1);
		return take_mapped(d, map);
	case 0x8f:
		if ((peek(d) & 0x1f) >= 8) /* XOP, of a few processors once */
			return false;
		break;
	case 0x62: /* EVEX */
		map = take(d) & 7;
		skip(d, 2);
		return take_mapped(d, map);
	}
	return take_rest(d, one_byte[opcode]);
}

static size_t length_x86_64(const unsigned char *code, size_t size)
{
	struct decoder d = {.code = code, .size = size};

	return take_instruction(&d) && !d.cut_off ? d.at : 0;
}

static size_t length_riscv(const unsigned char *code, size_t size)
{
	size_t length = (*code & 3) != 3 ? 2 : (*code & 0x1f) != 0x1f ? 4 : 0;

	return length <= size ? length : 0;
}

size_t instruction__length(unsigned int machine, const unsigned char *code, size_t size)
{
	if (!size)
		return 0;
	switch (machine) {
	case EM_X86_64:
		return length_x86_64(code, size);
	case EM_AARCH64:
		return size >= 4 ? 4 : 0;
	case EM_RISCV:
		return length_riscv(code, size);
	}
	return 0;
}
