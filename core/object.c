#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "core/map.h"
#include "core/object_state.h"

/* Map names begin with the object's: neither a path nor an ending helps there. */
static void libbpf_name(const char *name, char *short_name, size_t size)
{
	const char *slash = strrchr(name, '/');

	snprintf(short_name, size, "%s", slash ? slash + 1 : name);
	short_name[strcspn(short_name, ".")] = '\0';
	if (!*short_name)
		snprintf(short_name, size, "object");
}

int object__parse(const struct object *self, struct bpf_object **parsed, struct diagnostic *why)
{
	char name[64];
	struct bpf_map *map;
	LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = name);

	libbpf_name(self->name, name, sizeof(name));
	diagnostic__listen(why);
	*parsed = bpf_object__open_mem(self->image.bytes, self->image.size, &options);
	diagnostic__silence(why);
	if (!*parsed)
		return diagnostic__fail(why, -errno, "libbpf cannot read %s", self->name);

	/* PIN_BY_NAME would share maps through /sys/fs/bpf behind everybody's back */
	bpf_object__for_each_map (map, *parsed)
		bpf_map__set_pin_path(map, NULL);
	return 0;
}

void object__find_slots(struct object *self)
{
	struct bpf_program *program;
	struct bpf_map *map;
	size_t place = 0;

	bpf_object__for_each_program (program, self->libbpf)
		self->programs[place++].program = program;
	place = 0;
	bpf_object__for_each_map (map, self->libbpf)
		self->maps[place++].map = map;
}

static int make_slots(struct object *self)
{
	struct bpf_program *program;
	struct bpf_map *map;

	bpf_object__for_each_program (program, self->libbpf)
		self->program_cnt++;
	bpf_object__for_each_map (map, self->libbpf)
		self->map_cnt++;
	self->programs = calloc(self->program_cnt + 1, sizeof(*self->programs));
	self->maps = calloc(self->map_cnt + 1, sizeof(*self->maps));
	if (!self->programs || !self->maps) {
		self->program_cnt = self->map_cnt = 0;
		return -ENOMEM;
	}
	for (size_t i = 0; i < self->program_cnt; i++)
		self->programs[i].target_fd = -1;
	for (size_t i = 0; i < self->map_cnt; i++)
		self->maps[i].reused_fd = -1;
	object__find_slots(self);
	return 0;
}

int object__open(struct object **object, struct image *image, const char *name,
		 struct diagnostic *why)
{
	struct object *self = calloc(1, sizeof(*self));
	int err = -ENOMEM;

	if (!self) {
		image__free(image);
		return err;
	}
	self->image = *image;
	*image = (struct image){};
	self->name = strdup(name);
	if (self->name)
		err = section_handlers__register();
	if (!err)
		err = image__check(&self->image, name, why);
	if (!err)
		err = symbols__read(&self->symbols, &self->image);
	if (err == -ENOEXEC && !why->message[0])
		diagnostic__fail(why, err, "%s is damaged in its symbols or types", name);
	if (!err)
		err = object__parse(self, &self->libbpf, why);
	if (!err)
		err = make_slots(self);
	if (err)
		object__close(self);
	else
		*object = self;
	return err;
}

void object__forget_load(struct object *self)
{
	for (size_t i = 0; i < self->program_cnt; i++) {
		prepared_program__free(self->programs[i].prepared);
		self->programs[i].prepared = NULL;
		free(self->programs[i].log);
		self->programs[i].log = NULL;
	}
}

void object__close(struct object *self)
{
	if (!self)
		return;
	bpf_object__close(self->libbpf);
	object__forget_load(self);
	for (size_t i = 0; i < self->program_cnt; i++) {
		free(self->programs[i].target);
		if (self->programs[i].target_fd >= 0)
			close(self->programs[i].target_fd);
	}
	for (size_t i = 0; i < self->map_cnt; i++)
		if (self->maps[i].reused_fd >= 0)
			close(self->maps[i].reused_fd);
	free(self->programs);
	free(self->maps);
	symbols__free(&self->symbols);
	image__free(&self->image);
	free(self->name);
	free(self);
}

size_t object__program_count(const struct object *self)
{
	return self->program_cnt;
}

void object__program(const struct object *self, size_t place, struct object_program *facts)
{
	struct bpf_program *program = self->programs[place].program;

	*facts = (struct object_program){
	    .name = bpf_program__name(program),
	    .section = bpf_program__section_name(program),
	    .type = bpf_program__type(program),
	    .attach_type = bpf_program__expected_attach_type(program),
	    .fd = self->is_loaded ? bpf_program__fd(program) : -1,
	};
}

int object__find_program(const struct object *self, const char *name)
{
	for (size_t i = 0; i < self->program_cnt; i++)
		if (!strcmp(bpf_program__name(self->programs[i].program), name))
			return (int)i;
	return -ENOENT;
}

size_t object__map_count(const struct object *self)
{
	return self->map_cnt;
}

/* libbpf puts the object's name before a data section's; an object's name has no dot here. */
static const char *map_name(const struct bpf_map *map)
{
	const char *name = bpf_map__name(map);
	const char *section = bpf_map__is_internal(map) ? strchr(name, '.') : NULL;

	return section ? section : name;
}

void object__map(const struct object *self, size_t place, struct object_map *facts)
{
	const struct bpf_map *map = self->maps[place].map;

	*facts = (struct object_map){
	    .name = map_name(map),
	    .type = bpf_map__type(map),
	    .key_size = bpf_map__key_size(map),
	    .value_size = bpf_map__value_size(map),
	    .max_entries = bpf_map__max_entries(map),
	    .flags = bpf_map__map_flags(map),
	    .key_type_id = bpf_map__btf_key_type_id(map),
	    .value_type_id = bpf_map__btf_value_type_id(map),
	    .is_data_section = bpf_map__is_internal(map),
	    .fd = self->is_loaded ? bpf_map__fd(map) : -1,
	};
}

const struct symbols *object__symbols(const struct object *self)
{
	return &self->symbols;
}

const void *object__btf(const struct object *self, __u32 *size)
{
	const struct btf *btf = bpf_object__btf(self->libbpf);

	return btf ? btf__raw_data(btf, size) : NULL;
}

static int refuse_when_loaded(const struct object *self, struct diagnostic *why)
{
	if (!self->is_loaded)
		return 0;
	return diagnostic__fail(why, -EBUSY, "%s is loaded already", self->name);
}

static int find_program(const struct object *self, const char *name, struct diagnostic *why)
{
	int place = object__find_program(self, name), err = refuse_when_loaded(self, why);

	if (err)
		return err;
	if (place < 0)
		return diagnostic__fail(why, place, "%s has no program %s", self->name, name);
	return place;
}

int object__choose(struct object *self, const char *name, struct diagnostic *why)
{
	int place = find_program(self, name, why);

	if (place < 0)
		return place;
	if (!self->has_choice) {
		self->has_choice = true;
		for (size_t i = 0; i < self->program_cnt; i++)
			bpf_program__set_autoload(self->programs[i].program, false);
	}
	return bpf_program__set_autoload(self->programs[place].program, true);
}

static const struct kind {
	const char *name;
	enum bpf_prog_type type;
	enum bpf_attach_type attach_type;
} kinds[] = {
    {"xdp", BPF_PROG_TYPE_XDP, BPF_XDP},
    {"tc", BPF_PROG_TYPE_SCHED_CLS, 0},
    {"tracepoint", BPF_PROG_TYPE_TRACEPOINT, 0},
    {"raw_tracepoint", BPF_PROG_TYPE_RAW_TRACEPOINT, 0},
    {"kprobe", BPF_PROG_TYPE_KPROBE, 0},
    {"uprobe", BPF_PROG_TYPE_KPROBE, 0},
    {"fentry", BPF_PROG_TYPE_TRACING, BPF_TRACE_FENTRY},
    {"fexit", BPF_PROG_TYPE_TRACING, BPF_TRACE_FEXIT},
    {"freplace", BPF_PROG_TYPE_EXT, 0},
};

static const struct kind *find_kind(const char *name)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (!strcmp(kinds[i].name, name))
			return &kinds[i];
	return NULL;
}

/* What the section makes of the program, for people. */
static const char *known_as(enum bpf_prog_type type, enum bpf_attach_type attach_type)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (kinds[i].type == type && kinds[i].attach_type == attach_type)
			return kinds[i].name;
	if (type == BPF_PROG_TYPE_XDP)
		return attach_type == BPF_XDP_DEVMAP ? "XDP devmap" : "XDP cpumap";
	return libbpf_bpf_prog_type_str(type) ?: "foreign";
}

/* By its sound: an xdp program, an lsm program, a uprobe program. */
static const char *article(const char *kind_name)
{
	return strchr("aeioxX", *kind_name) || !strcmp(kind_name, "lsm") ? "an" : "a";
}

static bool may_become(struct bpf_program *program, const struct kind *kind)
{
	enum bpf_prog_type type = bpf_program__type(program);
	enum bpf_attach_type attach_type = bpf_program__expected_attach_type(program);

	if (type == BPF_PROG_TYPE_UNSPEC)
		return true;
	if (type == BPF_PROG_TYPE_XDP && !attach_type)
		attach_type = BPF_XDP;
	if (kind->type == BPF_PROG_TYPE_EXT)
		return type == BPF_PROG_TYPE_EXT || type == BPF_PROG_TYPE_SCHED_CLS ||
		       (type == BPF_PROG_TYPE_XDP && attach_type == BPF_XDP);
	if (kind->type == BPF_PROG_TYPE_XDP || kind->type == BPF_PROG_TYPE_TRACING)
		return type == kind->type && attach_type == kind->attach_type;
	return type == kind->type;
}

int object__apply_target(struct program_slot *slot, struct diagnostic *why)
{
	int err;

	if (!slot->target)
		return 0;
	diagnostic__listen(why);
	err = bpf_program__set_attach_target(
	    slot->program, slot->target_fd < 0 ? 0 : slot->target_fd, slot->target);
	diagnostic__silence(why);
	if (!err)
		return 0;
	if (slot->target_fd >= 0)
		return diagnostic__fail(why, err, "the target program has no function %s",
					slot->target);
	return diagnostic__fail(why, err, "the kernel's BTF has no function %s", slot->target);
}

static int set_target(struct program_slot *slot, const char *target, int target_fd,
		      struct diagnostic *why)
{
	free(slot->target);
	slot->target = target ? strdup(target) : NULL;
	if (target && !slot->target)
		return -ENOMEM;
	if (slot->target_fd >= 0)
		close(slot->target_fd);
	slot->target_fd = target_fd < 0 ? -1 : fcntl(target_fd, F_DUPFD_CLOEXEC, 3);
	if (target_fd >= 0 && slot->target_fd < 0)
		return -errno;
	return object__apply_target(slot, why);
}

/*
 * Programs may stand in one program array only if their attach types agree, and an extension that
 * tail-calls into the array has none.
 */
static void clear_xdp_attach_types(struct object *self)
{
	struct bpf_program *program;

	bpf_object__for_each_program (program, self->libbpf) {
		if (bpf_program__type(program) == BPF_PROG_TYPE_XDP &&
		    bpf_program__expected_attach_type(program) == BPF_XDP)
			bpf_program__set_expected_attach_type(program, 0);
	}
}

int object__set_kind(struct object *self, const char *name, const char *kind_name,
		     const char *target, int target_fd, struct diagnostic *why)
{
	const struct kind *kind = find_kind(kind_name);
	int place = find_program(self, name, why);
	struct bpf_program *program;
	const char *is;

	if (place < 0)
		return place;
	if (!kind)
		return diagnostic__fail(why, -EINVAL, "there is no kind of program %s", kind_name);
	program = self->programs[place].program;
	is = known_as(bpf_program__type(program), bpf_program__expected_attach_type(program));
	if (!may_become(program, kind))
		return diagnostic__fail(why, -EINVAL, "%s is %s %s program (section %s), not %s",
					name, article(is), is, bpf_program__section_name(program),
					kind_name);
	if (kind->type == BPF_PROG_TYPE_EXT) { /* fragments are the target's affair */
		bpf_program__set_flags(program, bpf_program__flags(program) & ~BPF_F_XDP_HAS_FRAGS);
		if (bpf_program__type(program) != BPF_PROG_TYPE_EXT)
			self->programs[place].extended_type = bpf_program__type(program);
		clear_xdp_attach_types(self);
	}
	bpf_program__set_type(program, kind->type);
	bpf_program__set_expected_attach_type(program, kind->attach_type);
	return set_target(&self->programs[place], target, target_fd, why);
}

int object__set_global(struct object *self, const char *name, const void *bytes, size_t size,
		       struct diagnostic *why)
{
	const struct global *global = symbols__global(&self->symbols, name);
	int err = refuse_when_loaded(self, why);
	struct bpf_map *map;
	size_t whole;
	char *value;

	if (err)
		return err;
	if (!global)
		return diagnostic__fail(why, -ENOENT, "%s has no global %s", self->name, name);
	if (size != global->size)
		return diagnostic__fail(why, -EINVAL, "global %s has %zu bytes, not %zu", name,
					global->size, size);
	map = bpf_object__find_map_by_name(self->libbpf, global->section);
	value = map ? (char *)bpf_map__initial_value(map, &whole) : NULL;
	if (!value || global->offset > whole || size > whole - global->offset)
		return diagnostic__fail(why, -ENOTSUP,
					"global %s lies in section %s, which has no map", name,
					global->section);
	memcpy(value + global->offset, bytes, size);
	return 0;
}

int object__reuse_map(struct object *self, const char *name, int fd, struct diagnostic *why)
{
	int err = refuse_when_loaded(self, why);
	struct map_slot *slot = NULL;
	struct object_map facts;

	for (size_t i = 0; !err && !slot && i < self->map_cnt; i++)
		if (!strcmp(map_name(self->maps[i].map), name)) {
			slot = &self->maps[i];
			object__map(self, i, &facts);
		}
	if (err)
		return err;
	if (!slot)
		return diagnostic__fail(why, -ENOENT, "%s has no map %s", self->name, name);
	err = map__compare_shape(fd,
				 &(struct map_shape){facts.type, facts.key_size, facts.value_size,
						     facts.max_entries, facts.flags},
				 name, why);
	if (err)
		return err;
	if (slot->reused_fd >= 0)
		close(slot->reused_fd);
	slot->reused_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return slot->reused_fd < 0 ? -errno : bpf_map__reuse_fd(slot->map, slot->reused_fd);
}
