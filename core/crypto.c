#include <dlfcn.h>
#include <stddef.h>

#include "core/crypto.h"

const struct crypto_library *crypto_open(void)
{
	static struct crypto_library found;
	static const struct crypto_library *opened;
	void *library;

	if (opened)
		return opened;
	library = dlopen("libcrypto.so.3", RTLD_LAZY | RTLD_LOCAL);
	if (!library)
		return NULL;
#define FIND_FUNCTION(name)                                                                        \
	found.name = (__typeof__(found.name))dlsym(library, #name);                                \
	if (!found.name)                                                                           \
		return NULL;
	CRYPTO_FUNCTIONS(FIND_FUNCTION)
#undef FIND_FUNCTION
	opened = &found;
	return opened;
}
