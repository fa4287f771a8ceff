/*
 * What this kernel offers, found out by trying. 0, or -errno (-EOPNOTSUPP for what it does not
 * have) with the reason in words: the same that attaching and loading use.
 */
#ifndef CORE_FEATURE_H
#define CORE_FEATURE_H

#include <linux/types.h>

#include "core/diagnostic.h"

/* "kprobe" or "uprobe": the kernel's dynamic event sources. */
int feature__event_source(const char *source, struct diagnostic *why);

/* Whether the kernel takes programs of an attach type's kind ("xdp", "tc", "fentry" ...). */
int feature__program(const char *kind, struct diagnostic *why);

/* A bpf_link of the kind: "xdp", "tcx", "perf_event", "raw_tracepoint", "fentry", "fexit",
 * "kprobe_multi" or "uprobe_multi". */
int feature__link(const char *kind, struct diagnostic *why);

/* The kernel's own types. */
int feature__btf(struct diagnostic *why);

#endif
