#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/code.h"

/* Defined functions only; "malloc@@VERSION" in a full symbol table counts as malloc. */
static bool is_function(Elf *elf, const GElf_Shdr *header, const GElf_Sym *symbol, const char *name)
{
	int type = GELF_ST_TYPE(symbol->st_info);
	size_t length = strlen(name);
	const char *found;

	if ((type != STT_FUNC && type != STT_GNU_IFUNC) || symbol->st_shndx == SHN_UNDEF)
		return false;
	found = elf_strptr(elf, header->sh_link, symbol->st_name);
	return found && !strncmp(found, name, length) &&
	       (found[length] == '\0' || found[length] == '@');
}

/* The exported one, if a local one has the name too. */
static bool find_function(Elf *elf, GElf_Word table_type, const char *name, GElf_Sym *best)
{
	Elf_Scn *section = NULL;
	bool found = false;

	while ((section = elf_nextscn(elf, section))) {
		Elf_Data *data;
		GElf_Shdr header;
		GElf_Sym symbol;

		if (!gelf_getshdr(section, &header) || header.sh_type != table_type)
			continue;
		data = elf_getdata(section, NULL);
		for (int i = 0; data && gelf_getsym(data, i, &symbol); i++) {
			if (!is_function(elf, &header, &symbol, name))
				continue;
			if (!found || GELF_ST_BIND(symbol.st_info) == STB_GLOBAL)
				*best = symbol;
			found = true;
		}
	}
	return found;
}

/* The executable segment's place in the file and in memory tells the one from the other. */
static bool next_executable(Elf *elf, size_t *next, GElf_Phdr *segment)
{
	size_t count;

	if (elf_getphdrnum(elf, &count))
		return false;
	while (*next < count)
		if (gelf_getphdr(elf, (int)(*next)++, segment) && segment->p_type == PT_LOAD &&
		    segment->p_flags & PF_X)
			return true;
	return false;
}

static bool to_file_offset(Elf *elf, __u64 address, __u64 *offset)
{
	GElf_Phdr segment;

	for (size_t next = 0; next_executable(elf, &next, &segment);) {
		if (address < segment.p_vaddr || address - segment.p_vaddr >= segment.p_filesz)
			continue;
		*offset = address - segment.p_vaddr + segment.p_offset;
		return true;
	}
	return false;
}

static bool is_code(Elf *elf, __u64 offset)
{
	GElf_Phdr segment;

	for (size_t next = 0; next_executable(elf, &next, &segment);)
		if (offset >= segment.p_offset && offset - segment.p_offset < segment.p_filesz)
			return true;
	return false;
}

static int locate_function(Elf *elf, const struct code_place *place, __u64 *offset,
			   struct diagnostic *why)
{
	GElf_Sym symbol;

	if (!find_function(elf, SHT_DYNSYM, place->function, &symbol) &&
	    !find_function(elf, SHT_SYMTAB, place->function, &symbol))
		return diagnostic__fail(why, -ENOENT, "%s has no function %s", place->name,
					place->function);
	if (GELF_ST_TYPE(symbol.st_info) == STT_GNU_IFUNC) /* its code only chooses, once */
		return diagnostic__fail(
		    why, -EOPNOTSUPP,
		    "%s in %s stands for one of several functions, chosen at run time; probe that "
		    "one",
		    place->function, place->name);
	if (place->offset && place->offset >= symbol.st_size)
		return diagnostic__fail(
		    why, -EINVAL,
		    "offset %llu lies behind the end of %s in %s, which has %llu bytes",
		    place->offset, place->function, place->name, (__u64)symbol.st_size);
	if (!to_file_offset(elf, symbol.st_value + place->offset, offset))
		return diagnostic__fail(why, -ENOENT, "%s in %s lies in no executable segment",
					place->function, place->name);
	return 0;
}

static int locate(Elf *elf, const struct code_place *place, __u64 size, __u64 *offset,
		  struct diagnostic *why)
{
	if (!elf || elf_kind(elf) != ELF_K_ELF)
		return diagnostic__fail(why, -ENOEXEC, "%s is not an ELF file", place->name);
	if (place->function)
		return locate_function(elf, place, offset, why);
	*offset = place->offset;
	if (*offset >= size)
		return diagnostic__fail(why, -EINVAL, "offset %llu lies behind the end of %s",
					*offset, place->name);
	if (!is_code(elf, *offset))
		return diagnostic__fail(why, -EINVAL, "there is no code at offset %llu of %s",
					*offset, place->name);
	return 0;
}

int code__find(const struct code_place *place, __u64 *offset, struct diagnostic *why)
{
	int fd = open(place->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), err;
	struct stat status;
	Elf *elf;

	if (fd < 0)
		return diagnostic__fail(why, -errno, "cannot open %s: %s", place->name,
					strerror(errno));
	if (fstat(fd, &status) || !S_ISREG(status.st_mode)) {
		close(fd);
		return diagnostic__fail(why, -EINVAL, "%s is not a regular file", place->name);
	}
	elf_version(EV_CURRENT);
	/* Read, not mapped: a mapping would show us the breakpoints of other uprobes. */
	elf = elf_begin(fd, ELF_C_READ, NULL);
	err = locate(elf, place, (__u64)status.st_size, offset, why);
	elf_end(elf);
	close(fd);
	return err;
}
