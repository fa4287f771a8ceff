/*
 * HTTP requests, by libcurl. It is opened by the first call and not linked: it brings two dozen
 * libraries along, and only short-lived processes need it.
 *
 * A request is exactly that: no redirect is followed, nothing is taken from the environment
 * (proxies, .netrc), no authentication but the headers given, and no protocol but HTTP.
 */
#ifndef CORE_TRANSFER_H
#define CORE_TRANSFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRANSFER_MESSAGE 256

struct transfer; /* keeps connections between requests */

struct transfer_request {
	const char *method, *url;
	const char *const *headers; /* "Name: value", borrowed until the request is over */
	size_t header_count;
	const char *ca;	 /* file of PEM certificates instead of the system's; NULL */
	bool plain_http; /* http:// may be asked for too */
	unsigned int connect_ms, total_ms;
	unsigned int stall_ms; /* fewer than a KiB in that time: -ETIMEDOUT; 0: never */
	bool has_body;
	const char *body; /* what is sent; NULL: body_size bytes of body_fd, from its beginning */
	int body_fd;
	uint64_t body_size;
	/* What comes with 200 or 206 goes there (200 at its beginning, and the file is cut off
	 * first; 206 at `offset`); -1: into the answer. What comes with other statuses is kept in
	 * the answer, up to 64 KiB of it. */
	int into;
	uint64_t offset;
	uint64_t limit; /* bytes of the body; one more is -EFBIG */
	/* Called about once a second and whenever something came or went, with the bytes sent, or
	 * those that `into` has by now; non-zero: -ECANCELED. */
	int (*progress)(void *context, uint64_t done);
	void *context;
};

/* Owned by the transfer; valid until its next request. */
struct transfer_answer {
	long status;
	const char *headers; /* of the last answer, with the status line, as they came */
	size_t headers_size;
	const char *body;
	size_t body_size;
};

/* -ENOSYS without libcurl. Returns 0 or -errno. */
int transfer_open(struct transfer **transfer);
void transfer_close(struct transfer *transfer);

/*
 * 0 for an answer of any status. Else -errno: -EHOSTUNREACH unknown host, -ECONNREFUSED and the
 * like from connecting, -ETIMEDOUT, -ECONNRESET for one that ended early, -EPROTO what TLS or HTTP
 * have to complain of, -EFBIG, -ECANCELED, -EPROTONOSUPPORT; `message` has libcurl's words or is
 * empty. The status and headers of the answer are valid then too, if they came.
 */
int transfer_perform(struct transfer *transfer, const struct transfer_request *request,
		     struct transfer_answer *answer, char message[TRANSFER_MESSAGE]);

#endif
