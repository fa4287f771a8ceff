#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/signals.h"

/* SIGCHLD ignored would take children's exit statuses away; stopping is no end. */
static const int kept[] = {
    SIGTERM, SIGINT,  SIGKILL, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGCONT,
    SIGCHLD, SIGSEGV, SIGBUS,  SIGFPE,	SIGILL,	 SIGTRAP, SIGSYS,  SIGABRT,
};

static bool is_kept(int number)
{
	for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++)
		if (kept[i] == number)
			return true;
	return false;
}

void signals_ignore(void)
{
	const struct sigaction action = {.sa_handler = SIG_IGN};

	for (int number = 1; number < NSIG; number++)
		if (!is_kept(number))
			sigaction(number, &action, NULL); /* -EINVAL: libc's own two */
}

void signals_hold(void)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
}
