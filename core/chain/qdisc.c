#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <linux/if_ether.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>

#include "core/chain/qdisc.h"

#define INGRESS_PLACE (TC_H_MAJ(TC_H_CLSACT))

/* libnl has error numbers of its own, and keeps the kernel's only for some. */
static int errno_of(int err)
{
	switch (-err) {
	case 0:
		return 0;
	case NLE_NOMEM:
		return -ENOMEM;
	case NLE_PERM:
		return -EPERM;
	case NLE_NOACCESS:
		return -EACCES;
	case NLE_NODEV:
		return -ENODEV;
	case NLE_OBJ_NOTFOUND:
		return -ENOENT;
	case NLE_EXIST:
		return -EEXIST;
	case NLE_BUSY:
		return -EBUSY;
	case NLE_DUMP_INTR:
		return -EAGAIN;
	default:
		return -EINVAL;
	}
}

/* Sends one request and hands each answer to `take`. */
static int request(int type, int flags, struct tcmsg *message, const char *kind,
		   nl_recvmsg_msg_cb_t take, void *context)
{
	struct nl_sock *socket = nl_socket_alloc();
	struct nl_msg *msg = nlmsg_alloc_simple(type, flags);
	int err = -NLE_NOMEM;

	if (!socket || !msg)
		goto out;
	err = nl_connect(socket, NETLINK_ROUTE);
	if (err)
		goto out;
	if (take) {
		nl_socket_disable_auto_ack(socket);
		nl_socket_modify_cb(socket, NL_CB_VALID, NL_CB_CUSTOM, take, context);
	}
	err = nlmsg_append(msg, message, sizeof(*message), NLMSG_ALIGNTO);
	if (!err && kind)
		err = nla_put_string(msg, TCA_KIND, kind);
	if (err)
		goto out;
	err = nl_send_auto(socket, msg);
	if (err >= 0)
		err = take ? nl_recvmsgs_default(socket) : nl_wait_for_ack(socket);
out:
	nlmsg_free(msg);
	nl_socket_free(socket);
	return errno_of(err < 0 ? err : 0);
}

struct kind_search {
	int ifindex;
	char *kind;
	size_t size;
};

static int take_qdisc(struct nl_msg *msg, void *context)
{
	struct kind_search *search = context;
	struct nlmsghdr *header = nlmsg_hdr(msg);
	struct tcmsg *message = nlmsg_data(header);
	struct nlattr *kind = nlmsg_find_attr(header, sizeof(*message), TCA_KIND);

	/* older kernels show all interfaces' whatever was asked */
	if (message->tcm_ifindex == search->ifindex &&
	    TC_H_MAJ(message->tcm_parent) == INGRESS_PLACE && kind)
		snprintf(search->kind, search->size, "%s", nla_get_string(kind));
	return NL_OK;
}

int qdisc__ingress_kind(int ifindex, char *kind, size_t size)
{
	struct tcmsg message = {.tcm_family = AF_UNSPEC, .tcm_ifindex = ifindex};
	struct kind_search search = {ifindex, kind, size};

	kind[0] = '\0';
	return request(RTM_GETQDISC, NLM_F_DUMP, &message, NULL, take_qdisc, &search);
}

struct filter_count {
	__u32 priority;
	int found;
};

static int take_filter(struct nl_msg *msg, void *context)
{
	struct filter_count *count = context;
	struct tcmsg *message = nlmsg_data(nlmsg_hdr(msg));

	/* a priority is shown once without handle, for itself, and once for each filter in it */
	if (message->tcm_handle &&
	    (!count->priority || TC_H_MAJ(message->tcm_info) >> 16 == count->priority))
		count->found++;
	return NL_OK;
}

int qdisc__count_filters(int ifindex, bool ingress, __u32 priority)
{
	struct tcmsg message = {
	    .tcm_family = AF_UNSPEC,
	    .tcm_ifindex = ifindex,
	    .tcm_parent = TC_H_MAKE(TC_H_CLSACT, ingress ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS),
	};
	struct filter_count count = {.priority = priority};
	int err = request(RTM_GETTFILTER, NLM_F_DUMP, &message, NULL, take_filter, &count);

	return err ?: count.found;
}

int qdisc__remove_unused(int ifindex)
{
	struct tcmsg message = {
	    .tcm_family = AF_UNSPEC,
	    .tcm_ifindex = ifindex,
	    .tcm_parent = TC_H_CLSACT,
	    .tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0),
	};
	char kind[32];
	int err = qdisc__ingress_kind(ifindex, kind, sizeof(kind));

	if (err || strcmp(kind, "clsact"))
		return err;
	if (qdisc__count_filters(ifindex, true, 0) || qdisc__count_filters(ifindex, false, 0))
		return 0;
	return request(RTM_DELQDISC, NLM_F_ACK, &message, "clsact", NULL, NULL);
}
