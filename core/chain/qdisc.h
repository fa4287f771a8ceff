/* What TC has on an interface, by rtnetlink: the questions that libbpf's TC calls cannot ask. */
#ifndef CORE_CHAIN_QDISC_H
#define CORE_CHAIN_QDISC_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>

/* Kind of the qdisc in the place that clsact and ingress share; empty if there is none. */
int qdisc__ingress_kind(int ifindex, char *kind, size_t size);

/* Number of filters of one direction under clsact, of any priority (0) or of one. Returns it or
 * -errno. */
int qdisc__count_filters(int ifindex, bool ingress, __u32 priority);

/* Removes clsact if no filter is left in it. */
int qdisc__remove_unused(int ifindex);

#endif
