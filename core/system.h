/*
 * Files and descriptors as a daemon needs them: libc and Linux calls alone. Every descriptor is
 * close-on-exec. All functions return 0 (or what is said) or -errno.
 */
#ifndef CORE_SYSTEM_H
#define CORE_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What /proc says a descriptor is: a path, `memfd:NAME (deleted)`, `net:[4026531840]`. Returns the
 * length; the text is cut at size - 1. */
ssize_t system_descriptor_path(int fd, char *path, size_t size);

/*
 * Opens a file for reading as a process sees it whose root directory is `root`: absolute links and
 * `..` stay below. Returns the descriptor.
 */
int system_open_below(int root, const char *path);

/*
 * Copies a regular file, from its beginning, into sealed memory that nobody can change any more.
 * -EISDIR or -EINVAL for what is no regular file, -EFBIG above limit bytes. Returns the new
 * descriptor.
 */
int system_seal(int from, uint64_t limit, const char *name);

/* The same for bytes at hand. */
int system_seal_bytes(const void *bytes, size_t size, const char *name);

/* Seals memory that can be sealed, unless an error came before: then, as when it cannot be sealed,
 * the memory is closed. Returns the descriptor. */
int system_seal_up(int memory, int err);

/*
 * Opens (and creates, 0600) the file and takes its lock, waiting at most that long. -EWOULDBLOCK if
 * somebody else has it. The lock lives until the last copy of the descriptor is closed, forked
 * copies included. Returns the descriptor.
 */
int system_lock(const char *path, unsigned int wait_ms);

/* Writes all bytes, waiting where the descriptor does. */
int system_write(int fd, const char *bytes, size_t size);

/* The group's number; -ENOENT without such a group. */
int system_group_id(const char *name, gid_t *gid);
int system_group_name(gid_t gid, char *name, size_t size);

/* A second, detached mount of what is mounted at path: keeps the file system alive, and can be
 * put in place once, should somebody unmount it. Returns the descriptor. */
int system_detached_mount(const char *path);
int system_place_mount(int mount, const char *path);

/* A new mount of a file system of the kernel's ("tracefs", "sysfs"), of this process's namespaces,
 * that no path leads to and that ends with its descriptor, which is returned. */
int system_private_mount(const char *type);

#endif
