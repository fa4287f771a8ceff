#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "core/interrupt.h"
#include "core/socket.h"

#define BACKLOG 128

/*
 * A path that is too long for sun_path is reached through its directory. *directory is then a
 * descriptor that must stay open until the address has been used; else -1.
 */
static int set_address(struct sockaddr_un *address, const char *path, int *directory)
{
	const char *name = strrchr(path, '/');
	char parent[4096];
	int written;

	*directory = -1;
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	if (!*path)
		return -ENOENT;
	if (strlen(path) < sizeof(address->sun_path)) {
		strcpy(address->sun_path, path);
		return 0;
	}
	if (!name || (size_t)(name - path) >= sizeof(parent))
		return -ENAMETOOLONG;
	memcpy(parent, path, name - path);
	parent[name - path] = '\0';
	*directory = open(name == path ? "/" : parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*directory < 0)
		return -errno;
	written = snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d%s",
			   *directory, name);
	if (written >= (int)sizeof(address->sun_path)) {
		close(*directory);
		*directory = -1;
		return -ENAMETOOLONG;
	}
	return 0;
}

static void drop_address(int directory)
{
	if (directory >= 0)
		close(directory);
}

int socket_set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

int socket_path(int fd, char path[SOCKET_PATH])
{
	struct sockaddr_un address;
	socklen_t size = sizeof(address);
	size_t length;

	_Static_assert(SOCKET_PATH > sizeof(address.sun_path), "room for every path");
	memset(&address, 0, sizeof(address));
	if (getsockname(fd, (struct sockaddr *)&address, &size))
		return -errno;
	if (address.sun_family != AF_UNIX)
		return -EPROTOTYPE;
	length = strnlen(address.sun_path, sizeof(address.sun_path));
	memcpy(path, address.sun_path, length);
	path[length] = '\0';
	return 0;
}

/* 0 if the path is free for us now. */
static int clear_stale(const char *path)
{
	struct stat status;
	int fd;

	if (lstat(path, &status))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(status.st_mode))
		return -EEXIST;
	fd = socket_connect(path, 1000);
	if (fd >= 0) {
		close(fd);
		return -EADDRINUSE;
	}
	if (fd != -ECONNREFUSED)
		return fd == -ETIMEDOUT ? -EADDRINUSE : fd;
	return unlink(path) && errno != ENOENT ? -errno : 0;
}

/* The file is born 0600: a bound socket takes its mode from the descriptor. */
static int bind_and_open(int fd, const char *path, const struct sockaddr_un *address, mode_t mode,
			 uid_t owner, gid_t group)
{
	int err;

	if (fchmod(fd, 0600) || bind(fd, (const struct sockaddr *)address, sizeof(*address)))
		return -errno;
	if (lchown(path, owner, group) || listen(fd, BACKLOG) || chmod(path, mode)) {
		err = -errno;
		unlink(path);
		return err;
	}
	return 0;
}

int socket_listen(const char *path, mode_t mode, uid_t owner, gid_t group)
{
	struct sockaddr_un address;
	int directory, fd = -1, err;

	err = set_address(&address, path, &directory);
	if (err)
		return err;
	err = clear_stale(path);
	if (err)
		goto out;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		err = -errno;
		goto out;
	}
	err = bind_and_open(fd, path, &address, mode, owner, group);
	if (err) {
		close(fd);
		fd = -1;
	}
out:
	drop_address(directory);
	return err ? err : fd;
}

/* connect(2) to a local socket waits only for room in the backlog, at most SO_SNDTIMEO. */
static int connect_within(int fd, const struct sockaddr_un *address, int timeout_ms)
{
	struct timeval limit = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
	int err;

	if (timeout_ms >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)))
		return -errno;
	do {
		err = connect(fd, (const struct sockaddr *)address, sizeof(*address)) ? -errno : 0;
	} while (err == -EINTR && !interrupt_pending());
	return err == -EAGAIN ? -ETIMEDOUT : err;
}

int socket_connect(const char *path, int timeout_ms)
{
	struct sockaddr_un address;
	int directory, fd, err;

	err = set_address(&address, path, &directory);
	if (err)
		return err;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		err = -errno;
		goto out;
	}
	err = connect_within(fd, &address, timeout_ms);
	if (!err)
		err = socket_set_nonblocking(fd);
	if (err)
		close(fd);
out:
	drop_address(directory);
	return err ? err : fd;
}

int socket_accept(int listener)
{
	int fd;

	do {
		fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	} while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
	return fd < 0 ? -errno : fd;
}

int socket_pair(int pair[2])
{
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) ? -errno
											: 0;
}

/* Room for one more than we accept, so that too many are told from just enough. */
union control {
	char bytes[CMSG_SPACE(sizeof(int) * (SOCKET_DESCRIPTORS + 1))];
	struct cmsghdr align;
};

ssize_t socket_send(int fd, const void *data, size_t size, const int *descriptors, size_t count)
{
	struct iovec part = {(void *)data, size};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	union control control;
	ssize_t sent;

	if (count > SOCKET_DESCRIPTORS)
		return -EMSGSIZE;
	if (count) {
		struct cmsghdr *header;

		memset(&control, 0, sizeof(control));
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int) * count);
		memcpy(CMSG_DATA(header), descriptors, sizeof(int) * count);
	}
	do {
		sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : sent;
}

/* Takes up to capacity descriptors out of the control data and closes the others. */
static bool take_descriptors(struct msghdr *message, int *descriptors, size_t capacity,
			     size_t *count)
{
	bool fits = !(message->msg_flags & MSG_CTRUNC);
	struct cmsghdr *header;

	*count = 0;
	for (header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
		size_t carried = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < carried; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(fd));
			if (*count < capacity) {
				descriptors[(*count)++] = fd;
			} else {
				close(fd);
				fits = false;
			}
		}
	}
	return fits;
}

ssize_t socket_receive(int fd, void *data, size_t size, int *descriptors, size_t *count)
{
	struct iovec part = {data, size};
	union control control;
	struct msghdr message = {
	    .msg_iov = &part,
	    .msg_iovlen = 1,
	    .msg_control = control.bytes,
	    .msg_controllen = sizeof(control.bytes),
	};
	size_t capacity = *count;
	ssize_t received;

	*count = 0;
	do {
		received = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	} while (received < 0 && errno == EINTR);
	if (received < 0)
		return -errno;
	if (take_descriptors(&message, descriptors, capacity, count))
		return received;
	while (*count)
		close(descriptors[--*count]);
	return -EMSGSIZE;
}

static long long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

int socket_wait(int fd, bool read, bool write, int timeout_ms)
{
	struct pollfd poller = {.fd = fd, .events = (read ? POLLIN : 0) | (write ? POLLOUT : 0)};
	long long end = now_ms() + timeout_ms;
	int ready;

	for (;;) {
		ready = interrupt_poll(&poller, 1, timeout_ms);
		if (ready > 0)
			return 0;
		if (!ready)
			return -ETIMEDOUT;
		if (ready != -EINTR || interrupt_pending())
			return ready;
		if (timeout_ms >= 0)
			timeout_ms = end > now_ms() ? (int)(end - now_ms()) : 0;
	}
}

bool socket_gone(int fd)
{
	struct pollfd poll_fd = {.fd = fd};

	return poll(&poll_fd, 1, 0) == 1 && poll_fd.revents & (POLLHUP | POLLERR | POLLNVAL);
}

int socket_peer(int fd, struct socket_peer *peer)
{
	struct ucred credentials;
	socklen_t size = sizeof(credentials);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size))
		return -errno;
	peer->pid = credentials.pid;
	peer->uid = credentials.uid;
	peer->gid = credentials.gid;
	return 0;
}

int socket_peer_groups(int fd, gid_t *groups, size_t *count)
{
	socklen_t size = (socklen_t)(*count * sizeof(*groups));
	int err = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size))
		err = -errno;
	*count = size / sizeof(*groups);
	return err;
}
