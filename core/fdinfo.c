#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/fdinfo.h"

int fdinfo__number(int fd, const char *key, __u64 *value)
{
	char path[64], text[2048], wanted[64], *line;
	ssize_t length;
	int info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = open(path, O_RDONLY | O_CLOEXEC);
	if (info < 0)
		return -errno;
	text[0] = '\n';
	length = read(info, text + 1, sizeof(text) - 2);
	close(info);
	if (length < 0)
		return -errno;
	text[length + 1] = '\0';
	snprintf(wanted, sizeof(wanted), "\n%s:", key);
	line = strstr(text, wanted);
	if (!line)
		return -ENOENT;
	*value = strtoull(line + strlen(wanted), NULL, 10);
	return 0;
}

int fdinfo__kind(int fd)
{
	char path[64], target[64];
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	length = readlink(path, target, sizeof(target) - 1);
	if (length < 0)
		return -errno;
	target[length] = '\0';
	if (!strcmp(target, "anon_inode:bpf-prog"))
		return BPF_KIND_PROGRAM;
	if (!strcmp(target, "anon_inode:bpf-map"))
		return BPF_KIND_MAP;
	if (strstr(target, "bpf_link") || strstr(target, "bpf-link"))
		return BPF_KIND_LINK;
	return BPF_KIND_NONE;
}
