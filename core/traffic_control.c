#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>

#include "core/netlink.h"
#include "core/traffic_control.h"

static struct nl_msg *make_message(int type, int flags, const struct tcmsg *header)
{
	struct nl_msg *message = nlmsg_alloc_simple(type, flags);

	if (message && nlmsg_append(message, (void *)header, sizeof(*header), NLMSG_ALIGNTO)) {
		nlmsg_free(message);
		return NULL;
	}
	return message;
}

/* Sends, waits for the kernel's word, frees. */
static int request(struct nl_msg *message)
{
	struct nl_sock *socket;
	int err;

	if (!message)
		return -ENOMEM;
	err = netlink__open(&socket);
	if (err) {
		nlmsg_free(message);
		return err;
	}
	err = netlink__errno(nl_send_sync(socket, message));
	nl_socket_free(socket);
	return err;
}

static int dump(int type, const struct tcmsg *header, nl_recvmsg_msg_cb_t take, void *context)
{
	struct nl_sock *socket;
	int err = netlink__open(&socket);

	if (err)
		return err;
	nl_socket_modify_cb(socket, NL_CB_VALID, NL_CB_CUSTOM, take, context);
	err = nl_send_simple(socket, type, NLM_F_DUMP, (void *)header, sizeof(*header));
	if (err >= 0)
		err = nl_recvmsgs_default(socket);
	nl_socket_free(socket);
	return netlink__errno(err);
}

struct kind_search {
	int ifindex;
	char *kind;
	size_t size;
};

static int take_qdisc(struct nl_msg *message, void *context)
{
	const struct tcmsg *header = nlmsg_data(nlmsg_hdr(message));
	struct kind_search *search = context;
	struct nlattr *attributes[TCA_MAX + 1];

	if (header->tcm_ifindex != search->ifindex || header->tcm_parent != TC_H_CLSACT)
		return NL_OK;
	if (nlmsg_parse(nlmsg_hdr(message), sizeof(*header), attributes, TCA_MAX, NULL) >= 0 &&
	    attributes[TCA_KIND])
		snprintf(search->kind, search->size, "%s", nla_get_string(attributes[TCA_KIND]));
	return NL_OK;
}

int qdisc__kind(int ifindex, char *kind, size_t size)
{
	struct kind_search search = {ifindex, kind, size};
	struct tcmsg header = {.tcm_ifindex = ifindex};

	kind[0] = '\0';
	return dump(RTM_GETQDISC, &header, take_qdisc, &search);
}

static struct nl_msg *clsact_message(int type, int flags, int ifindex)
{
	struct tcmsg header = {
	    .tcm_ifindex = ifindex,
	    .tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0),
	    .tcm_parent = TC_H_CLSACT,
	};
	struct nl_msg *message = make_message(type, flags, &header);

	if (message && nla_put_string(message, TCA_KIND, "clsact")) {
		nlmsg_free(message);
		return NULL;
	}
	return message;
}

int qdisc__add_clsact(int ifindex)
{
	return request(clsact_message(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, ifindex));
}

int qdisc__remove_clsact(int ifindex)
{
	return request(clsact_message(RTM_DELQDISC, 0, ifindex));
}

static __u32 parent_of(bool is_egress)
{
	return TC_H_MAKE(TC_H_CLSACT, is_egress ? TC_H_MIN_EGRESS : TC_H_MIN_INGRESS);
}

struct filter_list {
	struct filter *filters;
	size_t count;
	bool is_out_of_memory;
};

static void read_program(struct filter *filter, struct nlattr *options)
{
	struct nlattr *attributes[TCA_BPF_MAX + 1];

	if (nla_parse_nested(attributes, TCA_BPF_MAX, options, NULL) < 0)
		return;
	if (attributes[TCA_BPF_ID])
		filter->program_id = nla_get_u32(attributes[TCA_BPF_ID]);
	if (attributes[TCA_BPF_NAME])
		snprintf(filter->name, sizeof(filter->name), "%s",
			 nla_get_string(attributes[TCA_BPF_NAME]));
	if (attributes[TCA_BPF_FLAGS])
		filter->is_direct =
		    nla_get_u32(attributes[TCA_BPF_FLAGS]) & TCA_BPF_FLAG_ACT_DIRECT;
}

/* Each priority is told once by itself, without a handle, before its filters. */
static int take_filter(struct nl_msg *message, void *context)
{
	const struct tcmsg *header = nlmsg_data(nlmsg_hdr(message));
	struct nlattr *attributes[TCA_MAX + 1];
	struct filter_list *list = context;
	struct filter *grown;

	if (!header->tcm_handle ||
	    nlmsg_parse(nlmsg_hdr(message), sizeof(*header), attributes, TCA_MAX, NULL) < 0)
		return NL_OK;
	grown = realloc(list->filters, (list->count + 1) * sizeof(*grown));
	if (!grown) {
		list->is_out_of_memory = true;
		return NL_STOP;
	}
	list->filters = grown;
	grown += list->count++;
	*grown = (struct filter){
	    .priority = TC_H_MAJ(header->tcm_info) >> 16,
	    .handle = header->tcm_handle,
	};
	if (attributes[TCA_KIND])
		snprintf(grown->kind, sizeof(grown->kind), "%s",
			 nla_get_string(attributes[TCA_KIND]));
	if (!strcmp(grown->kind, "bpf") && attributes[TCA_OPTIONS])
		read_program(grown, attributes[TCA_OPTIONS]);
	return NL_OK;
}

int filters__list(int ifindex, bool is_egress, struct filter **filters, size_t *count)
{
	struct tcmsg header = {.tcm_ifindex = ifindex, .tcm_parent = parent_of(is_egress)};
	struct filter_list list = {};
	char kind[16];
	int err;

	*filters = NULL;
	*count = 0;
	/* `ingress` answers for the direction that it has with other numbers */
	err = qdisc__kind(ifindex, kind, sizeof(kind));
	if (err || strcmp(kind, "clsact"))
		return err;
	err = dump(RTM_GETTFILTER, &header, take_filter, &list);
	if (list.is_out_of_memory)
		err = -ENOMEM;
	if (err) {
		free(list.filters);
		return err;
	}
	*filters = list.filters;
	*count = list.count;
	return 0;
}

static struct nl_msg *filter_message(int type, int flags, const struct filter_place *place)
{
	struct tcmsg header = {
	    .tcm_ifindex = place->ifindex,
	    .tcm_handle = place->handle,
	    .tcm_parent = parent_of(place->is_egress),
	    .tcm_info = TC_H_MAKE(place->priority << 16, htons(ETH_P_ALL)),
	};
	struct nl_msg *message = make_message(type, flags, &header);

	if (message && nla_put_string(message, TCA_KIND, "bpf")) {
		nlmsg_free(message);
		return NULL;
	}
	return message;
}

static int set(int flags, const struct filter_place *place, int program_fd, const char *name)
{
	struct nl_msg *message = filter_message(RTM_NEWTFILTER, flags, place);
	struct nlattr *options = message ? nla_nest_start(message, TCA_OPTIONS) : NULL;

	if (!options || nla_put_u32(message, TCA_BPF_FD, (__u32)program_fd) ||
	    nla_put_string(message, TCA_BPF_NAME, name) ||
	    nla_put_u32(message, TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT)) {
		nlmsg_free(message);
		return -ENOMEM;
	}
	nla_nest_end(message, options);
	return request(message);
}

int filter__add(const struct filter_place *place, int program_fd, const char *name)
{
	return set(NLM_F_CREATE | NLM_F_EXCL, place, program_fd, name);
}

int filter__replace(const struct filter_place *place, int program_fd, const char *name)
{
	return set(NLM_F_CREATE | NLM_F_REPLACE, place, program_fd, name);
}

int filter__remove(const struct filter_place *place)
{
	return request(filter_message(RTM_DELTFILTER, 0, place));
}
