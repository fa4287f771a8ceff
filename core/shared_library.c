#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "core/shared_library.h"

static int find(void *library, const char *const *functions, char *members)
{
	for (; *functions; functions++, members += sizeof(void *)) {
		void *function = dlsym(library, *functions);

		if (!function)
			return -ENOSYS;
		memcpy(members, &function, sizeof(function));
	}
	return 0;
}

int shared_library_open(const char *const *libraries, const char *const *functions, void *members)
{
	void *library = NULL;
	int err;

	for (; !library && *libraries; libraries++)
		library = dlopen(*libraries, RTLD_LAZY | RTLD_LOCAL);
	if (!library)
		return -ENOSYS;
	err = find(library, functions, members);
	if (err)
		dlclose(library);
	return err;
}
