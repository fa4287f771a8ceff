/* Which of the kernel's helpers a program calls, told by its instructions before it is loaded. */
#ifndef CORE_HELPER_H
#define CORE_HELPER_H

#include <stdbool.h>

#include "core/object.h"

#define HELPER_COUNT 1024 /* more than any kernel has: what lies beyond no kernel loads */

struct helper_set {
	bool has[HELPER_COUNT];
};

/*
 * Those that the program or a subprogram that it reaches calls, run or not; never fewer than the
 * kernel will see. 0 or -errno.
 */
int object__helpers(const struct object *object, size_t place, struct helper_set *helpers);

/* "bpf_map_lookup_elem"; NULL for one that these headers do not know. */
const char *helper__name(unsigned int id);

#endif
