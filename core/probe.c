/* Links that hang on a perf event: tracepoints, kprobes, uprobes. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/perf_event.h>
#include <bpf/bpf.h>

#include "core/code.h"
#include "core/feature.h"
#include "core/kallsyms.h"
#include "core/link.h"
#include "core/tracefs.h"

#define DEVICES "/sys/bus/event_source/devices/"

static int read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length;

	if (fd < 0)
		return -errno;
	length = read(fd, text, size - 1);
	close(fd);
	if (length < 0)
		return -errno;
	text[length] = '\0';
	return 0;
}

/* The number of a dynamic event source, and which bit of config asks for return probes. */
static int read_source(const char *source, __u32 *type, __u64 *return_bit)
{
	char path[128], text[64];
	int err;

	snprintf(path, sizeof(path), DEVICES "%s/type", source);
	err = read_text(path, text, sizeof(text));
	if (err)
		return err;
	*type = (__u32)strtoul(text, NULL, 10);
	snprintf(path, sizeof(path), DEVICES "%s/format/retprobe", source);
	err = read_text(path, text, sizeof(text));
	if (err)
		return err;
	if (strncmp(text, "config:", 7))
		return -EPROTO;
	*return_bit = 1ull << strtoul(text + 7, NULL, 10);
	return 0;
}

static int open_event(struct perf_event_attr *attributes, pid_t pid)
{
	long fd;

	attributes->size = sizeof(*attributes);
	fd = syscall(SYS_perf_event_open, attributes, pid ? pid : -1, pid ? -1 : 0, -1,
		     PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : (int)fd;
}

/* The link holds the event from then on. */
static int link_event(int program_fd, int event, struct diagnostic *why)
{
	int link = bpf_link_create(program_fd, event, BPF_PERF_EVENT, NULL);

	if (link < 0)
		link = diagnostic__fail(
		    why, -errno, "the kernel does not run the program there: %s", strerror(errno));
	else if (ioctl(event, PERF_EVENT_IOC_ENABLE, 0)) {
		int err = -errno;

		close(link);
		link =
		    diagnostic__fail(why, err, "the probe cannot be enabled: %s", strerror(-err));
	}
	close(event);
	return link;
}

int link__attach_tracepoint(int program_fd, const char *category, const char *name,
			    struct diagnostic *why)
{
	struct perf_event_attr attributes = {.type = PERF_TYPE_TRACEPOINT};
	__u64 id;
	int event, err = tracefs__tracepoint(category, name, &id, why);

	if (err)
		return err;
	attributes.config = id;
	event = open_event(&attributes, 0);
	if (event < 0)
		return diagnostic__fail(why, event, "cannot open tracepoint %s/%s: %s", category,
					name, strerror(-event));
	return link_event(program_fd, event, why);
}

static int check_probe(const struct probe *probe, struct diagnostic *why)
{
	if (probe->is_return && probe->function && probe->offset)
		return diagnostic__fail(why, -EINVAL, "a return probe takes no offset");
	return 0;
}

static int explain_kprobe(int err, const struct probe *probe, struct diagnostic *why)
{
	struct kernel_function function;

	if (err == -EADDRNOTAVAIL && !kallsyms__function(probe->function, &function) &&
	    function.count > 1)
		return diagnostic__fail(why, err, "the kernel has %u functions of the name %s",
					function.count, probe->function);
	if (err == -ENOENT)
		return diagnostic__fail(why, err, "the kernel has no function %s", probe->function);
	if (err == -EADDRNOTAVAIL || (err == -EINVAL && !probe->offset))
		return diagnostic__fail(why, err, "the kernel allows no probe on %s",
					probe->function);
	if (err == -EINVAL || err == -EILSEQ)
		return diagnostic__fail(why, err,
					"offset %llu of %s is not where an instruction begins",
					probe->offset, probe->function);
	return diagnostic__fail(why, err, "cannot probe %s: %s", probe->function, strerror(-err));
}

/* The kernel would go on counting into whatever function comes next. */
static int check_end(const struct probe *probe, struct diagnostic *why)
{
	struct kernel_function function;

	if (!probe->offset || kallsyms__function(probe->function, &function) || !function.size ||
	    probe->offset < function.size)
		return 0;
	return diagnostic__fail(why, -EINVAL,
				"offset %llu lies behind the end of %s, which has %llu bytes",
				probe->offset, probe->function, function.size);
}

int link__attach_kprobe(int program_fd, const struct probe *probe, struct diagnostic *why)
{
	struct perf_event_attr attributes = {};
	__u64 return_bit;
	int event, err = check_probe(probe, why);

	if (err)
		return err;
	err = feature__event_source("kprobe", why);
	if (err)
		return err;
	err = read_source("kprobe", &attributes.type, &return_bit);
	if (err)
		return diagnostic__fail(why, err, "the kernel's kprobe events are out of reach: %s",
					strerror(-err));
	err = check_end(probe, why);
	if (err)
		return err;
	attributes.config = probe->is_return ? return_bit : 0;
	attributes.config1 = (__u64)(unsigned long)probe->function;
	attributes.config2 = probe->offset;
	event = open_event(&attributes, 0);
	if (event < 0)
		return explain_kprobe(event, probe, why);
	return link_event(program_fd, event, why);
}

static int explain_uprobe(int err, const struct probe *probe, __u64 offset, struct diagnostic *why)
{
	if (err == -ESRCH)
		return diagnostic__fail(why, err, "there is no process %d", (int)probe->pid);
	if (err == -EINVAL || err == -EOPNOTSUPP || err == -EIO)
		return diagnostic__fail(why, err, "no probe can stand at offset %#llx of %s",
					offset, probe->name);
	return diagnostic__fail(why, err, "cannot probe %s: %s", probe->name, strerror(-err));
}

int link__attach_uprobe(int program_fd, const struct probe *probe, struct diagnostic *why)
{
	const struct code_place place = {probe->path, probe->name, probe->function, probe->offset};
	struct perf_event_attr attributes = {};
	__u64 return_bit, offset;
	int event, err = check_probe(probe, why);

	if (!err)
		err = feature__event_source("uprobe", why);
	if (!err)
		err = code__find(&place, &offset, why);
	if (err)
		return err;
	err = read_source("uprobe", &attributes.type, &return_bit);
	if (err)
		return diagnostic__fail(why, err, "the kernel's uprobe events are out of reach: %s",
					strerror(-err));
	attributes.config = probe->is_return ? return_bit : 0;
	attributes.config1 = (__u64)(unsigned long)probe->path;
	attributes.config2 = offset;
	event = open_event(&attributes, probe->pid);
	if (event < 0)
		return explain_uprobe(event, probe, offset, why);
	return link_event(program_fd, event, why);
}
