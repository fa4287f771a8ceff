#include <stddef.h>

#include "core/crypto.h"

const struct crypto_library *crypto_open(void)
{
	static const char *const names[] = {"libcrypto.so.3", NULL};
	static const char *const functions[] = {CRYPTO_FUNCTIONS(LIBRARY_NAME) NULL};
	static struct crypto_library found;
	static const struct crypto_library *opened;

	if (!opened && !shared_library_open(names, functions, &found))
		opened = &found;
	return opened;
}
