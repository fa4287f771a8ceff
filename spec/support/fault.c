/*
 * Preloaded into a spec's bpfd: makes the n-th call that touches the world fail, or kills the
 * caller or the daemon there. The spec and all of the daemon's processes share some pages, the
 * file that FAULT_FILE names.
 *
 * libbpf's, SQLite's, libcurl's, luv's and our own system calls all go through libc's functions,
 * and so through these. Reading and writing of pipes the kernel never refuses, and libuv therefore
 * takes a refusal for a fault of its own.
 */
#include <dirent.h>
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
#include <linux/bpf.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

enum mode { COUNT, FAIL, KILL_CALLER, KILL_DAEMON };

/*
 * What a call does to what outlives its process: nothing; it makes or changes something, for
 * which there may be no room; it changes something otherwise, or tells somebody.
 */
enum effect { LOOKS, NEEDS_ROOM, CHANGES };

#define LOGGED 8192

/* spec/support/fault.lua writes and reads the same */
struct control {
	uint32_t armed, mode;
	uint32_t at; /* the call that it happens at, from 1 */
	uint32_t error;
	int32_t daemon; /* 0: the first bpfd that starts */
	_Atomic uint32_t calls, fired;
	char name[32]; /* of the call that it happened at */
	char only[16]; /* calls of this name count alone; empty: all */
	struct {
		uint8_t effect, by_daemon;
		char name[14];
	} log[LOGGED]; /* while it counts */
};

static struct control *control;

__attribute__((constructor)) static void share_pages(void)
{
	const char *path = getenv("FAULT_FILE");
	int fd = path && !strcmp(program_invocation_short_name, "bpfd")
		     ? open(path, O_RDWR | O_CLOEXEC)
		     : -1;
	struct control *pages;

	if (fd < 0)
		return;
	pages = mmap(NULL, sizeof(*pages), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (pages == MAP_FAILED)
		return;
	if (!pages->daemon)
		pages->daemon = getpid();
	control = pages;
}

/* Whether this call is to fail; errno is set then. */
static int fails(const char *name, enum effect effect)
{
	uint32_t call;

	if (!control || !control->armed || (control->only[0] && strcmp(control->only, name)))
		return 0;
	call = atomic_fetch_add(&control->calls, 1) + 1;
	if (control->mode == COUNT && call <= LOGGED) {
		control->log[call - 1].effect = effect;
		control->log[call - 1].by_daemon = getpid() == control->daemon;
		strncpy(control->log[call - 1].name, name, sizeof(control->log[0].name));
	}
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

#define WRAP(type, failure, effect, name, parameters, arguments)                                   \
	type name parameters                                                                       \
	{                                                                                          \
		REAL(name);                                                                        \
		return fails(#name, effect) ? (type)failure : real arguments;                      \
	}
#define LOOK(type, name, parameters, arguments) WRAP(type, -1, LOOKS, name, parameters, arguments)
#define MAKE(type, name, parameters, arguments)                                                    \
	WRAP(type, -1, NEEDS_ROOM, name, parameters, arguments)
#define CHANGE(type, name, parameters, arguments)                                                  \
	WRAP(type, -1, CHANGES, name, parameters, arguments)

#define WRAP_OPEN(name, parameters, before)                                                        \
	int name parameters                                                                        \
	{                                                                                          \
		va_list list;                                                                      \
		mode_t mode;                                                                       \
		REAL(name);                                                                        \
		va_start(list, flags);                                                             \
		mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0;                   \
		va_end(list);                                                                      \
		if (fails(#name, flags & O_CREAT ? NEEDS_ROOM : LOOKS))                            \
			return -1;                                                                 \
		return real(before path, flags, mode);                                             \
	}
#define AT at,

WRAP_OPEN(open, (const char *path, int flags, ...), )
WRAP_OPEN(open64, (const char *path, int flags, ...), )
WRAP_OPEN(openat, (int at, const char *path, int flags, ...), AT)
WRAP_OPEN(openat64, (int at, const char *path, int flags, ...), AT)

static enum effect effect_of_bpf(long command)
{
	switch (command) {
	case BPF_OBJ_PIN:
	case BPF_MAP_CREATE:
	case BPF_MAP_UPDATE_ELEM:
	case BPF_MAP_FREEZE:
	case BPF_LINK_CREATE:
		return NEEDS_ROOM;
	case BPF_PROG_ATTACH:
	case BPF_PROG_DETACH:
	case BPF_LINK_UPDATE:
	case BPF_LINK_DETACH:
	case BPF_RAW_TRACEPOINT_OPEN:
		return CHANGES;
	default:
		return LOOKS;
	}
}

long syscall(long number, ...)
{
	va_list list;
	long arguments[6];
	enum effect effect = LOOKS;
	char name[32] = "syscall";
	REAL(syscall);

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		arguments[i] = va_arg(list, long);
	va_end(list);
	if (number == SYS_bpf) {
		effect = effect_of_bpf(arguments[0]);
		snprintf(name, sizeof(name), "bpf %ld", arguments[0]);
	} else {
		snprintf(name, sizeof(name), "syscall %ld", number);
	}
	return fails(name, effect) ? -1
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
	return fails("ioctl", CHANGES) ? -1 : real(fd, request, argument);
}

/* Locks, SQLite's. They are let go of without fail, and descriptors' flags told. */
#define WRAP_FCNTL(name)                                                                           \
	int name(int fd, int command, ...)                                                         \
	{                                                                                          \
		va_list list;                                                                      \
		void *argument;                                                                    \
		REAL(name);                                                                        \
		va_start(list, command);                                                           \
		argument = va_arg(list, void *);                                                   \
		va_end(list);                                                                      \
		if ((command == F_SETLK || command == F_SETLKW) &&                                 \
		    ((struct flock *)argument)->l_type != F_UNLCK && fails(#name, LOOKS))          \
			return -1;                                                                 \
		return real(fd, command, argument);                                                \
	}

WRAP_FCNTL(fcntl)
WRAP_FCNTL(fcntl64)

static int is_file(int fd)
{
	struct stat facts;
	static int (*real)(int, struct stat *);

	if (!real)
		real = (__typeof__(real))dlsym(RTLD_NEXT, "fstat");
	return real(fd, &facts) == 0 && S_ISREG(facts.st_mode);
}

ssize_t read(int fd, void *bytes, size_t size)
{
	REAL(read);

	return control && control->armed && is_file(fd) && fails("read", LOOKS)
		   ? -1
		   : real(fd, bytes, size);
}

ssize_t write(int fd, const void *bytes, size_t size)
{
	REAL(write);

	return control && control->armed && is_file(fd) && fails("write", NEEDS_ROOM)
		   ? -1
		   : real(fd, bytes, size);
}

struct dirent *readdir(DIR *directory)
{
	REAL(readdir);

	return fails("readdir", LOOKS) ? NULL : real(directory);
}

LOOK(ssize_t, pread, (int fd, void *bytes, size_t size, off_t at), (fd, bytes, size, at))
LOOK(ssize_t, pread64, (int fd, void *bytes, size_t size, off64_t at), (fd, bytes, size, at))
WRAP(DIR *, NULL, LOOKS, opendir, (const char *path), (path))
WRAP(DIR *, NULL, LOOKS, fdopendir, (int fd), (fd))
WRAP(FILE *, NULL, LOOKS, fopen, (const char *path, const char *mode), (path, mode))
WRAP(FILE *, NULL, LOOKS, fopen64, (const char *path, const char *mode), (path, mode))
WRAP(void *, MAP_FAILED, LOOKS, mmap64,
     (void *at, size_t size, int protection, int flags, int fd, off64_t offset),
     (at, size, protection, flags, fd, offset))
LOOK(int, stat, (const char *path, struct stat *facts), (path, facts))
LOOK(int, stat64, (const char *path, struct stat64 *facts), (path, facts))
LOOK(int, lstat, (const char *path, struct stat *facts), (path, facts))
LOOK(int, lstat64, (const char *path, struct stat64 *facts), (path, facts))
LOOK(int, fstat, (int fd, struct stat *facts), (fd, facts))
LOOK(int, fstat64, (int fd, struct stat64 *facts), (fd, facts))
LOOK(int, fstatat, (int at, const char *path, struct stat *facts, int flags),
     (at, path, facts, flags))
LOOK(int, statx, (int at, const char *path, int flags, unsigned int mask, struct statx *facts),
     (at, path, flags, mask, facts))
LOOK(int, statfs, (const char *path, struct statfs *facts), (path, facts))
LOOK(int, fstatfs, (int fd, struct statfs *facts), (fd, facts))
LOOK(int, access, (const char *path, int mode), (path, mode))
LOOK(ssize_t, readlink, (const char *path, char *text, size_t size), (path, text, size))
LOOK(int, flock, (int fd, int operation), (fd, operation))
LOOK(int, setns, (int fd, int kind), (fd, kind))
LOOK(pid_t, fork, (void), ())
LOOK(int, pipe2, (int ends[2], int flags), (ends, flags))
LOOK(int, memfd_create, (const char *name, unsigned int flags), (name, flags))
LOOK(int, socket, (int domain, int type, int protocol), (domain, type, protocol))
LOOK(int, socketpair, (int domain, int type, int protocol, int ends[2]),
     (domain, type, protocol, ends))
LOOK(int, bind, (int fd, const struct sockaddr *address, socklen_t size), (fd, address, size))
LOOK(int, listen, (int fd, int most), (fd, most))
LOOK(int, connect, (int fd, const struct sockaddr *address, socklen_t size), (fd, address, size))
LOOK(int, accept4, (int fd, struct sockaddr *address, socklen_t *size, int flags),
     (fd, address, size, flags))
LOOK(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t size),
     (fd, level, name, value, size))
LOOK(int, getsockopt, (int fd, int level, int name, void *value, socklen_t *size),
     (fd, level, name, value, size))
LOOK(ssize_t, recv, (int fd, void *bytes, size_t size, int flags), (fd, bytes, size, flags))
LOOK(ssize_t, recvfrom,
     (int fd, void *bytes, size_t size, int flags, struct sockaddr *from, socklen_t *length),
     (fd, bytes, size, flags, from, length))
LOOK(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags))

MAKE(ssize_t, pwrite, (int fd, const void *bytes, size_t size, off_t at), (fd, bytes, size, at))
MAKE(ssize_t, pwrite64, (int fd, const void *bytes, size_t size, off64_t at), (fd, bytes, size, at))
MAKE(ssize_t, sendfile, (int to, int from, off_t *offset, size_t size), (to, from, offset, size))
MAKE(int, fsync, (int fd), (fd))
MAKE(int, fdatasync, (int fd), (fd))
MAKE(int, ftruncate, (int fd, off_t size), (fd, size))
MAKE(int, ftruncate64, (int fd, off64_t size), (fd, size))
MAKE(int, rename, (const char *from, const char *to), (from, to))
MAKE(int, renameat2, (int from_at, const char *from, int to_at, const char *to, unsigned int flags),
     (from_at, from, to_at, to, flags))
MAKE(int, mkdir, (const char *path, mode_t mode), (path, mode))
CHANGE(int, remove, (const char *path), (path))
CHANGE(int, unlink, (const char *path), (path))
CHANGE(int, unlinkat, (int at, const char *path, int flags), (at, path, flags))
CHANGE(int, rmdir, (const char *path), (path))
CHANGE(int, chmod, (const char *path, mode_t mode), (path, mode))
CHANGE(int, fchmod, (int fd, mode_t mode), (fd, mode))
CHANGE(int, chown, (const char *path, uid_t user, gid_t group), (path, user, group))
CHANGE(int, lchown, (const char *path, uid_t user, gid_t group), (path, user, group))
CHANGE(int, fchown, (int fd, uid_t user, gid_t group), (fd, user, group))
CHANGE(int, utimensat, (int at, const char *path, const struct timespec times[2], int flags),
       (at, path, times, flags))
CHANGE(int, mount,
       (const char *from, const char *to, const char *type, unsigned long flags, const void *data),
       (from, to, type, flags, data))
CHANGE(int, umount2, (const char *path, int flags), (path, flags))
CHANGE(int, fsopen, (const char *type, unsigned int flags), (type, flags))
CHANGE(int, fsmount, (int fd, unsigned int flags, unsigned int attributes), (fd, flags, attributes))
CHANGE(int, open_tree, (int at, const char *path, unsigned int flags), (at, path, flags))
CHANGE(int, move_mount,
       (int from_at, const char *from, int to_at, const char *to, unsigned int flags),
       (from_at, from, to_at, to, flags))
CHANGE(ssize_t, send, (int fd, const void *bytes, size_t size, int flags), (fd, bytes, size, flags))
CHANGE(ssize_t, sendto,
       (int fd, const void *bytes, size_t size, int flags, const struct sockaddr *to,
	socklen_t length),
       (fd, bytes, size, flags, to, length))
CHANGE(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))
