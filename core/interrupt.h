/*
 * Ending early: signals that a person or a deadline sends to a call that takes too long. While one
 * is pending, calls that wait return -EINTR instead of waiting on.
 */
#ifndef CORE_INTERRUPT_H
#define CORE_INTERRUPT_H

#include <poll.h>
#include <signal.h>
#include <stdbool.h>

/*
 * From now on the signal (SIGINT or SIGALRM) becomes pending and `then` is called in the handler.
 * A second SIGINT does what it did before, so that it ends a process that does not listen.
 */
int interrupt_catch(int signal, void (*then)(void), struct sigaction *before);
void interrupt_release(int signal, const struct sigaction *before);

/* The pending signal, or 0. */
int interrupt_pending(void);
void interrupt_clear(void);

/* As poll(2), but no signal is missed that comes just before it. Returns what poll does or -errno.
 */
int interrupt_poll(struct pollfd *polled, nfds_t count, int timeout_ms);

/*
 * SIGALRM after so many seconds, and again every few milliseconds until interrupt_silence: the
 * first may come just before a call begins to wait.
 */
void interrupt_alarm(double seconds);
void interrupt_silence(void);

#endif
