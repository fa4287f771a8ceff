#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "core/system.h"

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

ssize_t system_descriptor_path(int fd, char *path, size_t size)
{
	char link[32];
	ssize_t length;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, path, size - 1);
	if (length < 0)
		return -errno;
	path[length] = '\0';
	return length;
}

int system_open_below(int root, const char *path)
{
	struct open_how how = {
	    .flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
	    .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	long fd = syscall(SYS_openat2, root, path, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

int system_write(int fd, const char *bytes, size_t size)
{
	while (size) {
		ssize_t written = write(fd, bytes, size);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return -errno;
		bytes += written;
		size -= (size_t)written;
	}
	return 0;
}

static int copy_all(int from, int to, uint64_t limit)
{
	char buffer[65536];
	uint64_t offset = 0;
	ssize_t count;
	int err;

	for (;;) {
		count = pread(from, buffer, sizeof(buffer), (off_t)offset);
		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			return count ? -errno : 0;
		offset += (uint64_t)count;
		if (offset > limit)
			return -EFBIG; /* it grew while we read */
		err = system_write(to, buffer, (size_t)count);
		if (err)
			return err;
	}
}

int system_seal_up(int fd, int err)
{
	if (!err && fcntl(fd, F_ADD_SEALS, SEALS))
		err = -errno;
	if (!err)
		return fd;
	close(fd);
	return err;
}

int system_seal(int from, uint64_t limit, const char *name)
{
	struct stat facts;
	int fd;

	if (fstat(from, &facts))
		return -errno;
	if (S_ISDIR(facts.st_mode))
		return -EISDIR;
	if (!S_ISREG(facts.st_mode))
		return -EINVAL;
	if ((uint64_t)facts.st_size > limit)
		return -EFBIG;
	fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	return system_seal_up(fd, copy_all(from, fd, limit));
}

int system_seal_bytes(const void *bytes, size_t size, const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	return system_seal_up(fd, system_write(fd, bytes, size));
}

int system_lock(const char *path, unsigned int wait_ms)
{
	const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	int err;

	if (fd < 0)
		return -errno;
	for (unsigned int waited = 0;; waited += 10) {
		if (!flock(fd, LOCK_EX | LOCK_NB))
			return fd;
		err = -errno;
		if (err == -EINTR)
			continue;
		if (err != -EWOULDBLOCK || waited >= wait_ms)
			break;
		nanosleep(&pause, NULL);
	}
	close(fd);
	return err;
}

/* By name or, without one, by *gid; the name found goes into `found_name`. */
static int find_group(const char *name, gid_t *gid, char *found_name, size_t name_size)
{
	char *buffer = NULL, *larger;
	struct group entry, *found = NULL;
	size_t size = 1024;
	int err;

	do { /* a group with many members needs room for their names */
		size *= 2;
		larger = realloc(buffer, size);
		if (!larger) {
			err = ENOMEM;
			break;
		}
		buffer = larger;
		err = name ? getgrnam_r(name, &entry, buffer, size, &found)
			   : getgrgid_r(*gid, &entry, buffer, size, &found);
	} while (err == ERANGE && size < 1 << 22);
	if (found) {
		*gid = entry.gr_gid;
		snprintf(found_name, name_size, "%s", entry.gr_name);
	}
	free(buffer);
	if (found)
		return 0;
	return err ? -err : -ENOENT;
}

int system_group_id(const char *name, gid_t *gid)
{
	char found[1];

	return find_group(name, gid, found, sizeof(found));
}

int system_group_name(gid_t gid, char *name, size_t size)
{
	return find_group(NULL, &gid, name, size);
}

int system_detached_mount(const char *path)
{
	int fd = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int system_place_mount(int mount, const char *path)
{
	return move_mount(mount, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) ? -errno : 0;
}

int system_private_mount(const char *type)
{
	int context = fsopen(type, FSOPEN_CLOEXEC), root;

	if (context < 0)
		return -errno;
	if (fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		root = -errno;
	else
		root = fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
	if (root == -1)
		root = -errno;
	close(context);
	return root;
}
