#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/chain/refusal.h"

/* "123: (85) call ..." at the start of a line: an instruction being verified. */
static int insn_of_line(const char *line)
{
	char *end;
	long insn;

	if (!isdigit((unsigned char)*line))
		return -1;
	insn = strtol(line, &end, 10);
	return !strncmp(end, ": (", 3) && insn <= INT_MAX ? (int)insn : -1;
}

/* Checks before verification proper name the instruction: "jump out of range from insn 5 to 9",
 * "unreachable insn 7". */
static int insn_of_sentence(const char *log)
{
	const char *found = strstr(log, "insn ");

	return found && isdigit((unsigned char)found[5]) ? atoi(found + 5) : -1;
}

static int last_insn(const char *log)
{
	int last = -1;

	for (const char *line = log; line; line = strchr(line, '\n')) {
		int insn;

		line += *line == '\n';
		insn = insn_of_line(line);
		if (insn >= 0)
			last = insn;
	}
	return last >= 0 ? last : insn_of_sentence(log);
}

static int says_any(const char *log, const char *const *phrases)
{
	for (; *phrases; phrases++)
		if (strstr(log, *phrases))
			return 1;
	return 0;
}

struct refusal refusal__read(int err, const char *log)
{
	static const char *const frames[] = {"combined stack size of",
					     "tail_calls are not allowed when call stack", NULL};
	static const char *const size[] = {"BPF program is too large", "too many subprograms",
					   "The number of maps per program", NULL};
	struct refusal refusal = {REFUSED_INSN, -1};

	if (says_any(log, frames))
		refusal.kind = REFUSED_FRAMES;
	else if (says_any(log, size) || (err == -E2BIG && !*log))
		refusal.kind = REFUSED_SIZE;
	else
		refusal.insn = last_insn(log);
	return refusal;
}
