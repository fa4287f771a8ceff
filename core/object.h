/*
 * An eBPF object from open to loaded. Everything is set between the two; a failed load leaves the
 * object as it was before, so that it can be changed and loaded again.
 */
#ifndef CORE_OBJECT_H
#define CORE_OBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>

#include "core/diagnostic.h"
#include "core/image.h"
#include "core/prepared.h"
#include "core/symbol.h"

struct object;

struct object_program {
	const char *name, *section;
	__u32 type, attach_type; /* enum bpf_prog_type: 0 while nobody has said */
	int fd;			 /* the object's; -1 unless loaded */
};

struct object_map {
	const char *name; /* a data section goes by the section's name, as ".bss" */
	__u32 type, key_size, value_size, max_entries, flags;
	__u32 key_type_id, value_type_id; /* in the object's BTF; 0 without */
	bool is_data_section;
	int fd; /* the object's; -1 unless loaded */
};

/* Takes the image over, on failure too. `name` stands in messages and, up to its first dot, in map
 * names. */
int object__open(struct object **object, struct image *image, const char *name,
		 struct diagnostic *why);
void object__close(struct object *object);

size_t object__program_count(const struct object *object);
void object__program(const struct object *object, size_t place, struct object_program *facts);
/* The program's place, or -ENOENT. */
int object__find_program(const struct object *object, const char *name);

size_t object__map_count(const struct object *object);
void object__map(const struct object *object, size_t place, struct object_map *facts);

const struct symbols *object__symbols(const struct object *object);
/* The object's BTF; NULL without. */
const void *object__btf(const struct object *object, __u32 *size);

/*
 * Only chosen programs are loaded, and with them those that the object itself puts into program
 * arrays. Before the first choice all are.
 */
int object__choose(struct object *object, const char *name, struct diagnostic *why);

/*
 * Makes the program one of `kind`, whatever its section is called: xdp, tc, tracepoint,
 * raw_tracepoint, kprobe, uprobe, fentry, fexit, freplace. -EINVAL where libbpf knows the section
 * as another type. fentry and fexit may name the traced kernel function; freplace needs the target
 * program's descriptor (duplicated) and function.
 */
int object__set_kind(struct object *object, const char *name, const char *kind, const char *target,
		     int target_fd, struct diagnostic *why);

/* By ELF symbol, with or without BTF. The size must be the variable's. */
int object__set_global(struct object *object, const char *name, const void *bytes, size_t size,
		       struct diagnostic *why);

/* The shapes must be equal; the descriptor is duplicated. */
int object__reuse_map(struct object *object, const char *name, int fd, struct diagnostic *why);

/* On failure the diagnostic has the verifier's log, or libbpf's words where no verifier spoke. */
int object__load(struct object *object, unsigned int verbosity, struct diagnostic *why);

/* After load. NULL: not loaded, or neither XDP nor TC. Lives as long as the object. */
const struct prepared_program *object__prepared(const struct object *object, size_t place);
/* The verifier's log of a loaded program; NULL before. At verbosity 0 only its statistics. */
const char *object__log(const struct object *object, size_t place);

#endif
