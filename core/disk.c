#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "core/disk.h"

int disk_create(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : fd;
}

int disk_sync(int fd)
{
	return fsync(fd) ? -errno : 0;
}

int disk_sync_directory(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err;

	if (fd < 0)
		return -errno;
	err = disk_sync(fd);
	close(fd);
	return err;
}

int disk_copy(int from, int to)
{
	struct stat facts;
	off_t offset = 0;

	if (fstat(from, &facts))
		return -errno;
	while (offset < facts.st_size) {
		ssize_t count = sendfile(to, from, &offset, (size_t)(facts.st_size - offset));

		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			return count ? -errno : -EIO; /* it became shorter */
	}
	return 0;
}

int disk_touch(const char *path)
{
	return utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW) ? -errno : 0;
}

int disk_empty(int fd)
{
	return ftruncate(fd, 0) || lseek(fd, 0, SEEK_SET) ? -errno : 0;
}

int disk_changed_at(const char *path, long long *nanoseconds)
{
	struct stat facts;

	if (lstat(path, &facts))
		return -errno;
	*nanoseconds = facts.st_mtim.tv_sec * 1000000000LL + facts.st_mtim.tv_nsec;
	return 0;
}
