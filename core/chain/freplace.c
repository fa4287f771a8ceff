#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "core/chain/freplace.h"

extern const unsigned char xdp_dispatcher_object[], xdp_dispatcher_v3_object[],
    tc_dispatcher_object[];
extern const size_t xdp_dispatcher_object_size, xdp_dispatcher_v3_object_size,
    tc_dispatcher_object_size;

/* A loaded dispatcher with its object, which still has the types. */
struct loaded_dispatcher {
	struct bpf_object *object;
	int program_fd; /* the object's */
};

static struct dispatcher_config make_config(const struct freplace_chain *chain)
{
	struct dispatcher_config config = {
	    .magic = DISPATCHER_MAGIC,
	    .version = chain->version ?: 2,
	    .slots_used = chain->member_cnt,
	    .has_frags = chain->type == BPF_PROG_TYPE_XDP,
	};

	for (size_t i = 0; i < chain->member_cnt; i++) {
		const struct freplace_member *member = &chain->members[i];

		config.masks[i] = member->mask | DISPATCHER_RETURN_BIT;
		config.priorities[i] = member->priority;
		config.flags[i] = member->flags;
		config.has_frags &= !!(member->flags & BPF_F_XDP_HAS_FRAGS);
	}
	return config;
}

static int set_config(struct bpf_object *object, const struct freplace_chain *chain)
{
	struct dispatcher_config config = make_config(chain);
	struct dispatcher_config_v3 config_v3 = {.chain = config};
	struct tc_dispatcher_config tc_config = {.chain = config, .finish = chain->finish};
	struct bpf_map *map;

	bpf_object__for_each_map (map, object) {
		if (chain->type != BPF_PROG_TYPE_XDP)
			return bpf_map__set_initial_value(map, &tc_config, sizeof(tc_config));
		if (config.version == 3)
			return bpf_map__set_initial_value(map, &config_v3, sizeof(config_v3));
		return bpf_map__set_initial_value(map, &config, sizeof(config));
	}
	return -ENOENT;
}

static struct bpf_object *open_object(const struct freplace_chain *chain)
{
	bool is_xdp = chain->type == BPF_PROG_TYPE_XDP;

	/* The kernel shows libbpf's object name in the map's: libxdp's is xdp_disp.rodata */
	LIBBPF_OPTS(bpf_object_open_opts, options,
		    .object_name = is_xdp ? "xdp_dispatcher" : "tc_dispatcher");

	if (!is_xdp)
		return bpf_object__open_mem(tc_dispatcher_object, tc_dispatcher_object_size,
					    &options);
	if (chain->version == 3)
		return bpf_object__open_mem(xdp_dispatcher_v3_object, xdp_dispatcher_v3_object_size,
					    &options);
	return bpf_object__open_mem(xdp_dispatcher_object, xdp_dispatcher_object_size, &options);
}

static int load(const struct freplace_chain *chain, struct loaded_dispatcher *loaded,
		struct diagnostic *why)
{
	struct bpf_program *program;
	int err;

	diagnostic__listen(why);
	loaded->object = open_object(chain);
	if (!loaded->object) {
		err = -errno;
		goto out;
	}
	program = bpf_object__next_program(loaded->object, NULL);
	err = set_config(loaded->object, chain);
	if (!err && make_config(chain).has_frags)
		err = bpf_program__set_flags(program, BPF_F_XDP_HAS_FRAGS);
	if (!err)
		err = bpf_object__load(loaded->object);
	loaded->program_fd = bpf_program__fd(program);
out:
	diagnostic__silence(why);
	if (!err)
		return 0;
	bpf_object__close(loaded->object);
	loaded->object = NULL;
	return diagnostic__fail(why, err, "cannot load the dispatcher: %s", strerror(-err));
}

/* Of a function in the dispatcher: libbpf hands the object's types to the kernel under the same
 * ids. */
static int function_type(const struct loaded_dispatcher *loaded, const char *name)
{
	return btf__find_by_name_kind(bpf_object__btf(loaded->object), name, BTF_KIND_FUNC);
}

static int attach(const struct loaded_dispatcher *loaded, size_t slot, int program_fd)
{
	char name[16];
	int type_id, fd;

	snprintf(name, sizeof(name), "prog%zu", slot);
	type_id = function_type(loaded, name);
	if (type_id < 0)
		return type_id;

	LIBBPF_OPTS(bpf_link_create_opts, options, .target_btf_id = type_id);
	fd = bpf_link_create(program_fd, loaded->program_fd, 0, &options);
	return fd < 0 ? -errno : fd;
}

/* `return 0` with the type of a slot, so that no object file of its own is needed. */
static int load_extension(const struct loaded_dispatcher *loaded, struct diagnostic *why)
{
	const struct bpf_insn insns[] = {
	    {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
	    {.code = BPF_JMP | BPF_EXIT},
	};
	const struct bpf_func_info function = {
	    .type_id = function_type(loaded, FREPLACE_TARGET_FUNCTION),
	};
	char log[1024] = "";
	LIBBPF_OPTS(bpf_prog_load_opts, options, .attach_prog_fd = loaded->program_fd,
		    .attach_btf_id = function.type_id,
		    .prog_btf_fd = bpf_object__btf_fd(loaded->object), .func_info = &function,
		    .func_info_cnt = 1, .func_info_rec_size = sizeof(function), .log_buf = log,
		    .log_size = sizeof(log), .log_level = 1);
	int fd = bpf_prog_load(BPF_PROG_TYPE_EXT, "probe", "Dual MIT/GPL", insns, 2, &options);
	int err = -errno;

	if (fd >= 0)
		return fd;
	log[strcspn(log, "\n")] = '\0';
	return diagnostic__fail(why, err,
				"this kernel refuses extension (freplace) programs: "
				"BPF_PROG_LOAD says %s%s%s",
				strerrorname_np(-err) ?: "ENOTSUPP",
				*log ? ": " : " before the verifier", log);
}

/* Loads another dispatcher and puts the program into that too. */
static int attach_again(const struct freplace_chain *chain, int program_fd, struct diagnostic *why)
{
	struct loaded_dispatcher second = {};
	int err = load(chain, &second, why), link_fd;

	if (err)
		return err;
	link_fd = attach(&second, 0, program_fd);
	if (link_fd >= 0)
		close(link_fd);
	else
		err = diagnostic__fail(why, -EOPNOTSUPP,
				       "this kernel attaches an extension program once only: "
				       "BPF_LINK_CREATE says %s",
				       strerrorname_np(-link_fd) ?: "ENOTSUPP");
	bpf_object__close(second.object);
	return err;
}

static int probe(__u32 type, bool again, struct diagnostic *why)
{
	const struct freplace_chain chain = {.type = type, .member_cnt = 1};
	struct loaded_dispatcher loaded = {};
	int err = load(&chain, &loaded, why), program_fd, link_fd;

	if (err)
		return err;
	program_fd = load_extension(&loaded, why);
	if (program_fd < 0) {
		err = program_fd;
		goto out;
	}
	link_fd = attach(&loaded, 0, program_fd);
	if (link_fd < 0)
		err = diagnostic__fail(why, link_fd,
				       "this kernel loads extension (freplace) programs but "
				       "BPF_LINK_CREATE refuses to attach one: %s",
				       strerrorname_np(-link_fd) ?: "ENOTSUPP");
	else if (again)
		err = attach_again(&chain, program_fd, why);
	if (link_fd >= 0)
		close(link_fd);
	close(program_fd);
out:
	bpf_object__close(loaded.object);
	return err;
}

int freplace__probe(__u32 type, struct diagnostic *why)
{
	return probe(type, false, why);
}

int freplace__probe_again(__u32 type, struct diagnostic *why)
{
	return probe(type, true, why);
}

int freplace__open_target(__u32 type, int *fd, struct diagnostic *why)
{
	const struct freplace_chain chain = {.type = type, .member_cnt = 1};
	struct loaded_dispatcher loaded = {};
	int err = load(&chain, &loaded, why);

	if (err)
		return err;
	*fd = fcntl(loaded.program_fd, F_DUPFD_CLOEXEC, 3);
	if (*fd < 0)
		err = -errno;
	bpf_object__close(loaded.object);
	return err;
}

int freplace__build(const struct freplace_chain *chain, struct freplace_dispatcher *dispatcher,
		    struct diagnostic *why)
{
	struct loaded_dispatcher loaded = {};
	int err = load(chain, &loaded, why);

	*dispatcher = (struct freplace_dispatcher){.program_fd = -1};
	if (err)
		return err;
	for (size_t i = 0; i < chain->member_cnt; i++) {
		int fd = attach(&loaded, i, chain->members[i].program_fd);

		if (fd < 0) {
			err = diagnostic__fail(why, fd,
					       "cannot attach the member at position %zu to its "
					       "slot of the dispatcher: %s",
					       i, strerror(-fd));
			goto out;
		}
		dispatcher->link_fds[dispatcher->link_cnt++] = fd;
	}
	dispatcher->program_fd = fcntl(loaded.program_fd, F_DUPFD_CLOEXEC, 3);
	if (dispatcher->program_fd < 0)
		err = -errno;
out:
	bpf_object__close(loaded.object);
	if (err)
		freplace__close(dispatcher);
	return err;
}

void freplace__close(struct freplace_dispatcher *dispatcher)
{
	while (dispatcher->link_cnt)
		close(dispatcher->link_fds[--dispatcher->link_cnt]);
	if (dispatcher->program_fd >= 0)
		close(dispatcher->program_fd);
	dispatcher->program_fd = -1;
}
