/*
 * Preloaded into a spec's bpfd: makes the n-th call that touches the world fail, or kills the
 * caller or the daemon there. The spec and all of the daemon's processes share a page, the file
 * that FAULT_FILE names.
 *
 * libbpf's, SQLite's, luv's and our own system calls all go through libc's functions, and so
 * through these.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum mode { COUNT, FAIL, KILL_CALLER, KILL_DAEMON };

/* spec/support/fault.lua writes and reads the same */
struct control {
	uint32_t armed, mode;
	uint32_t at; /* the call that it happens at, from 1 */
	uint32_t error;
	int32_t daemon;
	_Atomic uint32_t calls, fired;
	char name[32]; /* of the call that it happened at */
};

static struct control *control;

__attribute__((constructor)) static void share_page(void)
{
	const char *path = getenv("FAULT_FILE");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *page;

	if (fd < 0)
		return;
	page = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (page != MAP_FAILED)
		control = page;
}

/* Whether this call is to fail; errno is set then. */
static int fails(const char *name)
{
	uint32_t call;

	if (!control || !control->armed)
		return 0;
	call = atomic_fetch_add(&control->calls, 1) + 1;
	if (control->mode == COUNT || call != control->at)
		return 0;
	strncpy(control->name, name, sizeof(control->name) - 1);
	atomic_store(&control->fired, 1);
	if (control->mode == FAIL) {
		errno = (int)control->error;
		return 1;
	}
	if (control->mode == KILL_DAEMON)
		kill(control->daemon, SIGKILL);
	kill(getpid(), SIGKILL);
	return 1;
}

#define REAL(name)                                                                                 \
	static __typeof__(name) *real;                                                             \
	if (!real)                                                                                 \
	real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

#define WRAP(type, name, parameters, arguments)                                                    \
	type name parameters                                                                       \
	{                                                                                          \
		REAL(name);                                                                        \
		return fails(#name) ? (type)-1 : real arguments;                                   \
	}

#define WRAP_OPEN(name)                                                                            \
	int name(const char *path, int flags, ...)                                                 \
	{                                                                                          \
		va_list list;                                                                      \
		mode_t mode;                                                                       \
		REAL(name);                                                                        \
		va_start(list, flags);                                                             \
		mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0;                   \
		va_end(list);                                                                      \
		return fails(#name) ? -1 : real(path, flags, mode);                                \
	}

#define WRAP_OPENAT(name)                                                                          \
	int name(int at, const char *path, int flags, ...)                                         \
	{                                                                                          \
		va_list list;                                                                      \
		mode_t mode;                                                                       \
		REAL(name);                                                                        \
		va_start(list, flags);                                                             \
		mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0;                   \
		va_end(list);                                                                      \
		return fails(#name) ? -1 : real(at, path, flags, mode);                            \
	}

WRAP_OPEN(open)
WRAP_OPEN(open64)
WRAP_OPENAT(openat)
WRAP_OPENAT(openat64)

long syscall(long number, ...)
{
	va_list list;
	long arguments[6];
	REAL(syscall);

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		arguments[i] = va_arg(list, long);
	va_end(list);
	return fails("syscall") ? -1
				: real(number, arguments[0], arguments[1], arguments[2],
				       arguments[3], arguments[4], arguments[5]);
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list list;
	void *argument;
	REAL(ioctl);

	va_start(list, request);
	argument = va_arg(list, void *);
	va_end(list);
	return fails("ioctl") ? -1 : real(fd, request, argument);
}

WRAP(ssize_t, write, (int fd, const void *bytes, size_t size), (fd, bytes, size))
WRAP(ssize_t, pwrite, (int fd, const void *bytes, size_t size, off_t at), (fd, bytes, size, at))
WRAP(ssize_t, pwrite64, (int fd, const void *bytes, size_t size, off64_t at), (fd, bytes, size, at))
WRAP(int, fsync, (int fd), (fd))
WRAP(int, fdatasync, (int fd), (fd))
WRAP(int, ftruncate, (int fd, off_t size), (fd, size))
WRAP(int, ftruncate64, (int fd, off64_t size), (fd, size))
WRAP(int, rename, (const char *from, const char *to), (from, to))
WRAP(int, unlink, (const char *path), (path))
WRAP(int, unlinkat, (int at, const char *path, int flags), (at, path, flags))
WRAP(int, rmdir, (const char *path), (path))
WRAP(int, mkdir, (const char *path, mode_t mode), (path, mode))
WRAP(int, chmod, (const char *path, mode_t mode), (path, mode))
WRAP(int, chown, (const char *path, uid_t user, gid_t group), (path, user, group))
WRAP(int, mount,
     (const char *from, const char *to, const char *type, unsigned long flags, const void *data),
     (from, to, type, flags, data))
WRAP(int, umount2, (const char *path, int flags), (path, flags))
WRAP(int, setns, (int fd, int kind), (fd, kind))
WRAP(pid_t, fork, (void), ())
WRAP(int, pipe2, (int ends[2], int flags), (ends, flags))
WRAP(int, memfd_create, (const char *name, unsigned int flags), (name, flags))
WRAP(int, socket, (int domain, int type, int protocol), (domain, type, protocol))
WRAP(int, bind, (int fd, const struct sockaddr *address, socklen_t size), (fd, address, size))
WRAP(ssize_t, sendto,
     (int fd, const void *bytes, size_t size, int flags, const struct sockaddr *to,
      socklen_t length),
     (fd, bytes, size, flags, to, length))
WRAP(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))
WRAP(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags))
