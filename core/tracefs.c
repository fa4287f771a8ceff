#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <linux/magic.h>

#include "core/system.h"
#include "core/tracefs.h"

static int open_root(void)
{
	static const char *const places[] = {"/sys/kernel/tracing", "/sys/kernel/debug/tracing"};
	struct statfs status;

	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		int fd = open(places[i], O_PATH | O_DIRECTORY | O_CLOEXEC);

		if (fd >= 0 && !fstatfs(fd, &status) && status.f_type == TRACEFS_MAGIC)
			return fd;
		if (fd >= 0)
			close(fd);
	}
	return system_private_mount("tracefs");
}

static bool is_plain(const char *name)
{
	return *name && *name != '.' && !strchr(name, '/');
}

static int read_number(int root, const char *path, __u64 *number)
{
	int fd = openat(root, path, O_RDONLY | O_CLOEXEC);
	char text[32];
	ssize_t length;

	if (fd < 0)
		return -errno;
	length = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (length <= 0)
		return length ? -errno : -ENODATA;
	text[length] = '\0';
	*number = strtoull(text, NULL, 10);
	return 0;
}

int tracefs__tracepoint(const char *category, const char *name, __u64 *id, struct diagnostic *why)
{
	char path[256];
	int root, err;
	bool has_category;

	if (!is_plain(category) || !is_plain(name))
		return diagnostic__fail(why, -EINVAL, "%s/%s is no tracepoint's name", category,
					name);
	root = open_root();
	if (root < 0)
		return diagnostic__fail(
		    why, root, "this kernel's tracing files are out of reach: %s", strerror(-root));
	snprintf(path, sizeof(path), "events/%s", category);
	has_category = !faccessat(root, path, F_OK, 0);
	snprintf(path, sizeof(path), "events/%s/%s/id", category, name);
	err = read_number(root, path, id);
	close(root);
	if (err == -ENOENT && has_category)
		return diagnostic__fail(why, err, "the kernel has no tracepoint %s in category %s",
					name, category);
	if (err == -ENOENT)
		return diagnostic__fail(why, err, "the kernel has no tracepoint category %s",
					category);
	if (err)
		return diagnostic__fail(why, err, "cannot read tracepoint %s/%s: %s", category,
					name, strerror(-err));
	return 0;
}
