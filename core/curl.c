#include <stddef.h>

#include "core/curl.h"

const struct curl_library *curl_open(void)
{
	static const char *const names[] = {"libcurl.so.4", "libcurl-gnutls.so.4", NULL};
	static const char *const functions[] = {CURL_FUNCTIONS(LIBRARY_NAME) NULL};
	static struct curl_library found;
	static const struct curl_library *opened;

	if (!opened && !shared_library_open(names, functions, &found) &&
	    !found.curl_global_init(CURL_GLOBAL_DEFAULT))
		opened = &found;
	return opened;
}
