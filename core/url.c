#include <errno.h>
#include <string.h>

#include "core/curl.h"
#include "core/url.h"

int url_resolve(const char *base, const char *text, struct url_parts *parts)
{
	const struct curl_library *curl = curl_open();
	CURLU *url;
	int err = 0;

	memset(parts, 0, sizeof(*parts));
	if (!curl)
		return -ENOSYS;
	url = curl->curl_url();
	if (!url)
		return -ENOMEM;
	if ((base && curl->curl_url_set(url, CURLUPART_URL, base, 0)) ||
	    curl->curl_url_set(url, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME) ||
	    curl->curl_url_get(url, CURLUPART_URL, &parts->url, 0) ||
	    curl->curl_url_get(url, CURLUPART_SCHEME, &parts->scheme, 0)) {
		err = -EINVAL;
	} else {
		curl->curl_url_get(url, CURLUPART_HOST, &parts->host, 0);
		curl->curl_url_get(url, CURLUPART_PORT, &parts->port, CURLU_DEFAULT_PORT);
	}
	curl->curl_url_cleanup(url);
	if (err)
		url_free(parts);
	return err;
}

void url_free(struct url_parts *parts)
{
	const struct curl_library *curl = parts->url || parts->scheme ? curl_open() : NULL;

	if (!curl)
		return;
	curl->curl_free(parts->url);
	curl->curl_free(parts->scheme);
	curl->curl_free(parts->host);
	curl->curl_free(parts->port);
	memset(parts, 0, sizeof(*parts));
}
