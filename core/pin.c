#include <errno.h>
#include <unistd.h>
#include <bpf/bpf.h>

#include "core/pin.h"

int pin__add(int fd, const char *path)
{
	return bpf_obj_pin(fd, path) ? -errno : 0;
}

int pin__open(const char *path, enum bpf_kind kind)
{
	int fd = bpf_obj_get(path);

	if (fd < 0)
		return -errno;
	if (fdinfo__kind(fd) == kind)
		return fd;
	close(fd);
	return -EMEDIUMTYPE;
}
