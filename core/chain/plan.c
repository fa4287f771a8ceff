#include <limits.h>

#include "core/chain/plan.h"

#define STACK_SIZE 512
#define MAX_FRAMES 8

/* Of the kernel's 64 maps a segment keeps two: its counters, and the way to the next segment. */
#define MAPS_OF_MEMBERS (MEMBER_MAX_MAPS - 2)

/* Of the kernel's million; together members need a little more than alone, and what we add is not
 * free either. */
#define INSNS_OF_MEMBERS 950000
#define INSNS_OF_OURS	 64

struct demand {
	__u32 bodies; /* deepest inlined body */
	__u32 below;  /* deepest frames below the main one */
	int slack;    /* bytes that the main frame may have, for tail calls below it */
	bool context_slot;
	bool may_goto;
};

static __u32 body_stack(const struct chain_member *member)
{
	return member->member.functions[0].stack;
}

static struct demand measure(const struct chain *chain, const struct segment_plan *plan)
{
	struct demand demand = {.slack = INT_MAX};

	for (__u32 i = 0; i < plan->count; i++) {
		const struct chain_member *member = &chain->members[plan->first + i];
		const struct footprint *print = &member->footprints[0];
		__u32 below = member->called ? print->stack : print->below;
		int slack = member->called ? print->slack : print->slack_below;

		if (below > demand.below)
			demand.below = below;
		if (slack < demand.slack)
			demand.slack = slack;
		if (member->called)
			continue;
		if (body_stack(member) > demand.bodies)
			demand.bodies = body_stack(member);
		demand.may_goto |= member->member.may_goto;
		/* whoever comes behind it needs the context: a member, or the tail call to the next
		 * segment */
		demand.context_slot |= i + 1 < plan->count || !plan->last;
	}
	return demand;
}

static bool fits(const struct chain *chain, const struct demand *demand)
{
	/* may_goto's counter, and since 6.15 its timestamp, come on top */
	__u32 bytes = demand->bodies + (demand->context_slot ? 8 : 0) + (demand->may_goto ? 16 : 0);
	__u32 frame = round_frame(bytes, chain->rounding);

	return frame + demand->below <= STACK_SIZE && (int)frame <= demand->slack;
}

/* The inlined member whose body weighs most on the main frame, among those that have a frame left
 * to be called in. */
static struct chain_member *heaviest(const struct chain *chain, const struct segment_plan *plan)
{
	struct chain_member *found = NULL;

	for (__u32 i = 0; i < plan->count; i++) {
		struct chain_member *member = &chain->members[plan->first + i];

		if (member->called || member->footprints[0].frames >= MAX_FRAMES)
			continue;
		if (!found || body_stack(member) > body_stack(found))
			found = member;
	}
	return found;
}

/* Inlines all that may be, then moves bodies out of the main frame until the frames fit. */
static bool plan_stack(struct chain *chain, struct segment_plan *plan)
{
	for (;;) {
		struct demand demand = measure(chain, plan);
		struct chain_member *member;

		plan->context_slot = demand.context_slot ? demand.bodies + 8 : 0;
		if (fits(chain, &demand))
			return true;
		member = heaviest(chain, plan);
		if (!member)
			return false;
		member->called = true;
	}
}

static void inline_all(struct chain *chain, const struct segment_plan *plan)
{
	for (__u32 i = 0; i < plan->count; i++) {
		struct chain_member *member = &chain->members[plan->first + i];

		member->called = member->must_call || member->refused_inline;
	}
}

static bool stack_fits(struct chain *chain, struct segment_plan *plan)
{
	inline_all(chain, plan);
	return plan_stack(chain, plan);
}

/* What the limits of one program count, summed over the members taken so far. */
struct tally {
	__u32 map_ids[MAPS_OF_MEMBERS];
	__u32 map_cnt;
	__u32 arena; /* map id */
	__u64 insns;
};

/* Returns false when a limit is passed. */
static bool add_map(struct tally *tally, const struct chain_map *map)
{
	for (__u32 i = 0; i < tally->map_cnt; i++)
		if (tally->map_ids[i] == map->id)
			return true;
	if (map->type == MAP_TYPE_ARENA) {
		if (tally->arena)
			return false; /* "Only one arena per program" */
		tally->arena = map->id;
	}
	if (tally->map_cnt == MAPS_OF_MEMBERS)
		return false;
	tally->map_ids[tally->map_cnt++] = map->id;
	return true;
}

static bool add_member(const struct chain *chain, struct tally *tally,
		       const struct chain_member *member)
{
	for (__u32 i = 0; i < member->member.reference_cnt; i++)
		if (!add_map(tally, chain__map(chain, member->member.references[i].map_id)))
			return false;
	tally->insns += member->verified_insns + INSNS_OF_OURS;
	return tally->insns <= INSNS_OF_MEMBERS;
}

static __u32 function_count(const struct chain *chain, const struct segment_plan *plan)
{
	__u32 count = 1;

	for (__u32 i = 0; i < plan->count; i++) {
		const struct chain_member *member = &chain->members[plan->first + i];

		count += member->member.function_cnt - !member->called;
	}
	return count;
}

static void resize(struct chain *chain, struct segment_plan *plan, __u32 count)
{
	plan->count = count;
	plan->last = plan->first + count == chain->member_cnt;
}

void plan__segment(struct chain *chain, __u32 first, __u32 limit, struct segment_plan *plan)
{
	struct tally tally = {0};
	__u32 count;

	*plan = (struct segment_plan){.first = first};
	for (count = 0; count < limit && first + count < chain->member_cnt; count++) {
		const struct chain_member *member = &chain->members[first + count];

		/* a program has one licence, and a GPL one may be only what is all GPL */
		if (member->gpl_compatible != chain->members[first].gpl_compatible)
			break;
		if (!add_member(chain, &tally, member) && count)
			break;
	}
	/* Not being last costs a slot for the context, so what fits is not what fits with one
	 * member less: count down. */
	for (; count > 1; count--) {
		resize(chain, plan, count);
		if (stack_fits(chain, plan) && function_count(chain, plan) <= MEMBER_MAX_FUNCTIONS)
			return;
	}
	resize(chain, plan, 1);
	stack_fits(chain, plan);
}
