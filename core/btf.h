/* Types as BTF tells them, one at a time: enough to read and write the values of maps. */
#ifndef CORE_BTF_H
#define CORE_BTF_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>

struct btf; /* libbpf's */

/* A descriptor of the kernel's BTF of a map or program; wants CAP_SYS_ADMIN. Or -errno. */
int type_table__open(__u32 id);
/* Whoever has such a descriptor may read it. */
int type_table__from_fd(struct btf **table, int fd);
/* -ENOEXEC for what no kernel would take: there a value may lie outside of the one that it is part
 * of. */
int type_table__from_bytes(struct btf **table, const void *bytes, size_t size);
/* Does every type name and refer to something that is there? libbpf 1.1 does not ask. -ENOEXEC if
 * not. */
int type_table__check(const void *bytes, size_t size);
void type_table__free(struct btf *table);

enum type_kind {
	TYPE_VOID,
	TYPE_INTEGER,
	TYPE_FLOAT,
	TYPE_POINTER,
	TYPE_ARRAY,
	TYPE_STRUCT,
	TYPE_UNION,
	TYPE_ENUM,
	TYPE_SECTION, /* a data section: its members are variables */
	TYPE_OTHER,
};

struct type {
	enum type_kind kind;
	const char *name; /* empty for anonymous ones */
	__u32 size;	  /* bytes */
	__u32 element;	  /* array: the elements' type */
	__u32 member_cnt; /* array: elements; struct, union, enum, section: members */
	bool is_signed, is_boolean, is_character;
};

struct type_member {
	const char *name;
	__u32 type;
	__u32 bit_offset, bit_size; /* bit_size 0: not a bit-field */
	__s64 value;		    /* enum */
};

/* What the id stands for behind typedefs, qualifiers and variables. -ENOENT: no such type. */
int type_table__type(const struct btf *table, __u32 id, struct type *type);
/* Of a struct, union, enum or section. */
void type_table__member(const struct btf *table, __u32 id, __u32 place, struct type_member *member);

/* The type with this name, which no function or variable of the same name hides; 0 without. */
__u32 type_table__find(const struct btf *table, const char *name);

#endif
