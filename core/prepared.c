#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "core/prepared.h"

static __thread prepared_program_taker current_taker;
static __thread void *current_context;

void prepared_program__free(struct prepared_program *self)
{
	if (!self)
		return;
	free(self->insns);
	free(self->functions);
	free(self->btf);
	free(self);
}

/* "stack depth 8+48+0": the main function's first */
static bool read_sum(struct prepared_program *self, const char *log)
{
	const char *line = strstr(log, "stack depth ");
	char *end;

	if (!line || !isdigit((unsigned char)line[strlen("stack depth ")]))
		return false;
	self->stack_main = (__u32)strtoul(line + strlen("stack depth "), &end, 10);
	self->stack_below_cnt = 0;
	while (*end == '+' && self->stack_below_cnt < 256)
		self->stack_below[self->stack_below_cnt++] = (__u32)strtoul(end + 1, &end, 10);
	return true;
}

/* Since 7.2 a line each: "subprog 1 (name) static insns_self 6 insns_total 38 stack 8" */
static bool read_lines(struct prepared_program *self, const char *log)
{
	__u32 cnt = 0;

	for (const char *line = log; line; line = strchr(line, '\n')) {
		unsigned int number, depth;

		line += *line == '\n';
		if (sscanf(line, "subprog %u (%*[^)]) %*s insns_self %*u insns_total %*u stack %u",
			   &number, &depth) != 2 ||
		    number != cnt || cnt > 256)
			continue;
		if (number)
			self->stack_below[number - 1] = depth;
		else
			self->stack_main = depth;
		cnt++;
	}
	if (cnt)
		self->stack_below_cnt = cnt - 1;
	return cnt;
}

int prepared_program__read_stack(struct prepared_program *self, const char *log)
{
	return read_sum(self, log) || read_lines(self, log) ? 0 : -ENOENT;
}

/* The BTF as the kernel took it: libbpf may have sanitized what the object holds. Needs no
 * capability. */
static int copy_btf(struct prepared_program *self, int btf_fd)
{
	struct bpf_btf_info info = {};
	__u32 size = sizeof(info);
	int err = bpf_obj_get_info_by_fd(btf_fd, &info, &size);

	if (err)
		return -errno;
	self->btf_size = info.btf_size;
	self->btf = malloc(self->btf_size);
	if (!self->btf)
		return -ENOMEM;
	info = (struct bpf_btf_info){
	    .btf = (__u64)(unsigned long)self->btf,
	    .btf_size = (__u32)self->btf_size,
	};
	size = sizeof(info);
	return bpf_obj_get_info_by_fd(btf_fd, &info, &size) ? -errno : 0;
}

static int copy_functions(struct prepared_program *self, const struct bpf_prog_load_opts *opts)
{
	const char *record = opts->func_info;

	if (!record || !opts->func_info_cnt)
		return 0;
	self->functions = calloc(opts->func_info_cnt, sizeof(*self->functions));
	if (!self->functions)
		return -ENOMEM;
	self->function_cnt = opts->func_info_cnt;
	for (size_t i = 0; i < self->function_cnt; i++, record += opts->func_info_rec_size)
		memcpy(&self->functions[i], record, sizeof(*self->functions));
	return 0;
}

static int fill(struct prepared_program *self, struct bpf_program *program,
		const struct bpf_prog_load_opts *opts)
{
	int err;

	snprintf(self->name, sizeof(self->name), "%s", bpf_program__name(program));
	self->type = bpf_program__type(program);
	self->expected_attach_type = opts->expected_attach_type;
	self->flags = opts->prog_flags;
	self->insn_cnt = bpf_program__insn_cnt(program);
	self->insns = malloc(self->insn_cnt * sizeof(*self->insns));
	if (!self->insns)
		return -ENOMEM;
	memcpy(self->insns, bpf_program__insns(program), self->insn_cnt * sizeof(*self->insns));
	err = copy_functions(self, opts);
	if (!err && opts->prog_btf_fd)
		err = copy_btf(self, (int)opts->prog_btf_fd);
	return err;
}

static int capture(struct bpf_program *program, struct bpf_prog_load_opts *opts,
		   long cookie __attribute__((unused)))
{
	enum bpf_prog_type type = bpf_program__type(program);
	struct prepared_program *prepared;
	int err;

	if (!current_taker || (type != BPF_PROG_TYPE_XDP && type != BPF_PROG_TYPE_SCHED_CLS))
		return 0;
	prepared = calloc(1, sizeof(*prepared));
	if (!prepared)
		return -ENOMEM;
	err = fill(prepared, program, opts);
	if (err) {
		prepared_program__free(prepared);
		return err;
	}
	return current_taker(program, prepared, current_context);
}

static bool begins(const char *text, const char *prefix)
{
	return !strncmp(text, prefix, strlen(prefix));
}

/* libbpf's own handler is out of the way now: what it would have told by the section is ours to
 * tell. */
static int set_up_xdp(struct bpf_program *program, long cookie __attribute__((unused)))
{
	const char *section = bpf_program__section_name(program);
	const char *rest = section + (begins(section, "xdp.frags") ? 9 : 3);

	if (rest == section + 9)
		bpf_program__set_flags(program, bpf_program__flags(program) | BPF_F_XDP_HAS_FRAGS);
	if (begins(rest, "/devmap"))
		bpf_program__set_expected_attach_type(program, BPF_XDP_DEVMAP);
	if (begins(rest, "/cpumap"))
		bpf_program__set_expected_attach_type(program, BPF_XDP_CPUMAP);
	return 0;
}

static const struct {
	const char *section;
	enum bpf_prog_type type;
	enum bpf_attach_type attach_type;
	libbpf_prog_setup_fn_t set_up;
} handlers[] = {
    {"xdp+", BPF_PROG_TYPE_XDP, BPF_XDP, set_up_xdp},
    {"xdp.frags+", BPF_PROG_TYPE_XDP, BPF_XDP, set_up_xdp},
    {"tc+", BPF_PROG_TYPE_SCHED_CLS, 0, NULL},
    {"tcx+", BPF_PROG_TYPE_SCHED_CLS, 0, NULL},
    {"classifier+", BPF_PROG_TYPE_SCHED_CLS, 0, NULL},
    {NULL, BPF_PROG_TYPE_UNSPEC, 0, NULL}, /* any name that libbpf does not know */
};

int section_handlers__register(void)
{
	static bool is_registered;

	if (is_registered)
		return 0;
	for (size_t i = 0; i < sizeof(handlers) / sizeof(*handlers); i++) {
		LIBBPF_OPTS(libbpf_prog_handler_opts, opts, .prog_setup_fn = handlers[i].set_up,
			    .prog_prepare_load_fn = capture);
		int id = libbpf_register_prog_handler(handlers[i].section, handlers[i].type,
						      handlers[i].attach_type, &opts);

		if (id < 0)
			return id;
	}
	is_registered = true;
	return 0;
}

void section_handlers__give_to(prepared_program_taker taker, void *context)
{
	current_taker = taker;
	current_context = context;
}
