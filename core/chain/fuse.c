#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>

#include "core/chain/counters.h"
#include "core/chain/emit.h"
#include "core/chain/fuse.h"
#include "core/chain/plan.h"
#include "core/chain/refusal.h"
#include "core/chain/types.h"

#define LOG_LEVEL_PATH	1 /* the instructions on the refused path */
#define LOG_LEVEL_STATS 4 /* only what went wrong, and totals: costs nothing */
#define LOG_SIZE	(16 * 1024 * 1024)
#define LOG_KEPT	(64 * 1024)
#define MAX_SEGMENTS	34 /* the head, and the 33 tail calls that a packet has */

/* What is loaded: instructions with their functions' types, and the log buffer. */
struct attempt {
	struct segment_code code;
	struct function_info *info;
	int btf_fd;
	char *log;
};

struct builder {
	struct chain *chain;
	struct counter_layout counters;
	struct diagnostic *failure;
	char *log;
};

static __u32 segment_flags(const struct chain *chain, const struct segment_plan *plan)
{
	__u32 any = 0, frags = BPF_F_XDP_HAS_FRAGS;

	for (__u32 i = 0; i < plan->count; i++)
		any |= chain->members[plan->first + i].member.flags;
	/* of the whole chain: segments share program arrays, whose users must agree */
	for (__u32 i = 0; i < chain->member_cnt; i++)
		frags &= chain->members[i].member.flags;
	return (any & ~BPF_F_XDP_HAS_FRAGS) | frags;
}

static int load(struct builder *b, const struct segment_plan *plan, const struct attempt *attempt,
		__u32 log_level)
{
	bool xdp = b->chain->kind == CHAIN_XDP;
	const struct chain_member *first = &b->chain->members[plan->first];
	LIBBPF_OPTS(bpf_prog_load_opts, options,
		    /* always, as on the twins: program arrays compare it since 6.18 */
		    .expected_attach_type = xdp ? BPF_XDP : 0,
		    .prog_flags = segment_flags(b->chain, plan), .prog_btf_fd = attempt->btf_fd,
		    .func_info = attempt->info, .func_info_cnt = attempt->code.function_cnt + 1,
		    .func_info_rec_size = sizeof(*attempt->info), .log_level = log_level,
		    .log_buf = b->log, .log_size = LOG_SIZE);
	int fd;

	b->log[0] = '\0';
	fd = bpf_prog_load(xdp ? BPF_PROG_TYPE_XDP : BPF_PROG_TYPE_SCHED_CLS, "dispatcher",
			   first->gpl_compatible ? "GPL" : first->member.license,
			   attempt->code.insns, attempt->code.insn_cnt, &options);
	return fd < 0 ? -errno : fd;
}

static int prepare_attempt(struct builder *b, const struct segment_plan *plan, int next_fd,
			   struct attempt *attempt)
{
	int err = emit__segment(b->chain, plan, &b->counters, next_fd, &attempt->code);

	if (err)
		return err;
	attempt->info = calloc(attempt->code.function_cnt + 1, sizeof(*attempt->info));
	if (!attempt->info)
		return -ENOMEM;
	attempt->btf_fd = types__load(b->chain, &attempt->code, attempt->info);
	return attempt->btf_fd < 0 ? attempt->btf_fd : 0;
}

static void release_attempt(struct attempt *attempt)
{
	segment_code__release(&attempt->code);
	free(attempt->info);
	if (attempt->btf_fd >= 0)
		close(attempt->btf_fd);
}

/* The member that holds the instruction; -1 if it is ours, or unknown. */
static int member_at(const struct segment_code *code, int insn)
{
	for (__u32 i = 0; i < code->span_cnt && insn >= 0; i++)
		if ((__u32)insn >= code->spans[i].start && (__u32)insn < code->spans[i].end)
			return code->spans[i].member;
	return -1;
}

/* Returns a descriptor, or -errno and why: `culprit` is the member where verification stopped, or
 * -1. */
static int try_segment(struct builder *b, const struct segment_plan *plan, int next_fd,
		       struct refusal *refusal, int *culprit)
{
	struct attempt attempt = {.btf_fd = -1};
	int fd = prepare_attempt(b, plan, next_fd, &attempt);

	*refusal = (struct refusal){fd == -E2BIG ? REFUSED_SIZE : REFUSED_INSN, -1};
	*culprit = -1;
	b->log[0] = '\0';
	if (fd)
		goto out;
	fd = load(b, plan, &attempt, LOG_LEVEL_STATS);
	if (fd >= 0)
		goto out;
	*refusal = refusal__read(fd, b->log);
	if (refusal->kind == REFUSED_INSN) {
		int again = load(b, plan, &attempt, LOG_LEVEL_PATH);

		/* a refusal that passes by itself (memory, a signal) is none */
		fd = again;
		if (again < 0)
			*refusal = refusal__read(again, b->log);
		*culprit = member_at(&attempt.code, refusal->insn);
	}
out:
	release_attempt(&attempt);
	return fd;
}

/* Whether another way of building might please the kernel, after this error. */
static bool is_about_program(int err)
{
	return err == -EACCES || err == -EINVAL || err == -E2BIG || err == -EBUSY ||
	       err == -EFAULT || err == -ENOSPC || err == -EOPNOTSUPP || err == -ERANGE ||
	       err == -ENOENT;
}

/* Calls a member that was inlined so far. One that fills all frames itself cannot be called. */
static bool call_instead(struct chain_member *member)
{
	if (member->called || member->refused_inline || member->footprints[0].frames >= 8)
		return false;
	return member->refused_inline = true;
}

/*
 * The ladder. A member that loads alone must load in company, so each refusal is answered by a
 * build in which the refused member is more like it was alone: called instead of inlined; first in
 * a segment of its own making; alone in it. Each step calls one more member or lowers the limit, so
 * it ends. Returns false when there is none left.
 */
static bool next_step(struct builder *b, const struct segment_plan *plan,
		      const struct refusal *refusal, int culprit, __u32 *limit)
{
	struct chain *chain = b->chain;
	__u32 shorter = plan->count / 2;

	if (refusal->kind == REFUSED_FRAMES && chain->rounding == FRAME_ROUND_16)
		return !chain__set_rounding(chain, FRAME_ROUND_32);
	if (refusal->kind == REFUSED_INSN) {
		if (culprit < 0 && plan->count == 1)
			culprit = plan->first;
		if (culprit >= 0 && call_instead(&chain->members[culprit]))
			return true;
		if (culprit > (int)plan->first) {
			shorter = culprit - plan->first;
			chain->members[culprit].refused_inline = false;
		} else if (culprit == (int)plan->first && plan->count > 1) {
			shorter = 1;
			chain->members[culprit].refused_inline = false;
		}
	}
	if (plan->count == 1)
		return false;
	*limit = shorter;
	return true;
}

/* The verifier's last words are in front of its totals; people need the end of a long log, not its
 * beginning. */
static void keep_log(struct builder *b)
{
	size_t length = strlen(b->log);
	const char *from = length > LOG_KEPT ? b->log + length - LOG_KEPT : b->log;

	if (from != b->log && strchr(from, '\n'))
		from = strchr(from, '\n') + 1;
	if (!*from)
		return;
	b->failure->log = strdup(from);
	b->failure->log_length = b->failure->log ? strlen(from) : 0;
	b->failure->is_verifier_log = true;
}

/* Names the two members whose frames meet, which are never what the kernel's own message shows. */
static int explain_frames(struct builder *b, const struct segment_plan *plan, int err)
{
	const struct chain_member *body = NULL, *below = NULL;

	for (__u32 i = 0; i < plan->count; i++) {
		const struct chain_member *member = &b->chain->members[plan->first + i];
		__u32 deep =
		    member->called ? member->footprints[0].stack : member->footprints[0].below;

		if (!member->called &&
		    (!body || member->member.functions[0].stack > body->member.functions[0].stack))
			body = member;
		if (deep && (!below || deep > (below->called ? below->footprints[0].stack
							     : below->footprints[0].below)))
			below = member;
	}
	if (!body || !below)
		return diagnostic__fail(b->failure, err,
					"%s needs more stack than a chain can give it",
					(body ?: below)->member.name);
	return diagnostic__fail(b->failure, err,
				"%s and what %s calls need more stack together than the kernel's "
				"512 bytes",
				body->member.name, below->member.name);
}

static int explain(struct builder *b, const struct segment_plan *plan,
		   const struct refusal *refusal, int culprit, int err)
{
	const struct chain_member *members = b->chain->members;

	keep_log(b);
	if (refusal->kind == REFUSED_FRAMES)
		return explain_frames(b, plan, err);
	if (refusal->kind == REFUSED_SIZE)
		return diagnostic__fail(b->failure, err,
					"%s is too large for the kernel together with what a "
					"chain adds to it",
					members[plan->first].member.name);
	if (!is_about_program(err))
		return diagnostic__fail(b->failure, err, "the kernel does not load the chain");
	if (culprit < 0)
		culprit = plan->first;
	return diagnostic__fail(b->failure, err,
				"the verifier refuses %s in a chain, though it "
				"accepts it alone",
				members[culprit].member.name);
}

static int build_segment(struct builder *b, __u32 first, struct fused_segment *segment)
{
	__u32 limit = b->chain->member_cnt - first;

	for (;;) {
		struct segment_plan plan;
		struct refusal refusal;
		int culprit, fd;

		plan__segment(b->chain, first, limit, &plan);
		if (!plan.last && segment->next_fd < 0) {
			segment->next_fd = bpf_map_create(BPF_MAP_TYPE_PROG_ARRAY, "next_segment",
							  sizeof(__u32), sizeof(__u32), 1, NULL);
			if (segment->next_fd < 0)
				return diagnostic__fail(b->failure, -errno,
							"no map for the next segment");
		}
		fd = try_segment(b, &plan, segment->next_fd, &refusal, &culprit);
		if (fd >= 0) {
			segment->program_fd = fd;
			segment->first = first;
			segment->count = plan.count;
			return 0;
		}
		if (!is_about_program(fd) || !next_step(b, &plan, &refusal, culprit, &limit))
			return explain(b, &plan, &refusal, culprit, fd);
	}
}

static int connect_segments(struct fused_chain *fused, struct diagnostic *failure)
{
	__u32 key = 0;

	for (__u32 i = 0; i + 1 < fused->segment_cnt; i++)
		if (bpf_map_update_elem(fused->segments[i].next_fd, &key,
					&fused->segments[i + 1].program_fd, BPF_ANY))
			return diagnostic__fail(failure, -errno,
						"the kernel does not connect two segments");
	return 0;
}

static int build_segments(struct builder *b, struct fused_chain *fused)
{
	for (__u32 first = 0; first < b->chain->member_cnt;) {
		struct fused_segment *segment = &fused->segments[fused->segment_cnt];
		int err;

		if (fused->segment_cnt == MAX_SEGMENTS)
			return diagnostic__fail(b->failure, -E2BIG,
						"the chain needs more than %d programs in a row, "
						"and a packet has 33 tail calls",
						MAX_SEGMENTS);
		*segment = (struct fused_segment){.program_fd = -1, .next_fd = -1};
		fused->segment_cnt++;
		err = build_segment(b, first, segment);
		if (err)
			return err;
		first += segment->count;
	}
	return connect_segments(fused, b->failure);
}

int fuse__build(struct chain *chain, struct fused_chain *fused, struct diagnostic *failure)
{
	struct builder b = {.chain = chain, .failure = failure};
	int err;

	memset(fused, 0, sizeof(*fused));
	fused->counters_fd = -1;
	b.log = malloc(LOG_SIZE);
	fused->segments = calloc(MAX_SEGMENTS, sizeof(*fused->segments));
	if (!b.log || !fused->segments || chain__set_rounding(chain, FRAME_ROUND_16)) {
		err = diagnostic__fail(failure, -ENOMEM, "no memory");
		goto out;
	}
	err = counters__create(chain->member_cnt + 2, &b.counters);
	if (err) {
		diagnostic__fail(failure, err, "no map for the counters");
		goto out;
	}
	fused->counters_fd = b.counters.fd;
	err = build_segments(&b, fused);
out:
	free(b.log);
	if (err)
		fuse__release(fused);
	return err;
}

static int pin(int fd, const char *directory, const char *name, __u32 number)
{
	char path[4096];
	int length = number ? snprintf(path, sizeof(path), "%s/%s-%u", directory, name, number)
			    : snprintf(path, sizeof(path), "%s/%s", directory, name);

	if (length >= (int)sizeof(path))
		return -ENAMETOOLONG;
	return bpf_obj_pin(fd, path) ? -errno : 0;
}

int fuse__pin(const struct fused_chain *fused, const char *directory)
{
	int err = pin(fused->counters_fd, directory, "counters", 0);

	for (__u32 i = 0; i + 1 < fused->segment_cnt && !err; i++)
		err = pin(fused->segments[i].next_fd, directory, "segment", i + 2);
	return err;
}

void fuse__release(struct fused_chain *fused)
{
	for (__u32 i = 0; i < fused->segment_cnt; i++) {
		if (fused->segments[i].program_fd >= 0)
			close(fused->segments[i].program_fd);
		if (fused->segments[i].next_fd >= 0)
			close(fused->segments[i].next_fd);
	}
	if (fused->counters_fd >= 0)
		close(fused->counters_fd);
	free(fused->segments);
	memset(fused, 0, sizeof(*fused));
	fused->counters_fd = -1;
}
