/* Which signals end a daemon, and when none does any more. */
#ifndef CORE_SIGNALS_H
#define CORE_SIGNALS_H

/*
 * From now on this process ignores every signal that would end it, but for those that are meant to
 * (SIGTERM, SIGINT, SIGKILL) and those that the kernel or abort(3) raise for a fault of its own.
 * Handlers can still be set for the ignored ones.
 */
void signals_ignore(void);

/* From now on no signal but SIGKILL and SIGSTOP reaches this process: for its last steps, when its
 * handlers have gone and only its exit status is left to come. */
void signals_hold(void);

#endif
