#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>

#include "core/chain/chain.h"
#include "core/chain/record.h"

/* Flags that a fused program can honour; the rest bind a program to a device, a token, or a context
 * that we do not have. */
#define KNOWN_FLAGS                                                                                \
	(BPF_F_STRICT_ALIGNMENT | BPF_F_ANY_ALIGNMENT | BPF_F_TEST_RND_HI32 |                      \
	 BPF_F_TEST_STATE_FREQ | BPF_F_XDP_HAS_FRAGS)

/* An exit becomes a jump of 16 bits, and the verifier's rewriting makes bodies grow. */
#define LONGEST_INLINED 16000

int chain__init(struct chain *chain, enum chain_kind kind, __u32 member_cnt,
		struct diagnostic *failure)
{
	memset(chain, 0, sizeof(*chain));
	chain->kind = kind;
	if (!member_cnt)
		return diagnostic__fail(failure, -EINVAL, "a chain without members");
	if (member_cnt > CHAIN_MAX_MEMBERS)
		return diagnostic__fail(failure, -E2BIG, "a chain of more than %d members",
					CHAIN_MAX_MEMBERS);
	chain->members = calloc(member_cnt, sizeof(*chain->members));
	if (!chain->members)
		return diagnostic__fail(failure, -ENOMEM, "no memory");
	chain->member_cnt = member_cnt;
	return 0;
}

static int check_member(const struct chain *chain, const struct member *member,
			struct diagnostic *failure)
{
	__u32 type = chain->kind == CHAIN_XDP ? BPF_PROG_TYPE_XDP : BPF_PROG_TYPE_SCHED_CLS;

	if (member->type != type)
		return diagnostic__fail(failure, -EINVAL, "%s is not a program for %s",
					member->name, chain->kind == CHAIN_XDP ? "XDP" : "TC");
	if (chain->kind == CHAIN_XDP && member->expected_attach_type &&
	    member->expected_attach_type != BPF_XDP)
		return diagnostic__fail(failure, -EOPNOTSUPP,
					"%s is for a device map or CPU map, not for an interface",
					member->name);
	if (member->flags & ~KNOWN_FLAGS)
		return diagnostic__fail(failure, -EOPNOTSUPP,
					"%s was loaded with flags (%#x) that a chain cannot keep, "
					"such as being bound to one device",
					member->name, member->flags & ~KNOWN_FLAGS);
	return 0;
}

int chain__set_member(struct chain *chain, __u32 index, int program_fd, __u32 mask,
		      const void *record, size_t record_size, struct diagnostic *failure)
{
	struct chain_member *slot = &chain->members[index];
	struct bpf_prog_info info = {0};
	__u32 info_size = sizeof(info);
	const char *why = "";
	int err;

	if (bpf_obj_get_info_by_fd(program_fd, &info, &info_size))
		return diagnostic__fail(failure, -errno, "cannot ask the kernel about member %u",
					index);
	err = record__decode(record, record_size, &slot->member, &why);
	if (err)
		return diagnostic__fail(failure, err, "the record of %.*s: %s", BPF_OBJ_NAME_LEN,
					info.name, why);
	slot->mask = mask;
	slot->verified_insns = info.verified_insns;
	slot->gpl_compatible = info.gpl_compatible;
	slot->must_call = slot->member.functions[0].tail_calls || slot->member.legacy_loads ||
			  slot->member.functions[0].end > LONGEST_INLINED;
	return check_member(chain, &slot->member, failure);
}

/* Where the map is in the ascending list, or where it belongs. */
static __u32 place_of_map(const struct chain *chain, __u32 id)
{
	__u32 low = 0, high = chain->map_cnt;

	while (low < high) {
		__u32 middle = (low + high) / 2;

		if (chain->maps[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct chain_map *chain__map(const struct chain *chain, __u32 id)
{
	__u32 place = place_of_map(chain, id);

	return place < chain->map_cnt && chain->maps[place].id == id ? &chain->maps[place] : NULL;
}

static int make_room(struct chain *chain)
{
	__u32 room = chain->map_room ? chain->map_room * 2 : 64;
	struct chain_map *maps;

	if (chain->map_cnt < chain->map_room)
		return 0;
	maps = realloc(chain->maps, room * sizeof(*maps));
	if (!maps)
		return -ENOMEM;
	chain->maps = maps;
	chain->map_room = room;
	return 0;
}

int chain__add_map(struct chain *chain, int fd, struct diagnostic *failure)
{
	struct bpf_map_info info = {0};
	__u32 size = sizeof(info), place;

	if (bpf_obj_get_info_by_fd(fd, &info, &size))
		return diagnostic__fail(failure, -errno, "cannot ask the kernel about a map");
	if (chain__map(chain, info.id))
		return 0;
	if (make_room(chain))
		return diagnostic__fail(failure, -ENOMEM, "no memory");
	place = place_of_map(chain, info.id);
	memmove(&chain->maps[place + 1], &chain->maps[place],
		(chain->map_cnt++ - place) * sizeof(*chain->maps));
	chain->maps[place] = (struct chain_map){.id = info.id, .type = info.type, .fd = fd};
	return 0;
}

/* Maps that remember what sort of program uses them (the kernel's bpf_prog_map_compatible): frags
 * or not is part of it. */
static bool map_has_owner(const struct chain_map *map)
{
	return map->type == BPF_MAP_TYPE_PROG_ARRAY || map->type == BPF_MAP_TYPE_DEVMAP ||
	       map->type == BPF_MAP_TYPE_DEVMAP_HASH || map->type == BPF_MAP_TYPE_CPUMAP;
}

/* The kernel would say EINVAL and nothing else. */
static int check_frags(const struct chain *chain, struct diagnostic *failure)
{
	const struct chain_member *plain = NULL, *bound = NULL;

	for (__u32 i = 0; i < chain->member_cnt; i++) {
		const struct chain_member *member = &chain->members[i];

		if (!(member->member.flags & BPF_F_XDP_HAS_FRAGS)) {
			plain = member;
			continue;
		}
		for (__u32 k = 0; k < member->member.reference_cnt; k++)
			if (map_has_owner(chain__map(chain, member->member.references[k].map_id)))
				bound = member;
	}
	if (!plain || !bound)
		return 0;
	return diagnostic__fail(
	    failure, -EOPNOTSUPP,
	    "%s uses fragments (xdp.frags) together with a program array, device map or CPU map; "
	    "it cannot share a chain with %s, which does not use fragments",
	    bound->member.name, plain->member.name);
}

int chain__check(struct chain *chain, struct diagnostic *failure)
{
	for (__u32 i = 0; i < chain->member_cnt; i++) {
		const struct member *member = &chain->members[i].member;

		for (__u32 k = 0; k < member->reference_cnt; k++)
			if (!chain__map(chain, member->references[k].map_id))
				return diagnostic__fail(failure, -ENOENT,
							"map %u of %s was not given",
							member->references[k].map_id, member->name);
	}
	return check_frags(chain, failure);
}

int chain__set_rounding(struct chain *chain, enum frame_rounding rounding)
{
	chain->rounding = rounding;
	for (__u32 i = 0; i < chain->member_cnt; i++) {
		struct chain_member *member = &chain->members[i];

		if (!member->footprints)
			member->footprints =
			    calloc(member->member.function_cnt, sizeof(*member->footprints));
		if (!member->footprints)
			return -ENOMEM;
		member__footprints(&member->member, rounding, member->footprints);
	}
	return 0;
}

void chain__release(struct chain *chain)
{
	for (__u32 i = 0; i < chain->member_cnt; i++) {
		member__release(&chain->members[i].member);
		free(chain->members[i].footprints);
	}
	free(chain->members);
	free(chain->maps);
	memset(chain, 0, sizeof(*chain));
}
