#include <elf.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <archive.h>
#include <archive_entry.h>

#include "core/layer.h"
#include "core/shared_library.h"
#include "core/system.h"

#define BLOCK		65536
#define MACHINE_BPF	247
#define READ_TO_MACHINE (offsetof(Elf64_Ehdr, e_machine) + sizeof(Elf64_Half))
#define FILTERS_AT_MOST 2 /* one, and the descriptor itself */
#define NAME_OF_MEMORY	"bpfd-object"

/* Its functions, typed by its own headers. */
#define FUNCTIONS(X)                                                                               \
	X(archive_read_new)                                                                        \
	X(archive_read_free)                                                                       \
	X(archive_read_support_filter_gzip)                                                        \
	X(archive_read_support_filter_zstd)                                                        \
	X(archive_read_support_format_tar)                                                         \
	X(archive_read_open_fd)                                                                    \
	X(archive_read_next_header)                                                                \
	X(archive_read_data)                                                                       \
	X(archive_filter_count)                                                                    \
	X(archive_error_string)                                                                    \
	X(archive_entry_pathname)                                                                  \
	X(archive_entry_pathname_utf8)                                                             \
	X(archive_entry_filetype)                                                                  \
	X(archive_entry_size)                                                                      \
	X(archive_entry_hardlink)                                                                  \
	X(archive_write_new)                                                                       \
	X(archive_write_free)                                                                      \
	X(archive_write_add_filter_gzip)                                                           \
	X(archive_write_set_filter_option)                                                         \
	X(archive_write_set_format_raw)                                                            \
	X(archive_write_open_fd)                                                                   \
	X(archive_write_header)                                                                    \
	X(archive_write_data)                                                                      \
	X(archive_write_close)                                                                     \
	X(archive_entry_new)                                                                       \
	X(archive_entry_free)                                                                      \
	X(archive_entry_set_filetype)

static struct {
	FUNCTIONS(LIBRARY_MEMBER)
} library;

struct layer_reader {
	struct archive *archive;
	struct layer_limits limits;
	struct layer_complaint complaint;
	uint64_t unpacked;
	uint64_t left; /* of the entry, as its header tells */
	uint32_t entries, objects;
	bool ended;
	char path[PATH_MAX];
	char block[BLOCK];
};

static int open_library(void)
{
	static const char *const names[] = {"libarchive.so.13", NULL};
	static const char *const functions[] = {FUNCTIONS(LIBRARY_NAME) NULL};
	static bool opened;
	int err = opened ? 0 : shared_library_open(names, functions, &library);

	opened = !err;
	return err;
}

static int refuse(struct layer_reader *reader, enum layer_fault fault)
{
	struct layer_complaint *complaint = &reader->complaint;
	const char *words = library.archive_error_string(reader->archive);

	complaint->fault = fault;
	snprintf(complaint->entry, sizeof(complaint->entry), "%.255s", reader->path);
	snprintf(complaint->words, sizeof(complaint->words), "%s", words ? words : "");
	return -EBADMSG;
}

int layer_open(struct layer_reader **out, int fd, const struct layer_limits *limits)
{
	struct layer_reader *reader;
	int err = open_library();

	*out = NULL;
	if (err)
		return err;
	reader = calloc(1, sizeof(*reader));
	if (!reader)
		return -ENOMEM;
	reader->limits = *limits;
	reader->archive = library.archive_read_new();
	if (!reader->archive) {
		free(reader);
		return -ENOMEM;
	}
	*out = reader;
	if (library.archive_read_support_filter_gzip(reader->archive) < ARCHIVE_WARN ||
	    library.archive_read_support_filter_zstd(reader->archive) < ARCHIVE_WARN ||
	    library.archive_read_support_format_tar(reader->archive) != ARCHIVE_OK ||
	    library.archive_read_open_fd(reader->archive, fd, BLOCK) != ARCHIVE_OK)
		return refuse(reader, LAYER_BROKEN);
	/* within another compression, a few bytes can keep us busy without unpacking to anything */
	if (library.archive_filter_count(reader->archive) > FILTERS_AT_MOST)
		return refuse(reader, LAYER_NESTED);
	return 0;
}

static bool leads_above(const char *path)
{
	while (*path) {
		size_t length = strcspn(path, "/");

		if (length == 2 && !strncmp(path, "..", 2))
			return true;
		path += length;
		path += strspn(path, "/");
	}
	return false;
}

static enum layer_fault judge(struct layer_reader *reader, struct archive_entry *entry)
{
	const char *path = library.archive_entry_pathname(entry);
	unsigned int type = library.archive_entry_filetype(entry);

	if (!path)
		path = library.archive_entry_pathname_utf8(entry);
	snprintf(reader->path, sizeof(reader->path), "%s", path ? path : "");
	if (++reader->entries > reader->limits.entries)
		return LAYER_MANY;
	if (!path || !*path || strlen(path) >= sizeof(reader->path))
		return LAYER_NAMELESS;
	if (*path == '/')
		return LAYER_ABSOLUTE;
	if (leads_above(path))
		return LAYER_ABOVE;
	if (type == AE_IFLNK || library.archive_entry_hardlink(entry))
		return LAYER_LINK;
	return type == AE_IFREG || type == AE_IFDIR ? LAYER_SOUND : LAYER_DEVICE;
}

/*
 * Some writers (umoci insert) leave out what should follow the last entry: the rest of its block,
 * and two of zeros. All of its bytes are there.
 */
static bool ends_early(const struct layer_reader *reader)
{
	static const char truncated[] = "Truncated input file";
	const char *words = library.archive_error_string(reader->archive);

	return !reader->left && words && !strncmp(words, truncated, sizeof(truncated) - 1);
}

/* The next bytes of the entry into the block; returns their number, 0 at its end. Holes are zeros
 * and count like them. */
static ssize_t read_block(struct layer_reader *reader, size_t size)
{
	ssize_t count;

	if (reader->left && reader->left < size)
		size =
		    reader->left; /* what follows is asked for by itself, for it may be missing */
	count = library.archive_read_data(reader->archive, reader->block, size);
	if (count < 0 && !ends_early(reader))
		return refuse(reader, LAYER_BROKEN);
	if (count < 0) {
		reader->ended = true;
		return 0;
	}
	reader->left -= (uint64_t)count < reader->left ? (uint64_t)count : reader->left;
	reader->unpacked += (uint64_t)count;
	if (reader->unpacked > reader->limits.unpacked)
		return refuse(reader, LAYER_LARGE);
	return count;
}

static bool is_object(const char *bytes, size_t size)
{
	Elf64_Half machine;

	if (size < READ_TO_MACHINE || memcmp(bytes, ELFMAG, SELFMAG))
		return false;
	memcpy(&machine, bytes + offsetof(Elf64_Ehdr, e_machine), sizeof(machine));
	return machine == MACHINE_BPF || machine == __builtin_bswap16(MACHINE_BPF);
}

/* Reads on to the entry's end, into memory where fd is not -1. */
static int read_entry(struct layer_reader *reader, int fd, size_t have, uint64_t *size)
{
	ssize_t count = (ssize_t)have;
	int err;

	*size = 0;
	for (; count > 0; count = read_block(reader, BLOCK)) {
		*size += (uint64_t)count;
		if (fd < 0)
			continue;
		if (*size > reader->limits.object_size)
			return refuse(reader, LAYER_LARGE_OBJECT);
		err = system_write(fd, reader->block, (size_t)count);
		if (err)
			return err;
	}
	return (int)count;
}

static int take_object(struct layer_reader *reader, int *fd, size_t have, uint64_t *size)
{
	int memory, err;

	if (++reader->objects > reader->limits.objects)
		return refuse(reader, LAYER_MANY_OBJECTS);
	memory = memfd_create(NAME_OF_MEMORY, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (memory < 0)
		return -errno;
	err = read_entry(reader, memory, have, size);
	*fd = system_seal_up(memory, err);
	return *fd < 0 ? *fd : 1;
}

int layer_next_object(struct layer_reader *reader, int *fd, const char **path, uint64_t *size)
{
	struct archive_entry *entry;
	enum layer_fault fault;
	ssize_t count;
	int found;

	while (!reader->ended) {
		*reader->path = '\0';
		found = library.archive_read_next_header(reader->archive, &entry);
		if (found == ARCHIVE_EOF)
			return 0;
		if (found != ARCHIVE_OK && found != ARCHIVE_WARN)
			return refuse(reader, LAYER_BROKEN);
		fault = judge(reader, entry);
		if (fault != LAYER_SOUND)
			return refuse(reader, fault);
		*path = reader->path;
		reader->left = (uint64_t)library.archive_entry_size(entry);
		count = read_block(reader, sizeof(Elf64_Ehdr));
		if (count < 0)
			return (int)count;
		if (is_object(reader->block, (size_t)count))
			return take_object(reader, fd, (size_t)count, size);
		found = read_entry(reader, -1, (size_t)count, size);
		if (found)
			return found;
	}
	return 0;
}

const struct layer_complaint *layer_complaint(const struct layer_reader *reader)
{
	return &reader->complaint;
}

void layer_close(struct layer_reader *reader)
{
	if (!reader)
		return;
	library.archive_read_free(reader->archive);
	free(reader);
}

static int write_all(struct archive *archive, int from)
{
	char block[BLOCK];
	ssize_t count;

	for (;;) {
		count = read(from, block, sizeof(block));
		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			return count ? -errno : 0;
		if (library.archive_write_data(archive, block, (size_t)count) != count)
			return -EIO;
	}
}

int layer_compress(int from, int to)
{
	struct archive *archive = NULL;
	struct archive_entry *entry = NULL;
	int err = open_library();

	if (err)
		return err;
	archive = library.archive_write_new();
	entry = library.archive_entry_new();
	if (!archive || !entry) {
		err = -ENOMEM;
		goto out;
	}
	library.archive_entry_set_filetype(entry, AE_IFREG);
	if (library.archive_write_add_filter_gzip(archive) != ARCHIVE_OK ||
	    library.archive_write_set_filter_option(archive, "gzip", "timestamp", NULL) !=
		ARCHIVE_OK ||
	    library.archive_write_set_format_raw(archive) != ARCHIVE_OK ||
	    library.archive_write_open_fd(archive, to) != ARCHIVE_OK ||
	    library.archive_write_header(archive, entry) != ARCHIVE_OK) {
		err = -EIO;
		goto out;
	}
	err = write_all(archive, from);
	if (!err && library.archive_write_close(archive) != ARCHIVE_OK)
		err = -EIO;
out:
	if (entry)
		library.archive_entry_free(entry);
	if (archive)
		library.archive_write_free(archive);
	return err;
}
