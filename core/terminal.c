#include <errno.h>
#include <sys/ioctl.h>

#include "core/terminal.h"

int terminal_width(int fd)
{
	struct winsize size;

	if (ioctl(fd, TIOCGWINSZ, &size))
		return -errno;
	return size.ws_col ? size.ws_col : -ENODATA;
}
