#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/btf.h"
#include "core/chain/record.h"

/* Followed by insns, references, functions, btf, note; in this order and without gaps. */
struct record_header {
	char magic[RECORD_MAGIC_SIZE];
	__u32 version;
	__u32 size; /* of the whole record */
	__u32 type;
	__u32 expected_attach_type;
	__u32 flags;
	__u32 insn_cnt;
	__u32 reference_cnt;
	__u32 function_cnt;
	__u32 btf_size;
	__u32 note_size;
	char name[MEMBER_NAME_SIZE];
	char license[MEMBER_LICENSE_SIZE];
};

struct record_function {
	char name[MEMBER_NAME_SIZE];
	__u32 start;
	__u32 stack;
	__u32 type_id;
};

#define RECORD_MAX_BTF	(16 * 1024 * 1024) /* the kernel's BTF_MAX_SIZE */
#define RECORD_MAX_NOTE (1024 * 1024)
#define MAX_STACK	512

static bool is_identifier(const char *name, size_t size)
{
	if (!memchr(name, '\0', size) || !name[0] || isdigit((unsigned char)name[0]))
		return false;
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && *name != '_')
			return false;
	return true;
}

/* ---- encoding ---- */

static void put(char **to, const void *from, size_t size)
{
	if (size)
		memcpy(*to, from, size);
	*to += size;
}

static void put_functions(char **to, const struct member *member)
{
	for (__u32 i = 0; i < member->function_cnt; i++) {
		const struct member_function *function = &member->functions[i];
		struct record_function out = {
		    .start = function->start,
		    .stack = function->stack,
		    .type_id = function->type_id,
		};

		memcpy(out.name, function->name, sizeof(out.name));
		put(to, &out, sizeof(out));
	}
}

static size_t record_size(const struct record_header *header)
{
	return sizeof(*header) + (size_t)header->insn_cnt * sizeof(struct bpf_insn) +
	       (size_t)header->reference_cnt * sizeof(struct map_reference) +
	       (size_t)header->function_cnt * sizeof(struct record_function) + header->btf_size +
	       header->note_size;
}

int record__encode(const struct prepared_program *prepared, const char *note, size_t note_size,
		   void **bytes, size_t *size, const char **why)
{
	struct member member = {0};
	struct record_header header = {.magic = RECORD_MAGIC, .version = RECORD_VERSION};
	char *out;
	int err;

	*why = NULL;
	if (note_size > RECORD_MAX_NOTE)
		return -E2BIG;
	err = member__from_prepared(prepared, &member, why);
	if (err)
		goto out;
	header.type = member.type;
	header.expected_attach_type = member.expected_attach_type;
	header.flags = member.flags;
	header.insn_cnt = member.insn_cnt;
	header.reference_cnt = member.reference_cnt;
	header.function_cnt = member.function_cnt;
	header.btf_size = member.btf_size;
	header.note_size = note_size;
	memcpy(header.name, member.name, sizeof(header.name));
	memcpy(header.license, member.license, sizeof(header.license));
	header.size = *size = record_size(&header);
	*bytes = out = malloc(*size);
	if (!out) {
		err = -ENOMEM;
		goto out;
	}
	put(&out, &header, sizeof(header));
	put(&out, member.insns, member.insn_cnt * sizeof(*member.insns));
	put(&out, member.references, member.reference_cnt * sizeof(*member.references));
	put_functions(&out, &member);
	put(&out, member.btf, member.btf_size);
	put(&out, note, note_size);
out:
	member__release(&member);
	return err;
}

/* ---- decoding ---- */

static int read_header(const void *bytes, size_t size, struct record_header *header,
		       const char **why)
{
	*why = "not a member record";
	if (size < sizeof(*header))
		return -EINVAL;
	memcpy(header, bytes, sizeof(*header));
	if (memcmp(header->magic, RECORD_MAGIC, RECORD_MAGIC_SIZE))
		return -EINVAL;
	*why = "a member record of another version of bpfd";
	if (header->version != RECORD_VERSION)
		return -EINVAL;
	*why = "a damaged member record";
	if (header->insn_cnt > MEMBER_MAX_INSNS || header->reference_cnt > header->insn_cnt ||
	    header->function_cnt > MEMBER_MAX_FUNCTIONS || header->btf_size > RECORD_MAX_BTF ||
	    header->note_size > RECORD_MAX_NOTE)
		return -EINVAL;
	if (header->size != size || record_size(header) != size)
		return -EINVAL;
	if (!memchr(header->name, '\0', sizeof(header->name)) ||
	    !memchr(header->license, '\0', sizeof(header->license)))
		return -EINVAL;
	return 0;
}

/* malloc(0) may give NULL, which is no failure here. */
static int take(const char **from, size_t size, void *copy_ptr)
{
	void *copy = malloc(size + 1);

	if (!copy)
		return -ENOMEM;
	memcpy(copy, *from, size);
	((char *)copy)[size] = '\0';
	*from += size;
	*(void **)copy_ptr = copy;
	return 0;
}

static int take_functions(const char **from, struct member *member, const char **why)
{
	*why = "a damaged member record";
	member->functions = calloc(member->function_cnt + 1, sizeof(*member->functions));
	if (!member->functions)
		return -ENOMEM;
	for (__u32 i = 0; i < member->function_cnt; i++) {
		struct record_function in;

		memcpy(&in, *from, sizeof(in));
		*from += sizeof(in);
		if (!is_identifier(in.name, sizeof(in.name)) || in.stack > MAX_STACK ||
		    in.stack % 8 || (in.type_id && !member->btf_size))
			return -EINVAL;
		memcpy(member->functions[i].name, in.name, sizeof(in.name));
		member->functions[i].start = in.start;
		member->functions[i].stack = in.stack;
		member->functions[i].type_id = in.type_id;
	}
	return 0;
}

/* What the record says of functions must be what its instructions say. */
static int check_starts(struct member *member, const char **why)
{
	__u32 starts[MEMBER_MAX_FUNCTIONS], cnt = member->function_cnt;
	int err;

	for (__u32 i = 0; i < cnt; i++)
		starts[i] = member->functions[i].start;
	err = member__analyse(member, why);
	if (err)
		return err;
	*why = "a damaged member record";
	if (cnt != member->function_cnt)
		return -EINVAL;
	for (__u32 i = 0; i < cnt; i++)
		if (starts[i] != member->functions[i].start)
			return -EINVAL;
	return 0;
}

/* libbpf merges them into a chain's own without a look. */
static int check_types(const struct member *member, const char **why)
{
	int err = member->btf_size ? type_table__check(member->btf, member->btf_size) : 0;

	if (err == -ENOEXEC) {
		*why = "a damaged member record";
		return -EINVAL;
	}
	return err;
}

static int decode_parts(const struct record_header *header, const char *from, struct member *member,
			const char **why)
{
	int err;

	memcpy(member->name, header->name, sizeof(member->name));
	memcpy(member->license, header->license, sizeof(member->license));
	member->type = header->type;
	member->expected_attach_type = header->expected_attach_type;
	member->flags = header->flags;
	member->insn_cnt = header->insn_cnt;
	member->reference_cnt = header->reference_cnt;
	member->function_cnt = header->function_cnt;
	member->btf_size = header->btf_size;
	member->note_size = header->note_size;
	err = take(&from, header->insn_cnt * sizeof(*member->insns), &member->insns);
	if (!err)
		err = take(&from, header->reference_cnt * sizeof(*member->references),
			   &member->references);
	if (!err)
		err = take_functions(&from, member, why);
	if (!err)
		err = take(&from, header->btf_size, &member->btf);
	if (!err)
		err = take(&from, header->note_size, &member->note);
	if (!err)
		err = check_types(member, why);
	return err ?: check_starts(member, why);
}

int record__decode(const void *bytes, size_t size, struct member *member, const char **why)
{
	struct record_header header;
	int err = read_header(bytes, size, &header, why);

	memset(member, 0, sizeof(*member));
	if (!err)
		err = decode_parts(&header, (const char *)bytes + sizeof(header), member, why);
	if (err)
		member__release(member);
	return err;
}

int record__note(const void *bytes, size_t size, const char **note, size_t *note_size)
{
	struct record_header header;
	const char *why;
	int err = read_header(bytes, size, &header, &why);

	if (err)
		return err;
	*note_size = header.note_size;
	*note = (const char *)bytes + size - header.note_size;
	return 0;
}
