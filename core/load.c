/* Loading: what goes along, how the verifier is heard, and what remains after a refusal. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/libbpf.h>

#include "core/object_state.h"

#define LOG_STATISTICS	4 /* BPF_LOG_STATS: only there does the verifier tell stack depths */
#define STATISTICS_SIZE (16 << 10)
#define VERBOSE_SIZE	(16 << 20)

static int copy_settings(struct object *self, struct bpf_object *fresh, struct diagnostic *why)
{
	struct bpf_object *old = self->libbpf;
	struct bpf_program *program = NULL, *old_program = NULL;
	struct bpf_map *map = NULL, *old_map = NULL;
	int err = 0;

	while ((program = bpf_object__next_program(fresh, program)) &&
	       (old_program = bpf_object__next_program(old, old_program))) {
		bpf_program__set_type(program, bpf_program__type(old_program));
		bpf_program__set_expected_attach_type(
		    program, bpf_program__expected_attach_type(old_program));
		bpf_program__set_flags(program, bpf_program__flags(old_program));
		bpf_program__set_autoload(program, bpf_program__autoload(old_program));
	}
	while ((map = bpf_object__next_map(fresh, map)) &&
	       (old_map = bpf_object__next_map(old, old_map))) {
		size_t size, old_size;
		void *value = (void *)bpf_map__initial_value(map, &size);
		const void *old_value = bpf_map__initial_value(old_map, &old_size);

		if (value && old_value && size == old_size)
			memcpy(value, old_value, size);
	}
	self->libbpf = fresh;
	object__find_slots(self);
	bpf_object__close(old);
	for (size_t i = 0; !err && i < self->program_cnt; i++)
		err = object__apply_target(&self->programs[i], why);
	for (size_t i = 0; !err && i < self->map_cnt; i++)
		if (self->maps[i].reused_fd >= 0)
			err = bpf_map__reuse_fd(self->maps[i].map, self->maps[i].reused_fd);
	return err;
}

/* libbpf loads an object once, come what may: a second attempt is made on a second parse. */
static int renew(struct object *self, struct diagnostic *why)
{
	struct bpf_object *fresh;
	int err = object__parse(self, &fresh, why);

	object__forget_load(self);
	return err ?: copy_settings(self, fresh, why);
}

/* A program array's static slots are filled at load: their programs come along, as whatever the
 * chosen ones are. */
static void choose_slotted(struct object *self)
{
	const struct program_slot *first = NULL;

	for (size_t i = 0; !first && i < self->program_cnt; i++)
		if (bpf_program__autoload(self->programs[i].program) &&
		    bpf_program__type(self->programs[i].program) != BPF_PROG_TYPE_UNSPEC)
			first = &self->programs[i];
	for (size_t i = 0; i < self->symbols.slotted_cnt; i++) {
		int place = object__find_program(self, self->symbols.slotted[i]);
		struct bpf_program *program;

		if (place < 0 || !first)
			continue;
		program = self->programs[place].program;
		bpf_program__set_autoload(program, true);
		if (bpf_program__type(program) != BPF_PROG_TYPE_UNSPEC)
			continue;
		bpf_program__set_type(program,
				      bpf_program__type(first->program) == BPF_PROG_TYPE_EXT
					  ? first->extended_type
					  : bpf_program__type(first->program));
		bpf_program__set_expected_attach_type(
		    program, bpf_program__expected_attach_type(first->program));
	}
}

static int check_types(const struct object *self, struct diagnostic *why)
{
	for (size_t i = 0; i < self->program_cnt; i++) {
		const struct bpf_program *program = self->programs[i].program;

		if (bpf_program__autoload(program) &&
		    bpf_program__type(program) == BPF_PROG_TYPE_UNSPEC)
			return diagnostic__fail(
			    why, -EINVAL, "section %s does not tell what kind of program %s is",
			    bpf_program__section_name(program), bpf_program__name(program));
	}
	return 0;
}

static int attach_logs(struct object *self, unsigned int verbosity)
{
	size_t size = verbosity ? VERBOSE_SIZE : STATISTICS_SIZE;

	for (size_t i = 0; i < self->program_cnt; i++) {
		struct program_slot *slot = &self->programs[i];

		if (!bpf_program__autoload(slot->program))
			continue;
		slot->log = calloc(1, size);
		if (!slot->log)
			return -ENOMEM;
		bpf_program__set_log_buf(slot->program, slot->log, size);
		bpf_program__set_log_level(slot->program, verbosity | LOG_STATISTICS);
	}
	return 0;
}

static int take(struct bpf_program *program, struct prepared_program *prepared, void *context)
{
	struct object *self = context;
	int place = object__find_program(self, bpf_program__name(program));

	if (place < 0) {
		prepared_program__free(prepared);
		return place;
	}
	memcpy(prepared->license, self->symbols.license, sizeof(prepared->license));
	prepared_program__free(self->programs[place].prepared);
	self->programs[place].prepared = prepared;
	return 0;
}

static int load_once(struct object *self, struct diagnostic *why)
{
	int err;

	diagnostic__listen(why);
	section_handlers__give_to(take, self);
	err = bpf_object__load(self->libbpf);
	section_handlers__give_to(NULL, NULL);
	diagnostic__silence(why);
	return err;
}

/* Where a kernel's log tells no depths, a chain makes do with what the instructions show. */
static void read_stacks(struct object *self)
{
	for (size_t i = 0; i < self->program_cnt; i++) {
		struct program_slot *slot = &self->programs[i];

		if (slot->prepared)
			prepared_program__read_stack(slot->prepared, slot->log);
	}
}

/* Types that hardened kernels forbid without a word. */
static const char *forbidden_kind(const struct object *self)
{
	for (size_t i = 0; i < self->program_cnt; i++) {
		if (!bpf_program__autoload(self->programs[i].program))
			continue;
		switch (bpf_program__type(self->programs[i].program)) {
		case BPF_PROG_TYPE_TRACING:
			return "tracing (fentry, fexit)";
		case BPF_PROG_TYPE_EXT:
			return "extension (freplace)";
		case BPF_PROG_TYPE_LSM:
			return "LSM";
		default:
			break;
		}
	}
	return NULL;
}

static int say_why(const struct object *self, int err, struct diagnostic *why)
{
	const char *kind = err == -EPERM ? forbidden_kind(self) : NULL;

	if (why->is_verifier_log && why->log_length)
		return diagnostic__fail(why, err, "the verifier refused %s", why->program);
	if (kind)
		return diagnostic__fail(
		    why, err, "this kernel, or a lack of privilege, forbids %s programs", kind);
	if (why->log)
		return diagnostic__fail(why, err, "%.*s", (int)strcspn(why->log, "\n"), why->log);
	return err;
}

/*
 * Statistics alone explain nothing. The refused load is repeated, so that libbpf asks for the
 * verifier's whole log, with buffers as large as it takes; its outcome is not used otherwise.
 */
static int explain(struct object *self, int refusal, struct diagnostic *why)
{
	struct diagnostic second = {};
	int err = renew(self, why);

	if (err)
		return err;
	if (load_once(self, &second)) {
		diagnostic__clear(why);
		*why = second;
	} else {
		diagnostic__clear(&second);
	}
	say_why(self, refusal, why);
	err = renew(self, why);
	return err ?: refusal;
}

int object__load(struct object *self, unsigned int verbosity, struct diagnostic *why)
{
	int err = 0;

	if (self->is_loaded)
		return diagnostic__fail(why, -EBUSY, "%s is loaded already", self->name);
	if (self->has_choice)
		choose_slotted(self);
	err = check_types(self, why);
	if (!err)
		err = attach_logs(self, verbosity);
	if (err)
		return err;
	err = load_once(self, why);
	if (err)
		return explain(self, err, why);
	self->is_loaded = true;
	read_stacks(self);
	return 0;
}

const struct prepared_program *object__prepared(const struct object *self, size_t place)
{
	return self->is_loaded ? self->programs[place].prepared : NULL;
}

const char *object__log(const struct object *self, size_t place)
{
	return self->is_loaded ? self->programs[place].log : NULL;
}
