/* Where in an executable or library there is code that a uprobe can stand on. */
#ifndef CORE_CODE_H
#define CORE_CODE_H

#include <linux/types.h>

#include "core/diagnostic.h"

struct code_place {
	const char *path; /* as the calling process sees it */
	const char *name; /* what messages call the file */
	const char
	    *function; /* by either symbol table; NULL: offset counts from the file's start */
	__u64 offset;
};

/*
 * The place as an offset into the file, which is what uprobes take. Only code will do: the kernel
 * would write its breakpoint into constants just as well, and into the ELF header. In functions
 * that have a symbol only the beginning of an instruction will (-EILSEQ), as far as the machine's
 * instructions are known. The message says what is wrong in every case; -ENOENT: no such function.
 */
int code__find(const struct code_place *place, __u64 *offset, struct diagnostic *why);

#endif
