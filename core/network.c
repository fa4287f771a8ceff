#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <netlink/cache.h>
#include <netlink/errno.h>
#include <netlink/netlink.h>
#include <netlink/route/link.h>

#include "core/link.h"
#include "core/netlink.h"
#include "core/network.h"
#include "core/system.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

struct collection {
	struct interface *interfaces;
	size_t count, capacity;
};

static void collect(struct nl_object *object, void *context)
{
	struct rtnl_link *link = (struct rtnl_link *)object;
	struct collection *all = context;
	struct interface *found;

	if (all->count == all->capacity)
		return;
	found = &all->interfaces[all->count++];
	*found = (struct interface){
	    .index = rtnl_link_get_ifindex(link),
	    .mtu = rtnl_link_get_mtu(link),
	    .is_up = rtnl_link_get_flags(link) & IFF_UP,
	};
	snprintf(found->name, sizeof(found->name), "%s", rtnl_link_get_name(link) ?: "");
	snprintf(found->kind, sizeof(found->kind), "%s", rtnl_link_get_type(link) ?: "");
}

/* libnl's own way waits for an answer even where the question could not be sent. */
static int dump_links(struct nl_sock *socket, struct nl_cache **cache)
{
	struct ifinfomsg header = {.ifi_family = AF_UNSPEC};
	int code = nl_cache_alloc_name("route/link", cache);

	if (code < 0)
		return netlink__errno(code);
	do {
		code = nl_send_simple(socket, RTM_GETLINK, NLM_F_DUMP, &header, sizeof(header));
		if (code >= 0)
			code = nl_cache_pickup(socket, *cache);
	} while (code == -NLE_DUMP_INTR);
	if (code >= 0)
		return 0;
	nl_cache_free(*cache);
	return netlink__errno(code);
}

int network__interfaces(struct interface **interfaces, size_t *count)
{
	struct collection all = {};
	struct nl_cache *cache = NULL;
	struct nl_sock *socket;
	int err = netlink__open(&socket);

	if (err)
		return err;
	err = dump_links(socket, &cache);
	if (!err) {
		all.capacity = (size_t)nl_cache_nitems(cache);
		all.interfaces = calloc(all.capacity + 1, sizeof(*all.interfaces));
		if (all.interfaces)
			nl_cache_foreach(cache, collect, &all);
		else
			err = -ENOMEM;
		nl_cache_free(cache);
	}
	nl_socket_free(socket);
	*interfaces = all.interfaces;
	*count = all.count;
	return err;
}

int network__interface_identity(int ifindex, __u64 *identity)
{
	char name[IF_NAMESIZE], path[IF_NAMESIZE + sizeof("class/net//.")];
	struct stat status;
	int root, err = 0;

	if (!if_indextoname((unsigned int)ifindex, name))
		return errno == ENXIO ? -ENODEV : -errno;
	root = system_private_mount("sysfs");
	if (root < 0)
		return root;
	snprintf(path, sizeof(path), "class/net/%s/.", name);
	if (fstatat(root, path, &status, 0))
		err = errno == ENOENT ? -ENODEV : -errno;
	else
		*identity = status.st_ino;
	close(root);
	return err;
}

int network__namespace_cookie(__u64 *cookie)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;
	socklen_t size = sizeof(*cookie);

	if (fd < 0)
		return -errno;
	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, cookie, &size))
		err = -errno;
	close(fd);
	return err;
}

int network__enter(int fd)
{
	return setns(fd, CLONE_NEWNET) ? -errno : 0;
}

int network__xdp(int ifindex, __u32 *program_id, enum xdp_how *how)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);
	int err = bpf_xdp_query(ifindex, 0, &query);

	*program_id = 0;
	*how = XDP_NONE;
	if (err)
		return err;
	if (query.drv_prog_id) {
		*program_id = query.drv_prog_id;
		*how = XDP_NATIVE;
	} else if (query.skb_prog_id) {
		*program_id = query.skb_prog_id;
		*how = XDP_GENERIC;
	} else if (query.hw_prog_id) {
		*program_id = query.hw_prog_id;
		*how = XDP_HARDWARE;
	}
	return 0;
}

int network__tcx(int ifindex, bool is_egress, __u32 *program_ids, __u32 *count)
{
	enum bpf_attach_type type = is_egress ? ATTACH_TCX_EGRESS : ATTACH_TCX_INGRESS;
	LIBBPF_OPTS(bpf_prog_query_opts, query, .prog_ids = program_ids,
		    .prog_cnt = TCX_PROGRAMS_MAX);

	*count = 0;
	if (bpf_prog_query_opts(ifindex, type, &query))
		return errno == EINVAL ? -EOPNOTSUPP : -errno;
	*count = query.prog_cnt;
	return 0;
}
