#include <errno.h>
#include <stddef.h>
#include <time.h>
#include <sys/time.h>

#include "core/interrupt.h"

#define AGAIN_MICROSECONDS 20000
#define LONGEST_SECONDS	   1e9

static volatile sig_atomic_t pending;
static void (*volatile act)(void);

static void handle(int signal)
{
	int kept = errno;

	pending = signal;
	if (act)
		act();
	errno = kept;
}

int interrupt_catch(int signal, void (*then)(void), struct sigaction *before)
{
	struct sigaction action = {.sa_handler = handle};

	sigemptyset(&action.sa_mask);
	action.sa_flags = signal == SIGINT ? SA_RESETHAND : 0;
	act = then;
	return sigaction(signal, &action, before) ? -errno : 0;
}

void interrupt_release(int signal, const struct sigaction *before)
{
	sigaction(signal, before, NULL);
}

int interrupt_pending(void)
{
	return pending;
}

void interrupt_clear(void)
{
	pending = 0;
}

int interrupt_poll(struct pollfd *polled, nfds_t count, int timeout_ms)
{
	struct timespec timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000000L};
	sigset_t caught, before;
	int ready = -1, err = EINTR;

	if (!act) { /* nobody is to be interrupted */
		ready = poll(polled, count, timeout_ms);
		return ready < 0 ? -errno : ready;
	}
	sigemptyset(&caught);
	sigaddset(&caught, SIGINT);
	sigaddset(&caught, SIGALRM);
	sigprocmask(SIG_BLOCK, &caught, &before);
	if (!pending) {
		ready = ppoll(polled, count, timeout_ms < 0 ? NULL : &timeout, &before);
		err = errno;
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	return ready < 0 ? -err : ready;
}

void interrupt_alarm(double seconds)
{
	struct itimerval timer = {.it_interval.tv_usec = AGAIN_MICROSECONDS};

	if (seconds > LONGEST_SECONDS)
		seconds = LONGEST_SECONDS;
	if (seconds > 0) {
		timer.it_value.tv_sec = (time_t)seconds;
		timer.it_value.tv_usec = (suseconds_t)((seconds - (double)(time_t)seconds) * 1e6);
	}
	if (!timer.it_value.tv_sec && !timer.it_value.tv_usec)
		timer.it_value.tv_usec = 1;
	setitimer(ITIMER_REAL, &timer, NULL);
}

void interrupt_silence(void)
{
	struct itimerval none = {};

	setitimer(ITIMER_REAL, &none, NULL);
}
