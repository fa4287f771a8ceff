/* What the verifier's log says about why a program was refused. */
#ifndef CORE_CHAIN_REFUSAL_H
#define CORE_CHAIN_REFUSAL_H

enum refusal_kind {
	REFUSED_INSN,	/* at an instruction, or nobody knows where */
	REFUSED_SIZE,	/* too many instructions, maps or functions: a smaller program may do */
	REFUSED_FRAMES, /* the stack frames of a call chain are too big together */
};

struct refusal {
	enum refusal_kind kind;
	int insn; /* where verification stopped; -1 if the log does not say */
};

/* `err` is what the load returned, -errno; `log` may be empty, which on older kernels is all one
 * gets for too many maps. */
struct refusal refusal__read(int err, const char *log);

#endif
