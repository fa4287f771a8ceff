/* The kernel's functions, by /proc/kallsyms. */
#ifndef CORE_KALLSYMS_H
#define CORE_KALLSYMS_H

#include <linux/types.h>

struct kernel_function {
	unsigned int count; /* how many have the name */
	__u64 size;	    /* up to what follows the first; 0 where the kernel hides addresses */
};

/* 0 or -errno; a name that nothing has is no error but a count of 0. */
int kallsyms__function(const char *name, struct kernel_function *function);

#endif
