#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/syscall.h>
#include <lauxlib.h>
#include <linux/bpf.h>

#include "fuzz/kernel.h"

#define MOST_HELD	 4096
#define MOST_DESCRIPTORS 8192
#define MOST_MAPS	 8 /* of a program that somebody else has loaded */

enum kind { NOTHING, PROGRAM, MAP, TYPES };

static struct held {
	enum kind kind;
	union {
		struct bpf_prog_info program;
		struct bpf_map_info map;
	};
	__u32 map_ids[MOST_MAPS];
	void *bytes; /* of types, and of a map's one value */
	size_t size;
} held[MOST_HELD]; /* by id */

static __u32 held_cnt = 1;
static __u32 id_of[MOST_DESCRIPTORS];

long syscall(long number, ...);

void kernel_reset(void)
{
	for (__u32 id = 1; id < held_cnt; id++)
		free(held[id].bytes);
	memset(held, 0, held_cnt * sizeof(*held));
	memset(id_of, 0, sizeof(id_of));
	held_cnt = 1;
}

static struct held *add(enum kind kind, __u32 *id)
{
	*id = held_cnt;
	if (held_cnt == MOST_HELD)
		return NULL;
	held[held_cnt].kind = kind;
	return &held[held_cnt++];
}

static int open_id(__u32 id, enum kind kind)
{
	int fd;

	if (!id || id >= held_cnt || held[id].kind != kind)
		return -ENOENT;
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fd >= MOST_DESCRIPTORS) {
		close(fd);
		return -EMFILE;
	}
	id_of[fd] = id;
	return fd;
}

static struct held *held_by(__u32 fd)
{
	return fd < MOST_DESCRIPTORS && id_of[fd] ? &held[id_of[fd]] : NULL;
}

static int keep(struct held *self, const void *bytes, size_t size)
{
	self->bytes = malloc(size + 1);
	if (!self->bytes)
		return -ENOMEM;
	if (size)
		memcpy(self->bytes, bytes, size);
	self->size = size;
	return 0;
}

static int create_map(const union bpf_attr *attr)
{
	__u32 id;
	struct held *self = add(MAP, &id);

	if (!self)
		return -ENOMEM;
	self->map = (struct bpf_map_info){
	    .id = id,
	    .type = attr->map_type,
	    .key_size = attr->key_size,
	    .value_size = attr->value_size,
	    .max_entries = attr->max_entries,
	    .map_flags = attr->map_flags,
	};
	memcpy(self->map.name, attr->map_name, sizeof(self->map.name) - 1);
	return open_id(id, MAP);
}

/* What the verifier tells of the stack, as far as the log's buffer goes. */
static void write_log(const union bpf_attr *attr)
{
	if (attr->log_buf && attr->log_size)
		snprintf((char *)(unsigned long)attr->log_buf, attr->log_size,
			 "processed 9 insns\nstack depth 8+16\n");
}

static int load_program(const union bpf_attr *attr)
{
	__u32 id;
	struct held *self = add(PROGRAM, &id);

	if (!self)
		return -ENOMEM;
	self->program = (struct bpf_prog_info){
	    .id = id, .type = attr->prog_type, .gpl_compatible = 1, .verified_insns = 9};
	memcpy(self->program.name, attr->prog_name, sizeof(self->program.name) - 1);
	write_log(attr);
	return open_id(id, PROGRAM);
}

static int load_types(const union bpf_attr *attr)
{
	__u32 id;
	struct held *self = add(TYPES, &id);
	int err = self ? keep(self, (void *)(unsigned long)attr->btf, attr->btf_size) : -ENOMEM;

	return err ?: open_id(id, TYPES);
}

static void copy_out(const void *info, size_t size, union bpf_attr *attr)
{
	if (attr->info.info_len > size)
		attr->info.info_len = (__u32)size;
	memcpy((void *)(unsigned long)attr->info.info, info, attr->info.info_len);
}

static int tell_of_program(const struct held *self, union bpf_attr *attr)
{
	const struct bpf_prog_info *asked = (void *)(unsigned long)attr->info.info;
	struct bpf_prog_info info = self->program;
	__u32 room = asked->nr_map_ids < info.nr_map_ids ? asked->nr_map_ids : info.nr_map_ids;

	info.map_ids = asked->map_ids;
	if (room && asked->map_ids)
		memcpy((void *)(unsigned long)asked->map_ids, self->map_ids, room * sizeof(__u32));
	copy_out(&info, sizeof(info), attr);
	return 0;
}

static int tell_of_types(const struct held *self, __u32 id, union bpf_attr *attr)
{
	const struct bpf_btf_info *asked = (void *)(unsigned long)attr->info.info;
	struct bpf_btf_info info = *asked;
	size_t room = asked->btf_size < self->size ? asked->btf_size : self->size;

	info.id = id;
	info.btf_size = (__u32)self->size;
	if (room && asked->btf)
		memcpy((void *)(unsigned long)asked->btf, self->bytes, room);
	copy_out(&info, sizeof(info), attr);
	return 0;
}

static int tell(union bpf_attr *attr)
{
	const struct held *self = held_by(attr->info.bpf_fd);

	if (!self)
		return -EBADF;
	switch (self->kind) {
	case PROGRAM:
		return tell_of_program(self, attr);
	case MAP:
		copy_out(&self->map, sizeof(self->map), attr);
		return 0;
	default:
		return tell_of_types(self, id_of[attr->info.bpf_fd], attr);
	}
}

static int look_up(const union bpf_attr *attr)
{
	const struct held *self = held_by(attr->map_fd);
	char *value = (void *)(unsigned long)attr->value;

	if (!self || self->kind != MAP)
		return -EBADF;
	memset(value, 0, self->map.value_size);
	if (self->bytes)
		memcpy(value, self->bytes,
		       self->size < self->map.value_size ? self->size : self->map.value_size);
	return 0;
}

static int answer(int command, union bpf_attr *attr)
{
	switch (command) {
	case BPF_MAP_CREATE:
		return create_map(attr);
	case BPF_PROG_LOAD:
		return load_program(attr);
	case BPF_BTF_LOAD:
		return load_types(attr);
	case BPF_OBJ_GET_INFO_BY_FD:
		return tell(attr);
	case BPF_PROG_GET_FD_BY_ID:
		return open_id(attr->prog_id, PROGRAM);
	case BPF_MAP_GET_FD_BY_ID:
		return open_id(attr->map_id, MAP);
	case BPF_BTF_GET_FD_BY_ID:
		return open_id(attr->btf_id, TYPES);
	case BPF_MAP_LOOKUP_ELEM:
		return look_up(attr);
	case BPF_MAP_UPDATE_ELEM:
	case BPF_MAP_FREEZE:
	case BPF_PROG_BIND_MAP:
		return 0;
	default:
		return -EINVAL;
	}
}

/* In libc's place: libbpf has no other way to the kernel. */
long syscall(long number, ...)
{
	static long (*real)(long, ...);
	long arguments[6];
	va_list list;
	int result;

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		arguments[i] = va_arg(list, long);
	va_end(list);
	if (number != SYS_bpf) {
		if (!real)
			real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
		return real(number, arguments[0], arguments[1], arguments[2], arguments[3],
			    arguments[4], arguments[5]);
	}
	result = answer((int)arguments[0], (union bpf_attr *)arguments[1]);
	if (result >= 0)
		return result;
	errno = -result;
	return -1;
}

static __u32 number_in(lua_State *L, const char *key)
{
	__u32 value;

	lua_getfield(L, 1, key);
	value = (__u32)luaL_optinteger(L, -1, 0);
	lua_pop(L, 1);
	return value;
}

static void fill_program(lua_State *L, struct held *self, __u32 id)
{
	self->program = (struct bpf_prog_info){
	    .id = id, .type = number_in(L, "type"), .btf_id = number_in(L, "btf_id")};
	lua_getfield(L, 1, "name");
	snprintf(self->program.name, sizeof(self->program.name), "%s", luaL_optstring(L, -1, ""));
	self->map_ids[0] = number_in(L, "map_id");
	self->program.nr_map_ids = self->map_ids[0] ? 1 : 0;
}

static int add_held(lua_State *L)
{
	static const char *const kinds[] = {"program", "map", "btf", NULL};
	struct held *self;
	const char *bytes;
	size_t size;
	__u32 id;

	luaL_checktype(L, 1, LUA_TTABLE);
	lua_getfield(L, 1, "kind");
	self = add((enum kind)(luaL_checkoption(L, -1, NULL, kinds) + 1), &id);
	if (!self)
		return luaL_error(L, "too many of them");
	if (self->kind == PROGRAM)
		fill_program(L, self, id);
	if (self->kind == MAP)
		self->map = (struct bpf_map_info){.id = id,
						  .type = number_in(L, "type"),
						  .key_size = number_in(L, "key_size"),
						  .value_size = number_in(L, "value_size"),
						  .max_entries = number_in(L, "max_entries"),
						  .map_flags = number_in(L, "flags")};
	lua_getfield(L, 1, "bytes");
	bytes = luaL_optlstring(L, -1, "", &size);
	if (keep(self, bytes, size))
		return luaL_error(L, "no memory");
	lua_pushinteger(L, id);
	return 1;
}

int open_kernel(lua_State *L)
{
	static const luaL_Reg functions[] = {{"add", add_held}, {NULL, NULL}};

	luaL_newlib(L, functions);
	return 1;
}
