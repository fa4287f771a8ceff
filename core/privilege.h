/*
 * What a process gives up once it needs it no longer. Nothing here can be taken back; children
 * inherit it. All functions return 0 or -errno.
 */
#ifndef CORE_PRIVILEGE_H
#define CORE_PRIVILEGE_H

#include <stdint.h>

/* The number of a capability by its name in small letters without CAP_ ("net_admin"); -EINVAL. */
int privilege_capability(const char *name);

/* The name of a capability, NULL for a number that has none here. */
const char *privilege_capability_name(int number);

/* Bit N: capability N is effective in this process. */
int privilege_effective(uint64_t *set);

/*
 * Keeps of the permitted, effective and bounding sets what is in keep, empties the ambient and
 * inheritable sets, and sets no_new_privs (prctl(2)). *kept tells what is left of keep. The
 * bounding set stays as it is where the process may not change it (no CAP_SETPCAP): no_new_privs
 * then does its work.
 */
int privilege_drop(uint64_t keep, uint64_t *kept);

/*
 * Refuses system calls (EPERM) that an eBPF manager never makes and that would be of use to whoever
 * took it over: other programs, other processes' memory, modules, clocks, keys, reboot. Needs
 * no_new_privs. -EOPNOTSUPP on an architecture without a table. *count: how many calls are refused.
 */
int privilege_refuse_calls(unsigned int *count);

#endif
