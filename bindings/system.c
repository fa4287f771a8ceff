/* bpf.core.system: files, descriptors and clocks, as far as libc alone has them; processes are in
 * process.c. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <lauxlib.h>

#include "bindings/descriptor.h"
#include "bindings/handle.h"
#include "bindings/namespaces.h"
#include "bindings/process.h"
#include "bindings/table.h"
#include "core/digest.h"
#include "core/interrupt.h"
#include "core/system.h"

#define DIRECTORY "bpf.system.directory"

static int taken(lua_State *L, struct descriptor_handle *handle, int fd, const char *doing,
		 const char *path)
{
	if (fd < 0)
		return push_errno(L, fd, "cannot %s %s", doing, path);
	handle->fd = fd;
	return 1;
}

/* open(path [, mode]) -> descriptor; never waits for a FIFO. "append" makes the file, 0600. */
static int open_file(lua_State *L)
{
	static const char *const modes[] = {"r", "rw", "path", "directory", "append", NULL};
	static const int flags[] = {O_RDONLY | O_NONBLOCK, O_RDWR | O_NONBLOCK, O_PATH,
				    O_RDONLY | O_DIRECTORY,
				    O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK};
	const char *path = luaL_checkstring(L, 1);
	int mode = luaL_checkoption(L, 2, "r", modes);
	struct descriptor_handle *handle = new_descriptor(L);
	int fd = open(path, flags[mode] | O_NOCTTY | O_CLOEXEC, 0600);

	return taken(L, handle, fd < 0 ? -errno : fd, "open", path);
}

/* open_below(root, path) -> descriptor of what a process with that root directory sees there */
static int open_below(lua_State *L)
{
	int root = check_descriptor_number(L, 1);
	const char *path = luaL_checkstring(L, 2);
	struct descriptor_handle *handle = new_descriptor(L);

	return taken(L, handle, system_open_below(root, path), "open", path);
}

/* descriptor(number) -> descriptor, which owns the number from now on */
static int adopt_descriptor(lua_State *L)
{
	int fd = (int)luaL_checkinteger(L, 1);

	luaL_argcheck(L, fd >= 0, 1, "not a descriptor");
	new_descriptor(L)->fd = fd;
	return 1;
}

/* path_of(descriptor) -> what the kernel calls it */
static int path_of(lua_State *L)
{
	int fd = check_descriptor_number(L, 1);
	char path[4096];
	ssize_t length = system_descriptor_path(fd, path, sizeof(path));

	if (length < 0)
		return push_errno(L, (int)length, "cannot tell the path of descriptor %d", fd);
	lua_pushlstring(L, path, (size_t)length);
	return 1;
}

static const char *kind_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "file";
	case S_IFDIR:
		return "directory";
	case S_IFLNK:
		return "link";
	case S_IFIFO:
		return "FIFO";
	case S_IFSOCK:
		return "socket";
	default:
		return "device";
	}
}

/* facts(path | descriptor) -> { kind, size, mode, uid, gid, inode, device }; links are not
 * followed */
static int facts(lua_State *L)
{
	const char *path = lua_type(L, 1) == LUA_TSTRING ? lua_tostring(L, 1) : NULL;
	struct stat status;
	int failed = path ? lstat(path, &status) : fstat(check_descriptor_number(L, 1), &status);

	if (failed)
		return push_errno(L, -errno, "cannot look at %s", path ? path : "a descriptor");
	lua_createtable(L, 0, 7);
	set_string(L, "kind", kind_of(status.st_mode));
	set_integer(L, "size", status.st_size);
	set_integer(L, "mode", status.st_mode & 07777);
	set_integer(L, "uid", status.st_uid);
	set_integer(L, "gid", status.st_gid);
	set_integer(L, "inode", (lua_Integer)status.st_ino);
	set_integer(L, "device", (lua_Integer)status.st_dev);
	return 1;
}

/* exists(path) -> boolean, links not followed. Raises where the kernel does not tell: what is taken
 * for absent is removed, or made over what is there. */
static int exists(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	struct stat status;
	int err = lstat(path, &status) ? -errno : 0;

	if (err && err != -ENOENT && err != -ENOTDIR) {
		push_errno(L, err, "cannot look at %s", path);
		return lua_error(L);
	}
	lua_pushboolean(L, !err);
	return 1;
}

/* seal(descriptor | bytes, limit, name) -> descriptor of a copy that nobody can change */
static int seal(lua_State *L)
{
	lua_Integer limit = luaL_checkinteger(L, 2);
	const char *name = luaL_checkstring(L, 3);
	struct descriptor_handle *handle;
	const char *bytes;
	size_t size;
	int fd;

	luaL_argcheck(L, limit >= 0, 2, "a size");
	handle = new_descriptor(L);
	if (lua_type(L, 1) == LUA_TSTRING) {
		bytes = lua_tolstring(L, 1, &size);
		fd = size > (size_t)limit ? -EFBIG : system_seal_bytes(bytes, size, name);
	} else {
		fd = system_seal(check_descriptor_number(L, 1), (uint64_t)limit, name);
	}
	if (fd == -EFBIG)
		return push_error(L, fd, NULL, "%s is larger than %lld bytes", name,
				  (long long)limit);
	if (fd == -EISDIR || fd == -EINVAL)
		return push_error(L, fd, NULL, "%s is no regular file", name);
	return taken(L, handle, fd, "copy", name);
}

/* lock(path [, seconds]) -> descriptor that has the lock */
static int lock(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	lua_Number seconds = luaL_optnumber(L, 2, 0);
	struct descriptor_handle *handle = new_descriptor(L);

	return taken(L, handle, system_lock(path, (unsigned int)(seconds * 1000)), "lock", path);
}

/* read(descriptor [, size]) -> bytes, "" at the end */
static int read_bytes(lua_State *L)
{
	int fd = check_descriptor_number(L, 1);
	lua_Integer size = luaL_optinteger(L, 2, 65536);
	luaL_Buffer buffer;
	ssize_t count;
	char *bytes;

	luaL_argcheck(L, size > 0 && size <= 1 << 24, 2, "size out of range");
	bytes = luaL_buffinitsize(L, &buffer, (size_t)size);
	do
		count = read(fd, bytes, (size_t)size);
	while (count < 0 && errno == EINTR && !interrupt_pending());
	if (count < 0)
		return push_errno(L, -errno, "cannot read");
	luaL_pushresultsize(&buffer, (size_t)count);
	return 1;
}

/* write(descriptor, bytes) -> true, after the last byte */
static int write_bytes(lua_State *L)
{
	int fd = check_descriptor_number(L, 1);
	size_t size;
	const char *bytes = luaL_checklstring(L, 2, &size);

	return push_done(L, system_write(fd, bytes, size), "write to", "a descriptor");
}

/* pipe() -> the end to read (non-blocking), the end to write */
static int make_pipe(lua_State *L)
{
	struct descriptor_handle *from = new_descriptor(L), *to = new_descriptor(L);
	int ends[2];

	if (pipe2(ends, O_CLOEXEC))
		return push_errno(L, -errno, "cannot make a pipe");
	from->fd = ends[0];
	to->fd = ends[1];
	fcntl(from->fd, F_SETFL, O_NONBLOCK);
	return 2;
}

/* make_directory(path [, mode]) -> true; the mode is exact, whatever the umask */
static int make_directory(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	mode_t mode = (mode_t)luaL_optinteger(L, 2, 0755);
	int failed = mkdir(path, mode) || chmod(path, mode);

	return push_done(L, failed ? -errno : 0, "make the directory", path);
}

/* remove(path) -> true: a file, a link or an empty directory */
static int remove_path(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);

	return push_done(L, remove(path) ? -errno : 0, "remove", path);
}

static int rename_path(lua_State *L)
{
	const char *from = luaL_checkstring(L, 1), *to = luaL_checkstring(L, 2);

	return push_done(L, rename(from, to) ? -errno : 0, "rename", from);
}

/* set_access(path, mode, uid, gid) -> true; uid and gid -1: as they are */
static int set_access(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	mode_t mode = (mode_t)luaL_checkinteger(L, 2);
	uid_t uid = (uid_t)luaL_optinteger(L, 3, -1);
	gid_t gid = (gid_t)luaL_optinteger(L, 4, -1);
	int failed = chown(path, uid, gid) || chmod(path, mode);

	return push_done(L, failed ? -errno : 0, "set the access rights of", path);
}

static int close_directory(lua_State *L)
{
	DIR **directory = luaL_checkudata(L, 1, DIRECTORY);

	if (*directory)
		closedir(*directory);
	*directory = NULL;
	return 0;
}

/* list(directory) -> { name ... }, in no order */
static int list_directory(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	DIR **directory = lua_newuserdatauv(L, sizeof(*directory), 0);
	struct dirent *entry;
	lua_Integer place = 0;

	*directory = NULL;
	luaL_setmetatable(L, DIRECTORY);
	lua_toclose(L, -1);
	*directory = opendir(path);
	if (!*directory)
		return push_errno(L, -errno, "cannot list %s", path);
	lua_newtable(L);
	while ((errno = 0, entry = readdir(*directory))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		lua_pushstring(L, entry->d_name);
		lua_rawseti(L, -2, ++place);
	}
	if (errno)
		return push_errno(L, -errno, "cannot list %s", path);
	return 1;
}

/* sha256(descriptor | bytes) -> the digest in hexadecimal */
static int sha256(lua_State *L)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char digest[SHA256_SIZE];
	char text[2 * SHA256_SIZE];
	size_t size;
	const char *bytes = lua_type(L, 1) == LUA_TSTRING ? lua_tolstring(L, 1, &size) : NULL;
	int err = bytes ? digest_sha256_bytes(bytes, size, digest)
			: digest_sha256(check_descriptor_number(L, 1), digest);

	if (err)
		return push_errno(L, err, "cannot make a digest");
	for (size_t i = 0; i < SHA256_SIZE; i++) {
		text[2 * i] = digits[digest[i] >> 4];
		text[2 * i + 1] = digits[digest[i] & 15];
	}
	lua_pushlstring(L, text, sizeof(text));
	return 1;
}

/* clock(["real" | "monotonic"]) -> nanoseconds */
static int read_clock(lua_State *L)
{
	static const char *const names[] = {"real", "monotonic", NULL};
	static const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC};
	struct timespec now;

	clock_gettime(clocks[luaL_checkoption(L, 1, "real", names)], &now);
	lua_pushinteger(L, (lua_Integer)now.tv_sec * 1000000000 + now.tv_nsec);
	return 1;
}

/* is_terminal(number) -> whether a person may be looking */
static int is_terminal(lua_State *L)
{
	lua_pushboolean(L, isatty((int)luaL_checkinteger(L, 1)));
	return 1;
}

static int detached_mount(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	struct descriptor_handle *handle = new_descriptor(L);

	return taken(L, handle, system_detached_mount(path), "clone the mount", path);
}

static int place_mount(lua_State *L)
{
	int mount = check_descriptor_number(L, 1);
	const char *path = luaL_checkstring(L, 2);

	return push_done(L, system_place_mount(mount, path), "mount", path);
}

/* device_numbers(device) -> major, minor */
static int device_numbers(lua_State *L)
{
	dev_t device = (dev_t)luaL_checkinteger(L, 1);

	lua_pushinteger(L, major(device));
	lua_pushinteger(L, minor(device));
	return 2;
}

static const luaL_Reg functions[] = {
    {"clock", read_clock},
    {"descriptor", adopt_descriptor},
    {"detached_mount", detached_mount},
    {"device_numbers", device_numbers},
    {"exists", exists},
    {"facts", facts},
    {"is_terminal", is_terminal},
    {"list", list_directory},
    {"lock", lock},
    {"make_directory", make_directory},
    {"open", open_file},
    {"open_below", open_below},
    {"path_of", path_of},
    {"pipe", make_pipe},
    {"place_mount", place_mount},
    {"read", read_bytes},
    {"remove", remove_path},
    {"rename", rename_path},
    {"seal", seal},
    {"set_access", set_access},
    {"sha256", sha256},
    {"write", write_bytes},
    {NULL, NULL},
};

int open_system(lua_State *L)
{
	static const luaL_Reg directory_methods[] = {
	    {"__close", close_directory},
	    {"__gc", close_directory},
	    {NULL, NULL},
	};

	define_methods(L, DIRECTORY, directory_methods);
	luaL_newlib(L, functions);
	luaL_setfuncs(L, process_functions, 0);
	lua_pushliteral(L, VERSION);
	lua_setfield(L, -2, "version");
	return 1;
}
