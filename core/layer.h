/*
 * Layers of images: tar archives, plain or compressed, out of which eBPF objects are taken. Nothing
 * is ever written where the archive says. By libarchive, which the first call opens and which is
 * not linked: it brings 40 MB of libraries with it.
 */
#ifndef CORE_LAYER_H
#define CORE_LAYER_H

#include <stddef.h>
#include <stdint.h>

struct layer_limits {
	uint64_t object_size; /* most bytes of one object */
	uint64_t unpacked;    /* most bytes that all entries together may have, unpacked */
	uint32_t entries;
	uint32_t objects;
};

enum layer_fault {
	LAYER_SOUND,
	LAYER_BROKEN,	    /* no tar, or none to its end; `words` has libarchive's */
	LAYER_NESTED,	    /* compressed more than once */
	LAYER_NAMELESS,	    /* an entry whose name cannot be read */
	LAYER_ABSOLUTE,	    /* an entry with an absolute path */
	LAYER_ABOVE,	    /* one with `..` in its path */
	LAYER_LINK,	    /* a symbolic or hard link */
	LAYER_DEVICE,	    /* a device, FIFO or socket */
	LAYER_MANY,	    /* more entries than the limit */
	LAYER_LARGE,	    /* more bytes than `unpacked` */
	LAYER_LARGE_OBJECT, /* an object with more bytes than `object_size` */
	LAYER_MANY_OBJECTS,
};

struct layer_complaint {
	enum layer_fault fault;
	char entry[256]; /* its path, cut */
	char words[256];
};

struct layer_reader;

/*
 * Begins to read a layer from the descriptor's position; the descriptor stays the caller's and must
 * outlive the reader. -ENOSYS without libarchive, -EBADMSG for what is no such archive (the reader
 * exists then, for its complaint). The reader is to be closed whenever *out is set.
 */
int layer_open(struct layer_reader **out, int fd, const struct layer_limits *limits);

/*
 * The next eBPF object: ELF of the machine BPF, in sealed memory. Returns 1 and fills in all three,
 * 0 at the end, -EBADMSG with a complaint, else -errno. The path is valid until the next call.
 */
int layer_next_object(struct layer_reader *reader, int *fd, const char **path, uint64_t *size);

const struct layer_complaint *layer_complaint(const struct layer_reader *reader);

void layer_close(struct layer_reader *reader);

/* Gzips all of one file, from its position, into another, the same bytes at any time. */
int layer_compress(int from, int to);

#endif
