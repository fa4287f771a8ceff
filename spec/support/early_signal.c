/*
 * Preloaded into a spec's bpfctl: Ctrl-C comes when a call is just about to wait, when it has asked
 * already whether it came before.
 */
#include <dlfcn.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

static void interrupt_once(void)
{
	static int is_over;
	struct sigaction now;

	sigaction(SIGINT, NULL, &now);
	if (now.sa_handler == SIG_DFL || now.sa_handler == SIG_IGN || is_over++)
		return;
	raise(SIGINT);
}

int poll(struct pollfd *polled, nfds_t count, int timeout)
{
	int (*real)(struct pollfd *, nfds_t, int) = (__typeof__(real))dlsym(RTLD_NEXT, "poll");

	interrupt_once();
	return real(polled, count, timeout);
}

int ppoll(struct pollfd *polled, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
	int (*real)(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *) =
	    (__typeof__(real))dlsym(RTLD_NEXT, "ppoll");

	interrupt_once();
	return real(polled, count, timeout, mask);
}

ssize_t read(int fd, void *bytes, size_t size)
{
	ssize_t (*real)(int, void *, size_t) = (__typeof__(real))dlsym(RTLD_NEXT, "read");

	if (isatty(fd))
		interrupt_once();
	return real(fd, bytes, size);
}
