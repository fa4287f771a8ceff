/*
 * Pins and the bpffs they live in. The last component of a path is never followed, so that a link
 * put there by somebody else leads nowhere. All return 0 or -errno.
 */
#ifndef CORE_PIN_H
#define CORE_PIN_H

#include <stdbool.h>
#include <linux/types.h>
#include <sys/types.h>

#include "core/fdinfo.h"

int pin__add(int fd, const char *path);
/* A descriptor, or -errno; -EMEDIUMTYPE where another kind of object is pinned. flags: 0, or
 * BPF_F_RDONLY of a map. */
int pin__open(const char *path, enum bpf_kind kind, __u32 flags);

/* Nothing happens where one is mounted already. `mode` is the root's. */
int bpffs__mount(const char *directory, mode_t mode);
/* At once for everybody who looks, later for who is still inside. */
int bpffs__unmount(const char *directory);
/* 1 if the directory is on a bpffs, 0 if not, -errno. */
int bpffs__contains(const char *directory);

int pin__make_directory(const char *path, mode_t mode);
/* Never over something that is there already. */
int pin__rename(const char *from, const char *to);
int pin__remove(const char *path);
/*
 * Files and directories below `path`, and itself; symbolic links are removed, not followed, and
 * other file systems not entered (-EXDEV). Nothing there is fine.
 */
int pin__remove_tree(const char *path);

#endif
