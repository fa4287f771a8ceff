#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <linux/bpf.h>

#include "core/image.h"

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define MACHINE_DATA  ELFDATA2LSB
#define MACHINE_ORDER "little"
#define OTHER_ORDER   "big"
#else
#define MACHINE_DATA  ELFDATA2MSB
#define MACHINE_ORDER "big"
#define OTHER_ORDER   "little"
#endif

static int check_size(size_t size, size_t limit, const char *name, struct diagnostic *why)
{
	if (!size)
		return diagnostic__fail(why, -ENOEXEC, "%s is empty", name);
	if (size > limit)
		return diagnostic__fail(why, -EFBIG, "%s has %zu bytes, more than the limit of %zu",
					name, size, limit);
	return 0;
}

static const char *kind_of_file(mode_t mode)
{
	if (S_ISDIR(mode))
		return "a directory";
	if (S_ISFIFO(mode))
		return "a FIFO";
	if (S_ISSOCK(mode))
		return "a socket";
	if (S_ISCHR(mode) || S_ISBLK(mode))
		return "a device";
	return "a special file";
}

static int read_all(struct image *image, int fd, const char *name, struct diagnostic *why)
{
	size_t done = 0;

	while (done < image->size) {
		ssize_t part = pread(fd, (char *)image->bytes + done, image->size - done, done);

		if (part < 0 && errno == EINTR)
			continue;
		if (part < 0)
			return diagnostic__fail(why, -errno, "cannot read %s: %s", name,
						strerror(errno));
		if (!part)
			return diagnostic__fail(why, -EIO, "%s shrank while it was read", name);
		done += (size_t)part;
	}
	return 0;
}

int image__read_fd(struct image *image, int fd, const char *name, size_t limit,
		   struct diagnostic *why)
{
	struct stat status;
	int err;

	if (fstat(fd, &status))
		return diagnostic__fail(why, -errno, "cannot read %s: %s", name, strerror(errno));
	if (!S_ISREG(status.st_mode))
		return diagnostic__fail(why, S_ISDIR(status.st_mode) ? -EISDIR : -EINVAL,
					"%s is %s, not a file", name, kind_of_file(status.st_mode));
	err = check_size((size_t)status.st_size, limit, name, why);
	if (err)
		return err;

	image->size = (size_t)status.st_size;
	image->bytes = calloc(1, image->size + 1);
	if (!image->bytes)
		return -ENOMEM;
	err = read_all(image, fd, name, why);
	if (err)
		image__free(image);
	return err;
}

int image__read_path(struct image *image, const char *path, size_t limit, struct diagnostic *why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), err;

	if (fd < 0)
		return diagnostic__fail(why, -errno, "cannot open %s: %s", path, strerror(errno));
	err = image__read_fd(image, fd, path, limit, why);
	close(fd);
	return err;
}

int image__copy(struct image *image, const void *bytes, size_t size, const char *name, size_t limit,
		struct diagnostic *why)
{
	int err = check_size(size, limit, name, why);

	if (err)
		return err;
	image->bytes = malloc(size + 1);
	if (!image->bytes)
		return -ENOMEM;
	memcpy(image->bytes, bytes, size);
	((char *)image->bytes)[size] = '\0';
	image->size = size;
	return 0;
}

void image__free(struct image *image)
{
	free(image->bytes);
	*image = (struct image){};
}

static int check_header(const struct image *image, const char *name, struct diagnostic *why)
{
	const Elf64_Ehdr *header = image->bytes;

	if (image->size < SELFMAG || memcmp(image->bytes, ELFMAG, SELFMAG))
		return diagnostic__fail(why, -ENOEXEC, "%s is not an ELF file", name);
	if (image->size < sizeof(*header))
		return diagnostic__fail(why, -ENOEXEC, "%s is truncated: its ELF header ends early",
					name);
	if (header->e_ident[EI_CLASS] != ELFCLASS64)
		return diagnostic__fail(why, -ENOEXEC,
					"%s is a 32-bit ELF file; eBPF objects have 64 bits", name);
	if (header->e_ident[EI_DATA] != MACHINE_DATA)
		return diagnostic__fail(why, -ENOEXEC,
					"%s is " OTHER_ORDER
					"-endian and this machine is " MACHINE_ORDER "-endian",
					name);
	/* clang before 3.9 left the machine empty */
	if (header->e_machine != EM_BPF && header->e_machine != EM_NONE)
		return diagnostic__fail(why, -ENOEXEC,
					"%s is an ELF file for another machine (%u), not for eBPF",
					name, header->e_machine);
	if (header->e_type != ET_REL)
		return diagnostic__fail(why, -ENOEXEC, "%s is not a relocatable eBPF object", name);
	return 0;
}

static bool is_outside(const struct image *image, size_t offset, size_t size)
{
	return offset > image->size || size > image->size - offset;
}

static const Elf64_Shdr *section_at(const struct image *image, size_t place)
{
	const Elf64_Ehdr *header = image->bytes;

	return (const void *)((const char *)image->bytes + header->e_shoff +
			      place * sizeof(Elf64_Shdr));
}

static bool is_string_table(const struct image *image, const Elf64_Shdr *section)
{
	const char *bytes = image->bytes;

	/* of another type it may lie anywhere */
	return section->sh_type == SHT_STRTAB && section->sh_size &&
	       !bytes[section->sh_offset + section->sh_size - 1];
}

/* libbpf takes it for granted that sections are named and refer to one another. */
static bool is_sound(const struct image *image, const Elf64_Shdr *section)
{
	const Elf64_Ehdr *header = image->bytes;
	const Elf64_Shdr *names = section_at(image, header->e_shstrndx);

	if (section->sh_name >= names->sh_size || section->sh_link >= header->e_shnum)
		return false;
	switch (section->sh_type) {
	case SHT_SYMTAB:
		return section->sh_entsize == sizeof(Elf64_Sym) &&
		       !(section->sh_offset % _Alignof(Elf64_Sym)) &&
		       is_string_table(image, section_at(image, section->sh_link));
	case SHT_REL:
		return section->sh_entsize == sizeof(Elf64_Rel) &&
		       !(section->sh_offset % _Alignof(Elf64_Rel)) &&
		       section->sh_info < header->e_shnum &&
		       section_at(image, section->sh_link)->sh_type == SHT_SYMTAB;
	case SHT_PROGBITS:
		return !(section->sh_flags & SHF_EXECINSTR) ||
		       !(section->sh_offset % _Alignof(struct bpf_insn));
	default:
		return true;
	}
}

int image__check(const struct image *image, const char *name, struct diagnostic *why)
{
	const Elf64_Ehdr *header = image->bytes;
	int err = check_header(image, name, why);

	if (err)
		return err;
	if (!header->e_shnum || header->e_shentsize != sizeof(Elf64_Shdr) ||
	    header->e_shoff % _Alignof(Elf64_Shdr))
		return diagnostic__fail(why, -ENOEXEC, "%s has no usable section table", name);
	if (is_outside(image, header->e_shoff, (size_t)header->e_shnum * sizeof(Elf64_Shdr)))
		return diagnostic__fail(
		    why, -ENOEXEC, "%s is truncated: its section table lies beyond its end", name);

	for (size_t i = 0; i < header->e_shnum; i++) {
		const Elf64_Shdr *section = section_at(image, i);

		if (section->sh_type == SHT_NULL || section->sh_type == SHT_NOBITS)
			continue;
		if (is_outside(image, section->sh_offset, section->sh_size))
			return diagnostic__fail(why, -ENOEXEC,
						"%s is truncated: section %zu lies beyond its end",
						name, i);
	}
	if (header->e_shstrndx >= header->e_shnum ||
	    !is_string_table(image, section_at(image, header->e_shstrndx)))
		return diagnostic__fail(why, -ENOEXEC, "%s is damaged: it names no sections", name);
	for (size_t i = 1; i < header->e_shnum; i++)
		if (!is_sound(image, section_at(image, i)))
			return diagnostic__fail(why, -ENOEXEC, "%s is damaged in section %zu", name,
						i);
	return 0;
}
