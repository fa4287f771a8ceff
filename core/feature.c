#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/bpf.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "core/chain/hook.h"
#include "core/feature.h"

/* Does nothing, is called by nobody but the kernel's own test runs, and is there since 5.5. */
#define TRACED_FUNCTION "bpf_fentry_test1"

#define SOURCES "/sys/bus/event_source/devices"
#define BTF	"/sys/kernel/btf/vmlinux"

/* What bpf.h of 6.6 calls them. */
#define ATTACH_UPROBE_MULTI 48

static int refuse(struct diagnostic *why, const char *reason)
{
	return diagnostic__fail(why, -EOPNOTSUPP, "%s", reason);
}

int feature__event_source(const char *source, struct diagnostic *why)
{
	char path[128];

	snprintf(path, sizeof(path), SOURCES "/%s/type", source);
	if (!access(path, F_OK))
		return 0;
	if (access(SOURCES, F_OK))
		return refuse(why, "the kernel's event sources are out of sight: no " SOURCES);
	if (!strcmp(source, "kprobe"))
		return refuse(why, "this kernel has no kprobes (it was built without "
				   "CONFIG_KPROBES or CONFIG_KPROBE_EVENTS)");
	return refuse(why,
		      "this kernel has no uprobes (it was built without CONFIG_UPROBE_EVENTS)");
}

int feature__btf(struct diagnostic *why)
{
	if (!access(BTF, R_OK))
		return 0;
	return refuse(why, "this kernel does not tell its types (BTF): no " BTF);
}

static const struct kind {
	const char *name;
	enum bpf_prog_type type;
	__u32 attach_type;
} kinds[] = {
    {"xdp", BPF_PROG_TYPE_XDP, BPF_XDP},
    {"tc", BPF_PROG_TYPE_SCHED_CLS, 0},
    {"tracepoint", BPF_PROG_TYPE_TRACEPOINT, 0},
    {"raw_tracepoint", BPF_PROG_TYPE_RAW_TRACEPOINT, 0},
    {"kprobe", BPF_PROG_TYPE_KPROBE, 0},
    {"kprobe_multi", BPF_PROG_TYPE_KPROBE, BPF_TRACE_KPROBE_MULTI},
    {"uprobe_multi", BPF_PROG_TYPE_KPROBE, ATTACH_UPROBE_MULTI},
    {"fentry", BPF_PROG_TYPE_TRACING, BPF_TRACE_FENTRY},
    {"fexit", BPF_PROG_TYPE_TRACING, BPF_TRACE_FEXIT},
};

static const struct kind *find_kind(const char *name)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (!strcmp(kinds[i].name, name))
			return &kinds[i];
	return NULL;
}

static bool is_tracing(const struct kind *kind)
{
	return kind->type == BPF_PROG_TYPE_TRACING;
}

/* `return 0`. Returns the descriptor or -errno; `log` has what the verifier said. Tracing programs
 * want a function of the kernel's. */
static int load(const struct kind *kind, __u32 function, char *log, size_t log_size)
{
	const struct bpf_insn insns[] = {
	    {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
	    {.code = BPF_JMP | BPF_EXIT},
	};
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = kind->attach_type,
		    .attach_btf_id = function, .log_buf = log, .log_size = (__u32)log_size,
		    .log_level = 1);
	int fd;

	*log = '\0';
	fd = bpf_prog_load(kind->type, "probe", "GPL", insns, 2, &options);
	return fd < 0 ? -errno : fd;
}

static int refuse_program(const struct kind *kind, int err, char *log, struct diagnostic *why)
{
	if (err == -EPERM && !*log) /* the words of a load that is refused so */
		return diagnostic__fail(why, -EOPNOTSUPP,
					"this kernel, or a lack of privilege, forbids %s programs",
					is_tracing(kind) ? "tracing (fentry, fexit)" : kind->name);
	log[strcspn(log, "\n")] = '\0';
	return diagnostic__fail(why, -EOPNOTSUPP,
				"this kernel refuses %s programs: BPF_PROG_LOAD says %s%s%s",
				kind->name, strerrorname_np(-err) ?: "ENOTSUPP",
				*log ? ": " : " before the verifier", log);
}

int feature__program(const char *name, struct diagnostic *why)
{
	const struct kind *kind = find_kind(name);
	char log[1024];
	int fd;

	if (!kind)
		return -EINVAL;
	if (is_tracing(kind) && feature__btf(why))
		return -EOPNOTSUPP;
	/* the kernel's type 1 is no function: who says so knows the program type */
	fd = load(kind, is_tracing(kind) ? 1 : 0, log, sizeof(log));
	if (fd >= 0)
		close(fd);
	if (fd >= 0 || (is_tracing(kind) && strstr(log, "is not a function")))
		return 0;
	return refuse_program(kind, fd, log, why);
}

static int refuse_link(const char *name, const char *request, int err, struct diagnostic *why)
{
	return diagnostic__fail(why, -EOPNOTSUPP, "this kernel has no %s links: %s says %s", name,
				request, strerrorname_np(-err) ?: "ENOTSUPP");
}

/* Tried in earnest, on a function that does not run: nothing less tells. */
static int probe_tracing_link(const char *name, struct diagnostic *why)
{
	const struct kind *kind = find_kind(name);
	char log[1024];
	int function, fd, link, err = feature__btf(why);

	if (err)
		return err;
	function = libbpf_find_vmlinux_btf_id(TRACED_FUNCTION, kind->attach_type);
	if (function <= 0)
		return feature__program(name, why);
	fd = load(kind, (__u32)function, log, sizeof(log));
	if (fd < 0)
		return refuse_program(kind, fd, log, why);
	link = bpf_raw_tracepoint_open(NULL, fd);
	err = link < 0 ? -errno : 0;
	close(fd);
	if (err)
		return refuse_link(name, "BPF_RAW_TRACEPOINT_OPEN", err, why);
	close(link);
	return 0;
}

/* Every kernel that knows the link complains about the target, which is nowhere; others about the
 * request. */
static int try_link(int program_fd, const struct kind *kind)
{
	LIBBPF_OPTS(bpf_link_create_opts, options);
	unsigned long nowhere = 0;
	struct { /* BPF_LINK_CREATE as kernels since 6.6 read it for uprobe_multi */
		__u32 program_fd, target_fd, attach_type, flags;
		__u64 path, offsets, counters, cookies;
		__u32 count, probe_flags, pid, padding;
	} uprobes = {
	    .program_fd = (__u32)program_fd,
	    .attach_type = kind->attach_type,
	    .path = (__u64)(unsigned long)"/",
	    .offsets = (__u64)(unsigned long)&nowhere,
	    .count = 1,
	};

	if (kind->attach_type == ATTACH_UPROBE_MULTI)
		return syscall(SYS_bpf, BPF_LINK_CREATE, &uprobes, sizeof(uprobes)) < 0 ? -errno
											: 0;
	if (kind->attach_type == BPF_TRACE_KPROBE_MULTI) {
		const char *symbols[] = {"no function"};

		options.kprobe_multi.syms = symbols;
		options.kprobe_multi.cnt = 1;
		return bpf_link_create(program_fd, 0, kind->attach_type, &options) < 0 ? -errno : 0;
	}
	if (kind->type == BPF_PROG_TYPE_RAW_TRACEPOINT)
		return bpf_raw_tracepoint_open("no tracepoint", program_fd) < 0 ? -errno : 0;
	if (kind->attach_type == BPF_XDP)
		return bpf_link_create(program_fd, -1, BPF_XDP, NULL) < 0 ? -errno : 0;
	return bpf_link_create(program_fd, -1, BPF_PERF_EVENT, NULL) < 0 ? -errno : 0;
}

static bool is_about_target(int err, const struct kind *kind)
{
	switch (kind->attach_type) {
	case ATTACH_UPROBE_MULTI: /* "/" is no regular file */
		return err == -EBADF || err == -EISDIR;
	case BPF_TRACE_KPROBE_MULTI:
		return err == -ESRCH || err == -ENOENT || err == -EINVAL;
	case BPF_XDP:
		return err == -ENODEV || err == -EINVAL;
	default: /* raw tracepoints are looked up by name, perf events by descriptor */
		return err == (kind->type == BPF_PROG_TYPE_RAW_TRACEPOINT ? -ENOENT : -EBADF);
	}
}

int feature__link(const char *name, struct diagnostic *why)
{
	const struct kind *kind = find_kind(strcmp(name, "perf_event") ? name : "tracepoint");
	char log[1024];
	int fd, err;

	if (!strcmp(name, "tcx"))
		return hook__has_tcx() ? 0 : refuse(why, "this kernel has no TCX (6.6 has it)");
	if (!kind)
		return -EINVAL;
	if (is_tracing(kind))
		return probe_tracing_link(name, why);
	fd = load(kind, 0, log, sizeof(log));
	if (fd < 0)
		return refuse_link(name, "BPF_PROG_LOAD", fd, why);
	err = try_link(fd, kind);
	close(fd);
	if (!err || is_about_target(err, kind))
		return 0;
	return refuse_link(name, "BPF_LINK_CREATE", err, why);
}
