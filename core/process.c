#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "core/process.h"

static void forget_handlers(void)
{
	const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
	struct sigaction action = {.sa_handler = SIG_DFL};

	for (int signal = 1; signal < NSIG; signal++)
		sigaction(signal, &action, NULL);
	action.sa_handler = SIG_IGN;
	for (size_t i = 0; i < sizeof(ignored) / sizeof(*ignored); i++)
		sigaction(ignored[i], &action, NULL);
}

static bool is_kept(int fd, const int *keep, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (keep[i] == fd)
			return true;
	return fd <= STDERR_FILENO;
}

int process_release(const int *keep, size_t count)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	DIR *list = opendir("/proc/self/fd");
	struct dirent *entry;
	int err = 0;

	if (null < 0 || !list)
		err = -errno;
	while (!err && (entry = readdir(list))) {
		int fd = atoi(entry->d_name);

		if (entry->d_name[0] == '.' || fd == null || fd == dirfd(list))
			continue;
		if (!is_kept(fd, keep, count) && dup3(null, fd, O_CLOEXEC) < 0)
			err = -errno;
	}
	if (list)
		closedir(list);
	if (null >= 0)
		close(null);
	return err;
}

static void become_child(pid_t parent, const int *keep, size_t count)
{
	forget_handlers();
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
		_exit(EXIT_FAILURE);
	if (process_release(keep, count))
		_exit(EXIT_FAILURE);
}

pid_t process_fork(const int *keep, size_t count)
{
	pid_t parent = getpid(), pid;
	sigset_t all, before;
	int err;

	/* no handler may run in the child before forget_handlers */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	err = errno;
	if (!pid) {
		become_child(parent, keep, count);
		sigemptyset(&before);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	return pid < 0 ? -err : pid;
}

void process_set_name(const char *name)
{
	prctl(PR_SET_NAME, name);
}

int process_wait(pid_t pid, int block, int *code, int *signal)
{
	int status;
	pid_t ended;

	do
		ended = waitpid(pid, &status, block ? 0 : WNOHANG);
	while (ended < 0 && errno == EINTR);
	if (ended < 0)
		return -errno;
	if (!ended)
		return 0;
	*code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	*signal = WIFSIGNALED(status) ? WTERMSIG(status) : -1;
	return 1;
}

int process_limit_data(rlim_t bytes, rlim_t *before)
{
#ifdef __SANITIZE_ADDRESS__
	(void)bytes;
	(void)before;
	return -EOPNOTSUPP;
#else
	struct rlimit limit;

	if (getrlimit(RLIMIT_DATA, &limit))
		return -errno;
	*before = limit.rlim_cur;
	limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
	return setrlimit(RLIMIT_DATA, &limit) ? -errno : 0;
#endif
}
