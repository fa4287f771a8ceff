/* libnl's sockets and codes, as the rest of core/ speaks. */
#ifndef CORE_NETLINK_H
#define CORE_NETLINK_H

struct nl_sock;

/* A connected rtnetlink socket. */
int netlink__open(struct nl_sock **socket);
/* libnl numbers its errors by itself. */
int netlink__errno(int code);

#endif
