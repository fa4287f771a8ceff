/* An object file as bytes in memory: read once, judged before libbpf sees it. */
#ifndef CORE_IMAGE_H
#define CORE_IMAGE_H

#include <stddef.h>

#include "core/diagnostic.h"

struct image {
	void *bytes; /* ends with a NUL that size does not count */
	size_t size;
};

/*
 * Reads the whole of a regular file, from its start, leaving the descriptor's offset alone.
 * Directories, FIFOs, devices and files above `limit` bytes are refused by name. Never blocks on a
 * FIFO.
 */
int image__read_path(struct image *image, const char *path, size_t limit, struct diagnostic *why);
int image__read_fd(struct image *image, int fd, const char *name, size_t limit,
		   struct diagnostic *why);
int image__copy(struct image *image, const void *bytes, size_t size, const char *name, size_t limit,
		struct diagnostic *why);
void image__free(struct image *image);

/*
 * Is this a whole eBPF object for this machine? Every section lies inside the file afterwards, so
 * that nobody behind need ask again.
 */
int image__check(const struct image *image, const char *name, struct diagnostic *why);

#endif
