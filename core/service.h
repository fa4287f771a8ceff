/*
 * The two things that a service manager and a service say to each other: sd_notify(3) and
 * sd_listen_fds(3). Their protocols are plain enough (a datagram, three variables) not to need
 * libsystemd.
 */
#ifndef CORE_SERVICE_H
#define CORE_SERVICE_H

#include <stddef.h>

/* Tells the service manager, if there is one ($NOTIFY_SOCKET). Returns 0, also without one, or
 * -errno. */
int service_notify(const char *state);

/*
 * The first of the listening descriptors that this process was started with ($LISTEN_PID,
 * $LISTEN_FDS), made close-on-exec; *count is 0 without any. The variables are gone afterwards, so
 * that this is the owner's one chance to take them.
 */
int service_listeners(size_t *count);

/* The microseconds in which the service manager wants to hear WATCHDOG=1; 0 where it does not care.
 */
unsigned long long service_watchdog(void);

#endif
