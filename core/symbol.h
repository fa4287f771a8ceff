/* ELF symbols: what libbpf does not tell of an object. */
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

#endif
