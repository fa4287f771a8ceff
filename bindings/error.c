/*
 * Error objects as C makes them. Their methods are Lua's (lua/bpf/error.lua): both sides share the
 * metatable through the registry, whichever comes first. libc only: bpfctl links this too.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/libbpf.h>

#include "bindings/handle.h"

#define KERNEL_ENOTSUPP 524 /* the kernel's own; BPF lets it out to user space */

static const char *const libbpf_names[] = {
    "LIBBPF_LIBELF",   "LIBBPF_FORMAT",	 "LIBBPF_KVERSION", "LIBBPF_ENDIAN",   "LIBBPF_INTERNAL",
    "LIBBPF_RELOC",    "LIBBPF_LOAD",	 "LIBBPF_VERIFY",   "LIBBPF_PROG2BIG", "LIBBPF_KVER",
    "LIBBPF_PROGTYPE", "LIBBPF_WRNGPID", "LIBBPF_INVSEQ",   "LIBBPF_NLPARSE",
};

static const char *const libbpf_words[] = {
    "libelf failed",	  "invalid object format",  "kernel version section is wrong",
    "endianness differs", "libbpf internal error",  "relocation failed",
    "cannot load",	  "the verifier refused",   "program too big",
    "kernel version",	  "program type refused",   "wrong netlink pid",
    "netlink sequence",	  "netlink parsing failed",
};

static const char *code_name(int code)
{
	size_t place = (size_t)(code - __LIBBPF_ERRNO__START);

	if (code >= __LIBBPF_ERRNO__START && place < sizeof(libbpf_names) / sizeof(*libbpf_names))
		return libbpf_names[place];
	if (code == KERNEL_ENOTSUPP)
		return "ENOTSUPP";
	return strerrorname_np(code);
}

static const char *code_words(int code, char *buffer, size_t size)
{
	size_t place = (size_t)(code - __LIBBPF_ERRNO__START);

	if (code >= __LIBBPF_ERRNO__START && place < sizeof(libbpf_words) / sizeof(*libbpf_words))
		return libbpf_words[place];
	if (code == KERNEL_ENOTSUPP)
		return "Operation not supported";
	return strerror_r(code, buffer, size);
}

/* Expects the message on the stack's top; leaves nil and the error object. */
static int finish(lua_State *L, int err, const char *log)
{
	const char *name = code_name(err < 0 ? -err : err);

	lua_createtable(L, 0, 3);
	lua_insert(L, -2);
	lua_setfield(L, -2, "message");
	if (name) {
		lua_pushstring(L, name);
		lua_setfield(L, -2, "code");
	}
	if (log && *log) {
		lua_pushstring(L, log);
		lua_setfield(L, -2, "log");
	}
	luaL_newmetatable(L, ERROR_OBJECT);
	lua_setmetatable(L, -2);
	lua_pushnil(L);
	lua_insert(L, -2);
	return 2;
}

int push_error(lua_State *L, int err, const char *log, const char *format, ...)
{
	char message[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	lua_pushstring(L, message);
	return finish(L, err, log);
}

int push_errno(lua_State *L, int err, const char *format, ...)
{
	char message[1024], buffer[128];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	lua_pushfstring(L, "%s: %s", message,
			code_words(err < 0 ? -err : err, buffer, sizeof(buffer)));
	return finish(L, err, NULL);
}

int push_done(lua_State *L, int err, const char *doing, const char *path)
{
	if (err)
		return push_errno(L, err, "cannot %s %s", doing, path);
	lua_pushboolean(L, 1);
	return 1;
}

int push_diagnostic(lua_State *L, int err, struct diagnostic *why, const char *format, ...)
{
	char message[1024], buffer[128];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	if (why->message[0])
		lua_pushstring(L, why->message);
	else
		lua_pushfstring(L, "%s: %s", message,
				code_words(err < 0 ? -err : err, buffer, sizeof(buffer)));
	finish(L, err, why->log);
	free(why->log); /* may be megabytes, which the collector does not know of */
	why->log = NULL;
	return 2;
}
