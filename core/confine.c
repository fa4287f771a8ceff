#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "core/architecture.h"
#include "core/confine.h"

#ifndef SECCOMP_ARCHITECTURE
#error "name this architecture in core/architecture.h"
#endif

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define LOW_HALF 0
#else
#define LOW_HALF 4
#endif

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define REFUSE	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)
#define ALLOW(number)                                                                              \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),                                         \
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

#ifdef __SANITIZE_ADDRESS__
static const bool is_sanitized = true;
#else
static const bool is_sanitized;
#endif

#define LAST_WORDS 256

static struct {
	char bytes[LAST_WORDS];
	size_t size;
	int fd;
} last_words;

static void end(int signal)
{
	if (last_words.size && write(last_words.fd, last_words.bytes, last_words.size) < 0)
		_exit(CONFINE_ENDED);
	_exit(CONFINE_ENDED + signal);
}

/* A C stack that has overflowed is none to say last words on. */
static int catch_ends(void)
{
	static char stack[16 << 10];
	const stack_t other = {.ss_sp = stack, .ss_size = sizeof(stack)};
	const struct sigaction action = {.sa_handler = end, .sa_flags = SA_ONSTACK};
	const int signals[] = {SIGPROF, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};

	if (sigaltstack(&other, NULL))
		return -errno;
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		if (sigaction(signals[i], &action, NULL))
			return -errno;
	return 0;
}

static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};

	return syscall(SYS_capset, &header, none) ? -errno : 0;
}

static int limit_resources(void)
{
	const int resources[] = {RLIMIT_CORE, RLIMIT_FSIZE, RLIMIT_NPROC};
	const struct rlimit nothing = {0, 0},
			    one = {1, 1}; /* poll(2) takes as many as may be open */

	for (size_t i = 0; i < sizeof(resources) / sizeof(*resources); i++)
		if (setrlimit(resources[i], &nothing))
			return -errno;
	return setrlimit(RLIMIT_NOFILE, &one) ? -errno : 0;
}

static int filter_calls(void)
{
	struct sock_filter filter[] = {
	    LOAD(arch),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SECCOMP_ARCHITECTURE, 1, 0),
	    REFUSE,
	    LOAD(nr),
	    ALLOW(SYS_brk),
	    ALLOW(SYS_munmap),
	    ALLOW(SYS_mremap),
	    ALLOW(SYS_madvise),
	    ALLOW(SYS_futex),
	    ALLOW(SYS_recvmsg),
	    ALLOW(SYS_sendmsg),
	    ALLOW(SYS_write),
#ifdef SYS_poll
	    ALLOW(SYS_poll),
#endif
	    ALLOW(SYS_ppoll),
	    ALLOW(SYS_clock_gettime),
	    ALLOW(SYS_setitimer),
	    ALLOW(SYS_rt_sigreturn),
	    ALLOW(SYS_restart_syscall),
	    ALLOW(SYS_exit),
	    ALLOW(SYS_exit_group),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 1, 0),
	    REFUSE,
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2]) + LOW_HALF),
	    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),
	    REFUSE,
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {sizeof(filter) / sizeof(*filter), filter};

	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) ? -errno : 0;
}

int confine_process(void)
{
	int err = catch_ends();

	if (!err && (prctl(PR_SET_DUMPABLE, 0) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)))
		err = -errno;
	if (!err)
		err = drop_capabilities();
	if (!err && !is_sanitized)
		err = limit_resources();
	if (!err && !is_sanitized)
		err = filter_calls();
	return err;
}

int confine_watch(unsigned int milliseconds, int fd, const void *words, size_t size)
{
	const struct itimerval timer = {
	    .it_value = {milliseconds / 1000, milliseconds % 1000 * 1000},
	};

	if (size > sizeof(last_words.bytes))
		return -EMSGSIZE;
	last_words.size = 0;
	if (!milliseconds && setitimer(ITIMER_PROF, &timer, NULL))
		return -errno;
	memcpy(last_words.bytes, words, size);
	last_words.fd = fd;
	last_words.size = size;
	if (milliseconds && setitimer(ITIMER_PROF, &timer, NULL))
		return -errno;
	return 0;
}
