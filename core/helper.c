#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <linux/bpf.h>

#include "core/helper.h"
#include "core/object_state.h"

/* Newer headers put no commas between the helpers. */
#ifdef ___BPF_FUNC_MAPPER
#define NAME(name, ...) [BPF_FUNC_##name] = "bpf_" #name,
#else
#define NAME(name) [BPF_FUNC_##name] = "bpf_" #name
#endif
static const char *const names[] = {__BPF_FUNC_MAPPER(NAME)};

const char *helper__name(unsigned int id)
{
	return id && id < sizeof(names) / sizeof(*names) ? names[id] : NULL;
}

#define INSN_SIZE sizeof(struct bpf_insn)

/* Instructions in a row, and what of .text each of them calls or takes the address of. */
struct code {
	const struct bpf_insn *insns;
	size_t count, section;
	long *targets; /* -1: nothing */
};

struct reader {
	Elf *elf;
	struct code text; /* libbpf takes subprograms from no other section */
	bool *seen, is_unclear;
	size_t *waiting, waiting_cnt;
	struct helper_set *helpers;
};

static bool is_wide(const struct bpf_insn *insn)
{
	return insn->code == (BPF_LD | BPF_IMM | BPF_DW);
}

static bool is_call(const struct bpf_insn *insn)
{
	int class = BPF_CLASS(insn->code);

	return BPF_OP(insn->code) == BPF_CALL && (class == BPF_JMP || class == BPF_JMP32);
}

static int find_text(struct reader *reader)
{
	Elf_Scn *section = NULL;
	size_t section_names;

	if (elf_getshdrstrndx(reader->elf, &section_names))
		return -ENOEXEC;
	while ((section = elf_nextscn(reader->elf, section))) {
		GElf_Shdr header;
		const char *name;
		Elf_Data *data;

		if (!gelf_getshdr(section, &header) || !(header.sh_flags & SHF_EXECINSTR))
			continue;
		name = elf_strptr(reader->elf, section_names, header.sh_name);
		data = elf_getdata(section, NULL);
		if (!name || strcmp(name, ".text") || !data || !data->d_buf)
			continue;
		reader->text.insns = data->d_buf;
		reader->text.count = data->d_size / INSN_SIZE;
		reader->text.section = elf_ndxscn(section);
		return 0;
	}
	return 0;
}

/* Where the program's instructions begin: libbpf's programs go by their function's symbol. With two
 * of that name and size nobody knows which is meant. */
static bool find_start(struct reader *reader, const char *name, struct code *code, size_t *start)
{
	Elf_Scn *section = NULL;
	int found_cnt = 0;

	while ((section = elf_nextscn(reader->elf, section))) {
		Elf_Data *data = elf_getdata(section, NULL);
		GElf_Shdr header;
		GElf_Sym symbol;

		if (!data || !gelf_getshdr(section, &header) || header.sh_type != SHT_SYMTAB)
			continue;
		for (int i = 0; gelf_getsym(data, i, &symbol); i++) {
			const char *found = elf_strptr(reader->elf, header.sh_link, symbol.st_name);

			if (GELF_ST_TYPE(symbol.st_info) != STT_FUNC || !found ||
			    strcmp(found, name) || symbol.st_size != code->count * INSN_SIZE)
				continue;
			code->section = symbol.st_shndx;
			*start = symbol.st_value / INSN_SIZE;
			found_cnt++;
		}
	}
	return found_cnt == 1;
}

static void read_relocation(struct reader *reader, struct code *code, size_t start,
			    const GElf_Rel *relocation, const GElf_Sym *symbol)
{
	size_t place = relocation->r_offset / INSN_SIZE;
	const struct bpf_insn *insn;
	long target;

	if (symbol->st_shndx != reader->text.section || place < start ||
	    place - start >= code->count)
		return;
	insn = &code->insns[place - start];
	target = (long)(symbol->st_value / INSN_SIZE) +
		 (is_call(insn) ? insn->imm + 1 : insn->imm / (long)INSN_SIZE);
	if (code->targets[place - start] >= 0 && code->targets[place - start] != target)
		reader->is_unclear = true;
	code->targets[place - start] = target;
}

/* libbpf's own reading of relocations against .text. */
static int read_targets(struct reader *reader, struct code *code, size_t start)
{
	Elf_Scn *section = NULL;

	code->targets = malloc((code->count + 1) * sizeof(*code->targets));
	if (!code->targets)
		return -ENOMEM;
	for (size_t i = 0; i < code->count; i++)
		code->targets[i] = -1;
	while ((section = elf_nextscn(reader->elf, section))) {
		Elf_Data *data = elf_getdata(section, NULL), *symbols;
		GElf_Shdr header;
		GElf_Rel relocation;
		GElf_Sym symbol;

		if (!data || !gelf_getshdr(section, &header) || header.sh_type != SHT_REL ||
		    header.sh_info != code->section)
			continue;
		symbols = elf_getdata(elf_getscn(reader->elf, header.sh_link), NULL);
		for (int i = 0; symbols && gelf_getrel(data, i, &relocation); i++)
			if (gelf_getsym(symbols, (int)GELF_R_SYM(relocation.r_info), &symbol))
				read_relocation(reader, code, start, &relocation, &symbol);
	}
	return 0;
}

static void reach(struct reader *reader, long place)
{
	if (place < 0 || (size_t)place >= reader->text.count) {
		reader->is_unclear = true;
	} else if (!reader->seen[place]) {
		reader->seen[place] = true;
		reader->waiting[reader->waiting_cnt++] = (size_t)place;
	}
}

static void note(struct reader *reader, const struct code *code, size_t place)
{
	const struct bpf_insn *insn = &code->insns[place];

	if (is_call(insn) && !insn->src_reg) {
		if (insn->imm >= 0 && insn->imm < HELPER_COUNT)
			reader->helpers->has[insn->imm] = true;
	} else if (code->targets[place] >= 0) {
		reach(reader, code->targets[place]);
	} else if (is_call(insn) && insn->src_reg == BPF_PSEUDO_CALL && insn->imm != -1) {
		if (code == &reader->text)
			reach(reader, (long)place + insn->imm + 1);
		else
			reader->is_unclear = true;
	}
}

static void follow(struct reader *reader, size_t place)
{
	const struct bpf_insn *insn = &reader->text.insns[place];
	int class = BPF_CLASS(insn->code), op = BPF_OP(insn->code);
	bool jumps = (class == BPF_JMP || class == BPF_JMP32) && op != BPF_CALL && op != BPF_EXIT;
	bool is_long = class == BPF_JMP32 && op == BPF_JA;

	note(reader, &reader->text, place);
	if (jumps)
		reach(reader, (long)place + 1 + (is_long ? insn->imm : insn->off));
	if (class == BPF_JMP && (op == BPF_EXIT || op == BPF_JA))
		return;
	if (!is_long)
		reach(reader, (long)place + (is_wide(insn) ? 2 : 1));
}

/* From the program's own instructions through .text, as far as they reach. */
static int walk(struct reader *reader, const struct code *own)
{
	reader->seen = calloc(reader->text.count + 1, sizeof(*reader->seen));
	reader->waiting = calloc(reader->text.count + 1, sizeof(*reader->waiting));
	if (!reader->seen || !reader->waiting)
		return -ENOMEM;
	for (size_t i = 0; i < own->count; i += is_wide(&own->insns[i]) ? 2 : 1)
		note(reader, own, i);
	while (reader->waiting_cnt)
		follow(reader, reader->waiting[--reader->waiting_cnt]);
	for (size_t i = 0; reader->is_unclear && i < reader->text.count; i++)
		note(reader, &reader->text, i);
	return 0;
}

int object__helpers(const struct object *object, size_t place, struct helper_set *helpers)
{
	const struct bpf_program *program = object->programs[place].program;
	struct code own = {bpf_program__insns(program), bpf_program__insn_cnt(program), 0, NULL};
	struct reader reader = {.helpers = helpers};
	size_t start = 0;
	int err;

	memset(helpers, 0, sizeof(*helpers));
	elf_version(EV_CURRENT);
	reader.elf = elf_memory(object->image.bytes, object->image.size);
	err = reader.elf ? find_text(&reader) : -ENOEXEC;
	if (!err && !find_start(&reader, bpf_program__name(program), &own, &start))
		reader.is_unclear = true;
	if (!err)
		err = read_targets(&reader, &own, start);
	if (!err)
		err = read_targets(&reader, &reader.text, 0);
	if (!err)
		err = walk(&reader, &own);
	free(own.targets);
	free(reader.text.targets);
	free(reader.seen);
	free(reader.waiting);
	elf_end(reader.elf);
	return err;
}
