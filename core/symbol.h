/* ELF symbols: what libbpf does not tell of an object, and where a traced function is. */
#ifndef CORE_SYMBOL_H
#define CORE_SYMBOL_H

#include <stddef.h>
#include <linux/types.h>

#include "core/image.h"

struct global { /* a variable in .data*, .rodata* or .bss */
	char *name, *section;
	size_t offset, size;
};

struct symbols {
	struct global *globals;
	size_t global_cnt;
	char **slotted; /* programs that a map definition holds (static prog_array slots) */
	size_t slotted_cnt;
	char license[64]; /* empty: none */
};

/* `image` has passed image__check. On failure nothing is left to free. */
int symbols__read(struct symbols *symbols, const struct image *image);
void symbols__free(struct symbols *symbols);

const struct global *symbols__global(const struct symbols *symbols, const char *name);

/*
 * Where function `name` begins in the executable or library `path`, as an offset into the file,
 * which is what uprobes take. -ENOENT: no such function; the message says what is wrong in every
 * case.
 */
int symbol__file_offset(const char *path, const char *name, __u64 *offset, struct diagnostic *why);

#endif
