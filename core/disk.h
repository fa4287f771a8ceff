/* Files that survive a crash whole. All functions return 0 (or what is said) or -errno. */
#ifndef CORE_DISK_H
#define CORE_DISK_H

/* Makes a new file, 0600, to read and write; -EEXIST if there is one. Returns the descriptor. */
int disk_create(const char *path);

/* What was written to the descriptor, or to the names in a directory, reaches the disk. */
int disk_sync(int fd);
int disk_sync_directory(const char *path);

/* Appends all bytes of a regular file, from its beginning, wherever its descriptor stands. */
int disk_copy(int from, int to);

/* The file was used now: its time of change becomes this moment. */
int disk_touch(const char *path);

/* Drops all bytes, and the position goes back to the beginning. */
int disk_empty(int fd);

/* The file's time of change, in nanoseconds since 1970. */
int disk_changed_at(const char *path, long long *nanoseconds);

#endif
