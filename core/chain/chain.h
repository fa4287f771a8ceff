/* A chain about to be fused: its members, in running order, and the maps that they use. */
#ifndef CORE_CHAIN_CHAIN_H
#define CORE_CHAIN_CHAIN_H

#include <stdbool.h>
#include <linux/bpf.h>

#include "core/chain/member.h"
#include "core/diagnostic.h"

#define CHAIN_MAX_MEMBERS 2048

enum chain_kind { CHAIN_XDP, CHAIN_TC };

struct chain_map {
	__u32 id;
	__u32 type; /* enum bpf_map_type */
	int fd;	    /* borrowed */
};

struct chain_member {
	struct member member;
	__u32 mask;	      /* proceed-on bits */
	__u32 verified_insns; /* what the kernel needed for its twin; 0 on kernels before 5.16 */
	bool gpl_compatible;  /* by the kernel's judgement of the twin's licence */

	bool must_call;	     /* cannot be inlined, whatever the verifier thinks */
	bool refused_inline; /* the verifier said no to it inlined */
	bool called;	     /* as planned, and after a load: as loaded */
	struct footprint *footprints;
};

struct chain {
	enum chain_kind kind;
	int end_verdict; /* what the chain returns when all members proceed */
	enum frame_rounding rounding;
	struct chain_member *members;
	__u32 member_cnt;
	struct chain_map *maps; /* ascending by id */
	__u32 map_cnt;
	__u32 map_room;
};

/* Allocates room for members; returns 0, -E2BIG or -ENOMEM with the failure set. */
int chain__init(struct chain *chain, enum chain_kind kind, __u32 member_cnt,
		struct diagnostic *failure);

/*
 * Decodes the record of member `index`, which is the program `program_fd`. Returns 0, -ENOMEM, an
 * error of the kernel, or -EINVAL / -EOPNOTSUPP with the failure set.
 */
int chain__set_member(struct chain *chain, __u32 index, int program_fd, __u32 mask,
		      const void *record, size_t record_size, struct diagnostic *failure);

/* Makes a map known. The descriptor stays the caller's and must outlive the chain. */
int chain__add_map(struct chain *chain, int fd, struct diagnostic *failure);

/* To be called when all members and maps are in: do they fit together at all? */
int chain__check(struct chain *chain, struct diagnostic *failure);

/* NULL if the chain was not given it. */
const struct chain_map *chain__map(const struct chain *chain, __u32 id);

/* (Re)computes what the frame rounding decides. */
int chain__set_rounding(struct chain *chain, enum frame_rounding rounding);

void chain__release(struct chain *chain);

#endif
