#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "core/service.h"

#define FIRST_LISTENER 3
#define MOST_LISTENERS 64

int service_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t length = path ? strlen(path) : 0;
	int fd, err = 0;

	if (!length)
		return 0;
	if ((*path != '/' && *path != '@') || length >= sizeof(address.sun_path))
		return -EINVAL;
	memcpy(address.sun_path, path, length);
	if (*path == '@')
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) < 0)
		err = -errno;
	close(fd);
	return err;
}

static unsigned long long number_in(const char *variable)
{
	const char *text = getenv(variable);

	return text ? strtoull(text, NULL, 10) : 0;
}

int service_listeners(size_t *count)
{
	unsigned long long given = 0;

	if (number_in("LISTEN_PID") == (unsigned long long)getpid())
		given = number_in("LISTEN_FDS");
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	*count = given < MOST_LISTENERS ? (size_t)given : MOST_LISTENERS;
	for (size_t i = 0; i < *count; i++)
		fcntl(FIRST_LISTENER + (int)i, F_SETFD, FD_CLOEXEC);
	return FIRST_LISTENER;
}

unsigned long long service_watchdog(void)
{
	unsigned long long pid = number_in("WATCHDOG_PID");

	if (pid && pid != (unsigned long long)getpid())
		return 0;
	return number_in("WATCHDOG_USEC");
}
