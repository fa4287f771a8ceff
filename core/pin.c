#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <linux/magic.h>
#include <bpf/bpf.h>

#include "core/pin.h"

int pin__add(int fd, const char *path)
{
	return bpf_obj_pin(fd, path) ? -errno : 0;
}

int pin__open(const char *path, enum bpf_kind kind, __u32 flags)
{
	LIBBPF_OPTS(bpf_obj_get_opts, options, .file_flags = flags);
	struct stat status;
	int fd, found;

	if (lstat(path, &status))
		return -errno;
	if (S_ISLNK(status.st_mode))
		return -ELOOP;
	fd = bpf_obj_get_opts(path, &options);
	if (fd < 0) /* ordinary files are answered as if they were secret */
		return bpffs__contains(path) == 0 ? -EMEDIUMTYPE : -errno;
	found = fdinfo__kind(fd);
	if (found == (int)kind)
		return fd;
	close(fd);
	return found < 0 ? found : -EMEDIUMTYPE;
}

int bpffs__contains(const char *directory)
{
	struct statfs status;

	if (statfs(directory, &status))
		return -errno;
	return (__u32)status.f_type == BPF_FS_MAGIC;
}

/* A bpffs in a bpffs would be one too many. */
static int is_mount_root(const char *directory)
{
	struct statx status;

	if (statx(AT_FDCWD, directory, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &status))
		return -errno;
	return (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

int bpffs__mount(const char *directory, mode_t mode)
{
	char options[32];
	int contains = bpffs__contains(directory), is_root = 0;

	if (contains > 0)
		is_root = is_mount_root(directory);
	if (contains < 0 || is_root)
		return contains < 0 ? contains : is_root < 0 ? is_root : 0;
	snprintf(options, sizeof(options), "mode=%04o", mode);
	if (mount("bpf", directory, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RELATIME, options))
		return -errno;
	return 0;
}

int bpffs__unmount(const char *directory)
{
	return umount2(directory, MNT_DETACH | UMOUNT_NOFOLLOW) ? -errno : 0;
}

int pin__make_directory(const char *path, mode_t mode)
{
	return mkdir(path, mode) ? -errno : 0;
}

int pin__rename(const char *from, const char *to)
{
	if (!renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE))
		return 0;
	if (errno != EINVAL)
		return -errno;
	/* a file system that does not know the flag: look first */
	if (!access(to, F_OK))
		return -EEXIST;
	if (errno != ENOENT)
		return -errno;
	return rename(from, to) ? -errno : 0;
}

int pin__remove(const char *path)
{
	return unlink(path) ? -errno : 0;
}

static int empty_directory(int fd, dev_t device);

static int remove_entry(int directory, const char *name, dev_t device)
{
	struct stat status;
	int fd, err;

	if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISDIR(status.st_mode))
		return unlinkat(directory, name, 0) && errno != ENOENT ? -errno : 0;
	if (status.st_dev != device)
		return -EXDEV;
	fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	err = empty_directory(fd, device);
	if (err)
		return err;
	return unlinkat(directory, name, AT_REMOVEDIR) && errno != ENOENT ? -errno : 0;
}

/* Takes the descriptor over. */
static int empty_directory(int fd, dev_t device)
{
	DIR *stream = fdopendir(fd);
	struct dirent *entry;
	int err = 0;

	if (!stream) {
		err = -errno;
		close(fd);
		return err;
	}
	while (!err && (errno = 0, entry = readdir(stream)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			err = remove_entry(fd, entry->d_name, device);
	if (!err && errno)
		err = -errno;
	closedir(stream);
	return err;
}

int pin__remove_tree(const char *path)
{
	struct stat status;

	if (lstat(path, &status))
		return errno == ENOENT ? 0 : -errno;
	return remove_entry(AT_FDCWD, path, status.st_dev);
}
