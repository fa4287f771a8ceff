#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/code.h"
#include "core/instruction.h"

/* A function that is longer is taken on trust. */
#define MAX_DECODED (1024 * 1024)
#define MAX_LENGTH  16 /* of an instruction */

struct code_file {
	Elf *elf;
	int fd;
	__u64 size;
};

struct wanted_function {
	const char *name; /* NULL: the one around the address */
	__u64 address;
};

/* "malloc@@VERSION" in a full symbol table counts as malloc. */
static bool has_name(Elf *elf, const GElf_Shdr *header, const GElf_Sym *symbol, const char *name)
{
	size_t length = strlen(name);
	const char *found = elf_strptr(elf, header->sh_link, symbol->st_name);

	return found && !strncmp(found, name, length) &&
	       (found[length] == '\0' || found[length] == '@');
}

/* Defined functions only. */
static bool is_wanted(Elf *elf, const GElf_Shdr *header, const GElf_Sym *symbol,
		      const struct wanted_function *wanted)
{
	int type = GELF_ST_TYPE(symbol->st_info);

	if ((type != STT_FUNC && type != STT_GNU_IFUNC) || symbol->st_shndx == SHN_UNDEF)
		return false;
	if (wanted->name)
		return has_name(elf, header, symbol, wanted->name);
	return wanted->address >= symbol->st_value &&
	       wanted->address - symbol->st_value < symbol->st_size;
}

/* The exported one, if a local one has the name too. */
static bool find_in(Elf *elf, GElf_Word table_type, const struct wanted_function *wanted,
		    GElf_Sym *best)
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
			if (!is_wanted(elf, &header, &symbol, wanted))
				continue;
			if (!found || GELF_ST_BIND(symbol.st_info) == STB_GLOBAL)
				*best = symbol;
			found = true;
		}
	}
	return found;
}

static bool find_function(Elf *elf, const struct wanted_function *wanted, GElf_Sym *best)
{
	return find_in(elf, SHT_DYNSYM, wanted, best) || find_in(elf, SHT_SYMTAB, wanted, best);
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

static bool to_address(Elf *elf, __u64 offset, __u64 *address)
{
	GElf_Phdr segment;

	for (size_t next = 0; next_executable(elf, &next, &segment);) {
		if (offset < segment.p_offset || offset - segment.p_offset >= segment.p_filesz)
			continue;
		*address = offset - segment.p_offset + segment.p_vaddr;
		return true;
	}
	return false;
}

/*
 * Walks over the instructions from `start` in the file, where one begins, to `distance` behind it.
 * True if one that begins at *before and ends at *after is there; false if one begins there too, or
 * nobody can tell.
 */
static bool is_inside_instruction(const struct code_file *file, __u64 start, __u64 distance,
				  __u64 *before, __u64 *after)
{
	GElf_Ehdr header;
	unsigned char *code;
	ssize_t size = -1;

	if (!distance || distance > MAX_DECODED || !gelf_getehdr(file->elf, &header))
		return false;
	code = malloc(distance + MAX_LENGTH);
	if (code)
		size = pread(file->fd, code, distance + MAX_LENGTH, (off_t)start);
	while (size > 0 && *after < distance && *after < (__u64)size) {
		size_t length =
		    instruction__length(header.e_machine, code + *after, (size_t)size - *after);

		if (!length)
			break;
		*before = *after;
		*after += length;
	}
	free(code);
	return *after > distance;
}

/*
 * The kernel writes its breakpoint over whatever is there: inside an instruction it would break
 * every process that runs the file.
 */
static int check_boundary(const struct code_file *file, const struct code_place *place,
			  const GElf_Sym *function, __u64 distance, struct diagnostic *why)
{
	__u64 start, before = 0, after = 0;
	__u64 shift = place->function ? 0 : place->offset - distance;

	if (!to_file_offset(file->elf, function->st_value, &start) ||
	    !is_inside_instruction(file, start, distance, &before, &after))
		return 0;
	return diagnostic__fail(why, -EILSEQ,
				"offset %llu of %s%s%s lies inside an instruction: they begin at "
				"%llu and at %llu there",
				place->offset, place->function ?: "", place->function ? " in " : "",
				place->name, before + shift, after + shift);
}

static int locate_function(const struct code_file *file, const struct code_place *place,
			   __u64 *offset, struct diagnostic *why)
{
	const struct wanted_function wanted = {.name = place->function};
	GElf_Sym symbol;

	if (!find_function(file->elf, &wanted, &symbol))
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
	if (!to_file_offset(file->elf, symbol.st_value + place->offset, offset))
		return diagnostic__fail(why, -ENOENT, "%s in %s lies in no executable segment",
					place->function, place->name);
	return check_boundary(file, place, &symbol, place->offset, why);
}

static int locate_offset(const struct code_file *file, const struct code_place *place,
			 struct diagnostic *why)
{
	struct wanted_function wanted = {.name = NULL};
	GElf_Sym symbol;

	if (place->offset >= file->size)
		return diagnostic__fail(why, -EINVAL, "offset %llu lies behind the end of %s",
					place->offset, place->name);
	if (!to_address(file->elf, place->offset, &wanted.address))
		return diagnostic__fail(why, -EINVAL, "there is no code at offset %llu of %s",
					place->offset, place->name);
	if (!find_function(file->elf, &wanted, &symbol))
		return 0;
	return check_boundary(file, place, &symbol, wanted.address - symbol.st_value, why);
}

static int locate(const struct code_file *file, const struct code_place *place, __u64 *offset,
		  struct diagnostic *why)
{
	if (!file->elf || elf_kind(file->elf) != ELF_K_ELF)
		return diagnostic__fail(why, -ENOEXEC, "%s is not an ELF file", place->name);
	if (place->function)
		return locate_function(file, place, offset, why);
	*offset = place->offset;
	return locate_offset(file, place, why);
}

int code__find(const struct code_place *place, __u64 *offset, struct diagnostic *why)
{
	int fd = open(place->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), err;
	struct code_file file = {.fd = fd};
	struct stat status;

	if (fd < 0)
		return diagnostic__fail(why, -errno, "cannot open %s: %s", place->name,
					strerror(errno));
	if (fstat(fd, &status) || !S_ISREG(status.st_mode)) {
		close(fd);
		return diagnostic__fail(why, -EINVAL, "%s is not a regular file", place->name);
	}
	file.size = (__u64)status.st_size;
	elf_version(EV_CURRENT);
	/* Read, not mapped: a mapping would show us the breakpoints of other uprobes. */
	file.elf = elf_begin(fd, ELF_C_READ, NULL);
	err = locate(&file, place, offset, why);
	elf_end(file.elf);
	close(fd);
	return err;
}
