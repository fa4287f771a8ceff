#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/btf.h"
#include "core/symbol.h"

struct reader {
	Elf *elf;
	size_t names; /* section of the section names */
	struct symbols *symbols;
};

static const char *section_name(const struct reader *reader, Elf_Scn *section, GElf_Shdr *header)
{
	if (!section || !gelf_getshdr(section, header))
		return NULL;
	return elf_strptr(reader->elf, reader->names, header->sh_name);
}

static bool is_data_section(const char *name)
{
	return !strncmp(name, ".data", 5) || !strncmp(name, ".rodata", 7) ||
	       !strncmp(name, ".bss", 4);
}

static int add_global(struct symbols *symbols, const char *name, const char *section,
		      const GElf_Sym *symbol)
{
	struct global *grown =
	    realloc(symbols->globals, (symbols->global_cnt + 1) * sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	symbols->globals = grown;
	grown += symbols->global_cnt;
	*grown = (struct global){
	    .name = strdup(name),
	    .section = strdup(section),
	    .offset = symbol->st_value,
	    .size = symbol->st_size,
	};
	symbols->global_cnt++;
	return grown->name && grown->section ? 0 : -ENOMEM;
}

static int add_slotted(struct symbols *symbols, const char *name)
{
	char **grown = realloc(symbols->slotted, (symbols->slotted_cnt + 1) * sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	symbols->slotted = grown;
	grown[symbols->slotted_cnt] = strdup(name);
	return grown[symbols->slotted_cnt++] ? 0 : -ENOMEM;
}

static int read_globals(struct reader *reader, Elf_Scn *table, const GElf_Shdr *header)
{
	Elf_Data *data = elf_getdata(table, NULL);
	size_t count = header->sh_entsize ? header->sh_size / header->sh_entsize : 0;

	for (size_t i = 0; data && i < count; i++) {
		GElf_Sym symbol;
		GElf_Shdr home;
		const char *name, *section;
		int err;

		if (!gelf_getsym(data, (int)i, &symbol))
			continue;
		name = elf_strptr(reader->elf, header->sh_link, symbol.st_name);
		if (!name) /* libbpf reads all names unasked */
			return -ENOEXEC;
		section = section_name(reader, elf_getscn(reader->elf, symbol.st_shndx), &home);
		if (GELF_ST_TYPE(symbol.st_info) != STT_OBJECT || !section || !*name ||
		    !is_data_section(section))
			continue;
		err = add_global(reader->symbols, name, section, &symbol);
		if (err)
			return err;
	}
	return 0;
}

/* Relocations of .maps against functions are the static slots of program arrays. */
static int read_slots(struct reader *reader, Elf_Scn *relocations, const GElf_Shdr *header)
{
	Elf_Scn *table = elf_getscn(reader->elf, header->sh_link);
	Elf_Data *data = elf_getdata(relocations, NULL), *table_data = elf_getdata(table, NULL);
	size_t count = header->sh_entsize ? header->sh_size / header->sh_entsize : 0;
	GElf_Shdr table_header;

	if (!data || !table_data || !gelf_getshdr(table, &table_header))
		return 0;
	for (size_t i = 0; i < count; i++) {
		GElf_Rel relocation;
		GElf_Sym symbol;
		const char *name;
		int err;

		if (!gelf_getrel(data, (int)i, &relocation) ||
		    !gelf_getsym(table_data, (int)GELF_R_SYM(relocation.r_info), &symbol) ||
		    GELF_ST_TYPE(symbol.st_info) != STT_FUNC)
			continue;
		name = elf_strptr(reader->elf, table_header.sh_link, symbol.st_name);
		err = name ? add_slotted(reader->symbols, name) : 0;
		if (err)
			return err;
	}
	return 0;
}

static void read_license(struct reader *reader, Elf_Scn *section)
{
	Elf_Data *data = elf_getdata(section, NULL);

	if (data && data->d_buf)
		snprintf(reader->symbols->license, sizeof(reader->symbols->license), "%.*s",
			 (int)data->d_size, (const char *)data->d_buf);
}

static int check_types(Elf_Scn *section)
{
	Elf_Data *data = elf_getdata(section, NULL);

	return data && data->d_buf ? type_table__check(data->d_buf, data->d_size) : 0;
}

static int read_section(struct reader *reader, Elf_Scn *section)
{
	GElf_Shdr header, target;
	const char *name = section_name(reader, section, &header), *target_name;

	if (!name)
		return 0;
	if (header.sh_type == SHT_SYMTAB)
		return read_globals(reader, section, &header);
	if (header.sh_type == SHT_REL) {
		target_name =
		    section_name(reader, elf_getscn(reader->elf, header.sh_info), &target);
		if (target_name && !strcmp(target_name, ".maps"))
			return read_slots(reader, section, &header);
	} else if (!strcmp(name, "license")) {
		read_license(reader, section);
	} else if (!strcmp(name, ".BTF")) {
		return check_types(section);
	}
	return 0;
}

int symbols__read(struct symbols *symbols, const struct image *image)
{
	struct reader reader = {.symbols = symbols};
	Elf_Scn *section = NULL;
	int err = 0;

	*symbols = (struct symbols){};
	elf_version(EV_CURRENT);
	reader.elf = elf_memory(image->bytes, image->size);
	if (!reader.elf || elf_getshdrstrndx(reader.elf, &reader.names))
		err = -ENOEXEC;
	while (!err && (section = elf_nextscn(reader.elf, section)))
		err = read_section(&reader, section);
	elf_end(reader.elf);
	if (err)
		symbols__free(symbols);
	return err;
}

void symbols__free(struct symbols *symbols)
{
	for (size_t i = 0; i < symbols->global_cnt; i++) {
		free(symbols->globals[i].name);
		free(symbols->globals[i].section);
	}
	for (size_t i = 0; i < symbols->slotted_cnt; i++)
		free(symbols->slotted[i]);
	free(symbols->globals);
	free(symbols->slotted);
	*symbols = (struct symbols){};
}

const struct global *symbols__global(const struct symbols *symbols, const char *name)
{
	for (size_t i = 0; i < symbols->global_cnt; i++)
		if (!strcmp(symbols->globals[i].name, name))
			return &symbols->globals[i];
	return NULL;
}
