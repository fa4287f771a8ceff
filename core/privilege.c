#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "core/architecture.h"
#include "core/privilege.h"

static const char *const names[] = {
    [CAP_CHOWN] = "chown",
    [CAP_DAC_OVERRIDE] = "dac_override",
    [CAP_DAC_READ_SEARCH] = "dac_read_search",
    [CAP_FOWNER] = "fowner",
    [CAP_FSETID] = "fsetid",
    [CAP_KILL] = "kill",
    [CAP_SETGID] = "setgid",
    [CAP_SETUID] = "setuid",
    [CAP_SETPCAP] = "setpcap",
    [CAP_LINUX_IMMUTABLE] = "linux_immutable",
    [CAP_NET_BIND_SERVICE] = "net_bind_service",
    [CAP_NET_BROADCAST] = "net_broadcast",
    [CAP_NET_ADMIN] = "net_admin",
    [CAP_NET_RAW] = "net_raw",
    [CAP_IPC_LOCK] = "ipc_lock",
    [CAP_IPC_OWNER] = "ipc_owner",
    [CAP_SYS_MODULE] = "sys_module",
    [CAP_SYS_RAWIO] = "sys_rawio",
    [CAP_SYS_CHROOT] = "sys_chroot",
    [CAP_SYS_PTRACE] = "sys_ptrace",
    [CAP_SYS_PACCT] = "sys_pacct",
    [CAP_SYS_ADMIN] = "sys_admin",
    [CAP_SYS_BOOT] = "sys_boot",
    [CAP_SYS_NICE] = "sys_nice",
    [CAP_SYS_RESOURCE] = "sys_resource",
    [CAP_SYS_TIME] = "sys_time",
    [CAP_SYS_TTY_CONFIG] = "sys_tty_config",
    [CAP_MKNOD] = "mknod",
    [CAP_LEASE] = "lease",
    [CAP_AUDIT_WRITE] = "audit_write",
    [CAP_AUDIT_CONTROL] = "audit_control",
    [CAP_SETFCAP] = "setfcap",
    [CAP_MAC_OVERRIDE] = "mac_override",
    [CAP_MAC_ADMIN] = "mac_admin",
    [CAP_SYSLOG] = "syslog",
    [CAP_WAKE_ALARM] = "wake_alarm",
    [CAP_BLOCK_SUSPEND] = "block_suspend",
    [CAP_AUDIT_READ] = "audit_read",
    [CAP_PERFMON] = "perfmon",
    [CAP_BPF] = "bpf",
    [CAP_CHECKPOINT_RESTORE] = "checkpoint_restore",
};

#define NAME_COUNT ((int)(sizeof(names) / sizeof(*names)))

int privilege_capability(const char *name)
{
	for (int number = 0; number < NAME_COUNT; number++)
		if (names[number] && !strcmp(names[number], name))
			return number;
	return -EINVAL;
}

const char *privilege_capability_name(int number)
{
	return number >= 0 && number < NAME_COUNT ? names[number] : NULL;
}

static int get_sets(struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3])
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};

	return syscall(SYS_capget, &header, sets) ? -errno : 0;
}

static uint64_t joined(uint32_t low, uint32_t high)
{
	return low | (uint64_t)high << 32;
}

int privilege_effective(uint64_t *set)
{
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
	int err = get_sets(sets);

	if (!err)
		*set = joined(sets[0].effective, sets[1].effective);
	return err;
}

static int drop_from_bounding_set(uint64_t keep)
{
	for (int number = 0; number < 64; number++) {
		int in_set = prctl(PR_CAPBSET_READ, number, 0, 0, 0);

		if (in_set < 0)
			return 0; /* past the kernel's last */
		if (in_set && !(keep >> number & 1) && prctl(PR_CAPBSET_DROP, number, 0, 0, 0))
			return errno == EPERM ? 0 : -errno;
	}
	return 0;
}

int privilege_drop(uint64_t keep, uint64_t *kept)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
	int err = get_sets(sets);

	if (err)
		return err;
	err = drop_from_bounding_set(keep);
	if (err)
		return err;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) && errno != EINVAL)
		return -errno;
	for (int half = 0; half < _LINUX_CAPABILITY_U32S_3; half++) {
		sets[half].permitted &= (uint32_t)(keep >> 32 * half);
		sets[half].effective &= sets[half].permitted;
		sets[half].inheritable = 0;
	}
	if (syscall(SYS_capset, &header, sets) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	*kept = joined(sets[0].effective, sets[1].effective);
	return 0;
}

static const int refused[] = {
    /* other programs and other processes' memory */
    SYS_execve,
    SYS_execveat,
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_process_madvise,
    SYS_kcmp,
    SYS_userfaultfd,
    SYS_personality,
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    /* the kernel and the machine */
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_kexec_load,
    SYS_reboot,
    SYS_swapon,
    SYS_swapoff,
    SYS_acct,
    SYS_quotactl,
    SYS_vhangup,
    SYS_sethostname,
    SYS_setdomainname,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_adjtimex,
    SYS_clock_adjtime,
    SYS_nfsservctl,
#ifdef SYS_kexec_file_load
    SYS_kexec_file_load,
#endif
#ifdef SYS_iopl
    SYS_iopl,
    SYS_ioperm,
#endif
    /* identities and keys */
    SYS_setuid,
    SYS_setreuid,
    SYS_setresuid,
    SYS_setfsuid,
    SYS_add_key,
    SYS_request_key,
    SYS_keyctl,
    /* other views of files */
    SYS_chroot,
    SYS_pivot_root,
    SYS_open_by_handle_at,
    SYS_fanotify_init,
    SYS_mknodat,
#ifdef SYS_mknod
    SYS_mknod,
#endif
};

#define REFUSED_COUNT (sizeof(refused) / sizeof(*refused))

#ifdef SECCOMP_ARCHITECTURE
static struct sock_filter *compare(struct sock_filter *at, __u32 jump, __u32 value, __u32 verdict)
{
	*at++ = (struct sock_filter)BPF_JUMP(BPF_JMP | jump | BPF_K, value, 0, 1);
	*at++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, verdict);
	return at;
}

int privilege_refuse_calls(unsigned int *count)
{
	struct sock_filter filter[REFUSED_COUNT * 2 + 16], *at = filter;
	const __u32 refusal = SECCOMP_RET_ERRNO | EPERM;
	struct sock_fprog program = {.filter = filter};

	*at++ = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
					     offsetof(struct seccomp_data, arch));
	*at++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SECCOMP_ARCHITECTURE, 1, 0);
	*at++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	*at++ = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
					     offsetof(struct seccomp_data, nr));
#ifdef __x86_64__
	at = compare(at, BPF_JGE, 0x40000000, refusal); /* x32's numbers for the same calls */
#endif
	for (size_t i = 0; i < REFUSED_COUNT; i++)
		at = compare(at, BPF_JEQ, (__u32)refused[i], refusal);
	*at++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	program.len = (unsigned short)(at - filter);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0))
		return -errno;
	*count = REFUSED_COUNT;
	return 0;
}
#else
int privilege_refuse_calls(unsigned int *count)
{
	*count = 0;
	return -EOPNOTSUPP;
}
#endif
