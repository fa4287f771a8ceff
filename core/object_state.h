/* What core/object.c and core/load.c share and nobody else sees. */
#ifndef CORE_OBJECT_STATE_H
#define CORE_OBJECT_STATE_H

#include <bpf/libbpf.h>

#include "core/object.h"

struct program_slot {
	struct bpf_program *program; /* libbpf's */
	struct prepared_program *prepared;
	char *log;
	char *target;			  /* freplace, fentry, fexit */
	int target_fd;			  /* freplace; else -1 */
	enum bpf_prog_type extended_type; /* freplace: the target's type, which it had before */
};

struct map_slot {
	struct bpf_map *map;
	int reused_fd; /* -1: the object makes its own */
};

struct object {
	struct image image;
	char *name;
	struct symbols symbols;
	struct bpf_object *libbpf;
	struct program_slot *programs;
	size_t program_cnt;
	struct map_slot *maps;
	size_t map_cnt;
	bool has_choice, is_loaded;
};

int object__parse(const struct object *object, struct bpf_object **parsed, struct diagnostic *why);

/* Programs and maps come in the same order whenever the same image is parsed. */
void object__find_slots(struct object *object);
void object__forget_load(struct object *object);
int object__apply_target(struct program_slot *slot, struct diagnostic *why);

#endif
