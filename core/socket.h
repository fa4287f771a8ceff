/*
 * Local stream sockets that carry bytes and descriptors. Every socket is close-on-exec and
 * non-blocking; who wants to wait calls socket_wait. All functions return 0 (or what is said) or
 * -errno.
 */
#ifndef CORE_SOCKET_H
#define CORE_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Descriptors in one message; more than these are closed by the receiver. */
#define SOCKET_DESCRIPTORS 16

struct socket_peer {
	pid_t pid;
	uid_t uid;
	gid_t gid;
};

/*
 * Binds and listens; the file gets this mode, owner and group (-1: as it is) before anyone but
 * root may connect. A socket file that nobody answers on is replaced; -EADDRINUSE if somebody
 * does, -EEXIST if the file is no socket. Returns the descriptor.
 */
int socket_listen(const char *path, mode_t mode, uid_t owner, gid_t group);

/* Returns the connected descriptor; -ETIMEDOUT if the listener does not come to it in time. */
int socket_connect(const char *path, int timeout_ms);

/* Returns the new descriptor; -EAGAIN when no one waits. */
int socket_accept(int listener);

int socket_pair(int pair[2]);

/* The file that a local stream socket is bound to, "" for none; -EPROTOTYPE for other sockets. */
#define SOCKET_PATH 109
int socket_path(int fd, char path[SOCKET_PATH]);

int socket_set_nonblocking(int fd);

/*
 * Sends what fits now; descriptors go with the first byte. Returns the number of bytes, which may
 * be less than size; -EAGAIN (and nothing sent, no descriptor either) when there is no room.
 */
ssize_t socket_send(int fd, const void *data, size_t size, const int *descriptors, size_t count);

/*
 * Receives at most size bytes and *count (in: capacity of descriptors, out: received) descriptors,
 * which are close-on-exec. Returns 0 at the end of the stream. -EMSGSIZE if the sender passed more
 * descriptors than fit: all of them are closed and the bytes are lost.
 * The kernel ends a read at the message that carried descriptors, so they belong to the message
 * that the last byte is part of.
 */
ssize_t socket_receive(int fd, void *data, size_t size, int *descriptors, size_t *count);

/* Waits until the socket can be read, written, or either; -ETIMEDOUT; timeout_ms < 0: forever. */
int socket_wait(int fd, bool read, bool write, int timeout_ms);

/* Whether the other side is closed altogether, and not only done with sending. */
bool socket_gone(int fd);

/* Who is on the other side, as the kernel knows since connect or listen. */
int socket_peer(int fd, struct socket_peer *peer);

/*
 * The other side's supplementary groups. *count is in: room, out: number of groups; -ERANGE when
 * they do not fit, *count then being the room needed.
 */
int socket_peer_groups(int fd, gid_t *groups, size_t *count);

#endif
