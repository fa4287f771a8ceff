/* Pins and the bpffs they live in. The last component of a path is never followed. */
#ifndef CORE_PIN_H
#define CORE_PIN_H

#include <stdbool.h>

#include "core/fdinfo.h"

int pin__add(int fd, const char *path);
/* A descriptor, or -errno; -EMEDIUMTYPE where another kind of object is pinned. */
int pin__open(const char *path, enum bpf_kind kind);

#endif
