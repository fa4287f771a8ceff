/* The kernel's tracing files, whether or not somebody mounted them. */
#ifndef CORE_TRACEFS_H
#define CORE_TRACEFS_H

#include <linux/types.h>

#include "core/diagnostic.h"

/* The number that perf events name the tracepoint by. */
int tracefs__tracepoint(const char *category, const char *name, __u64 *id, struct diagnostic *why);

#endif
