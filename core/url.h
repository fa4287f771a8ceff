/* Addresses of HTTP, taken apart and put together as libcurl does it, which requests them then. */
#ifndef CORE_URL_H
#define CORE_URL_H

struct url_parts {
	char *url, *scheme;
	char *host, *port; /* NULL where it has none; port: the scheme's own if none is named */
};

/* An absolute address, or one relative to base (NULL: none). -EINVAL if it is none; -ENOSYS without
 * libcurl. What it has filled in is url_free's to free. */
int url_resolve(const char *base, const char *text, struct url_parts *parts);
void url_free(struct url_parts *parts);

#endif
