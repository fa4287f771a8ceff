#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/rtnetlink.h>

#include "core/interface_watch.h"

#define MESSAGE_SIZE 32768
#define RECEIVE_SIZE (1 << 20) /* a thousand interfaces that come at once */

int interface_watch__open(int *fd)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
	int size = RECEIVE_SIZE, err;

	*fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (*fd < 0)
		return -errno;
	/* beyond the system's limit where we may; what is lost without is told by -ENOBUFS */
	if (setsockopt(*fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		setsockopt(*fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (!bind(*fd, (struct sockaddr *)&address, sizeof(address)))
		return 0;
	err = -errno;
	close(*fd);
	*fd = -1;
	return err;
}

static void copy_text(char *to, size_t size, const struct rtattr *attribute)
{
	snprintf(to, size, "%.*s", (int)RTA_PAYLOAD(attribute), (const char *)RTA_DATA(attribute));
}

static void read_kind(struct interface *to, const struct rtattr *link_info)
{
	const struct rtattr *each = RTA_DATA(link_info);
	int left = (int)RTA_PAYLOAD(link_info);

	for (; RTA_OK(each, left); each = RTA_NEXT(each, left))
		if (each->rta_type == IFLA_INFO_KIND)
			copy_text(to->kind, sizeof(to->kind), each);
}

static void read_change(struct interface_change *change, const struct nlmsghdr *message)
{
	const struct ifinfomsg *info = NLMSG_DATA(message);
	const struct rtattr *each = IFLA_RTA(info);
	int left = (int)IFLA_PAYLOAD(message);
	struct interface *interface = &change->interface;

	*change = (struct interface_change){.is_gone = message->nlmsg_type == RTM_DELLINK};
	interface->index = info->ifi_index;
	interface->is_up = info->ifi_flags & IFF_UP;
	for (; RTA_OK(each, left); each = RTA_NEXT(each, left)) {
		if (each->rta_type == IFLA_IFNAME)
			copy_text(interface->name, sizeof(interface->name), each);
		else if (each->rta_type == IFLA_MTU && RTA_PAYLOAD(each) >= sizeof(__u32))
			memcpy(&interface->mtu, RTA_DATA(each), sizeof(__u32));
		else if (each->rta_type == IFLA_LINKINFO)
			read_kind(interface, each);
	}
}

/* A bridge tells of its ports by messages of the same types and of its own family. */
static bool is_of_interface(const struct nlmsghdr *message)
{
	const struct ifinfomsg *info = NLMSG_DATA(message);

	return (message->nlmsg_type == RTM_NEWLINK || message->nlmsg_type == RTM_DELLINK) &&
	       message->nlmsg_len >= NLMSG_LENGTH(sizeof(*info)) && info->ifi_family == AF_UNSPEC;
}

int interface_watch__read(int fd, struct interface_change *changes, size_t *count)
{
	_Alignas(struct nlmsghdr) char bytes[MESSAGE_SIZE];
	struct sockaddr_nl sender;
	socklen_t size = sizeof(sender);
	const struct nlmsghdr *message = (const struct nlmsghdr *)bytes;
	ssize_t received;
	int left;

	*count = 0;
	do
		received = recvfrom(fd, bytes, sizeof(bytes), MSG_TRUNC, (struct sockaddr *)&sender,
				    &size);
	while (received < 0 && errno == EINTR);
	if (received < 0)
		return -errno;
	if (sender.nl_pid)
		return 0; /* not the kernel's word */
	if (received > (ssize_t)sizeof(bytes))
		return -ENOBUFS;
	left = (int)received;
	for (; NLMSG_OK(message, left); message = NLMSG_NEXT(message, left)) {
		if (!is_of_interface(message))
			continue;
		if (*count == INTERFACE_CHANGES_MAX)
			return -ENOBUFS;
		read_change(&changes[(*count)++], message);
	}
	return 0;
}
