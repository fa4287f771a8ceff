#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/curl.h"
#include "core/transfer.h"

#define STALL_BYTES   1024
#define HEADERS_LIMIT (256 * 1024)
#define ERROR_LIMIT   (64 * 1024) /* of the body of an answer that is none of what was asked for */
#define BUFFER_SIZE   (256 * 1024L)

static const struct curl_library *curl; /* of the transfers that are open */

struct bytes {
	char *data;
	size_t size, room;
};

struct transfer {
	CURL *handle;
	struct bytes headers, body;
	/* of the running request */
	const struct transfer_request *request;
	int err;  /* why a callback ended it */
	bool cut; /* it was ended by us, and the answer counts */
	uint64_t sent, received;
	uint64_t window_bytes;
	uint64_t window_ms;
};

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int append(struct bytes *bytes, const char *data, size_t size)
{
	size_t room = bytes->room ? bytes->room : 4096;
	char *grown;

	while (room < bytes->size + size)
		room *= 2;
	if (room != bytes->room) {
		grown = realloc(bytes->data, room);
		if (!grown)
			return -ENOMEM;
		bytes->data = grown;
		bytes->room = room;
	}
	memcpy(bytes->data + bytes->size, data, size);
	bytes->size += size;
	return 0;
}

/* Ends the request from inside a callback: whatever is no size asks libcurl to stop. */
static size_t stop(struct transfer *self, int err)
{
	self->err = err;
	return 0;
}

static size_t take_header(char *data, size_t one, size_t size, void *context)
{
	struct transfer *self = context;
	int err;

	(void)one;
	if (size > 5 && !memcmp(data, "HTTP/", 5))
		self->headers.size = 0;
	if (self->headers.size + size > HEADERS_LIMIT)
		return stop(self, -EFBIG);
	err = append(&self->headers, data, size);
	return err ? stop(self, err) : size;
}

static int write_at(int fd, const char *data, size_t size, uint64_t offset)
{
	while (size) {
		ssize_t written = pwrite(fd, data, size, (off_t)offset);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return -errno;
		data += written;
		size -= (size_t)written;
		offset += (uint64_t)written;
	}
	return 0;
}

static long status_of(struct transfer *self)
{
	long status = 0;

	curl->curl_easy_getinfo(self->handle, CURLINFO_RESPONSE_CODE, &status);
	return status;
}

static int take_file(struct transfer *self, bool whole, const char *data, size_t size)
{
	const struct transfer_request *request = self->request;

	if (whole && !self->received && ftruncate(request->into, 0))
		return -errno;
	return write_at(request->into, data, size, (whole ? 0 : request->offset) + self->received);
}

static size_t take_body(char *data, size_t one, size_t size, void *context)
{
	struct transfer *self = context;
	const struct transfer_request *request = self->request;
	long status = status_of(self);
	bool wanted = status >= 200 && status < 300;
	/* a file that is sent whole after all brings what is there already once more */
	uint64_t limit = request->limit + (status == 200 ? request->offset : 0);
	int err;

	(void)one;
	if (!wanted && self->body.size + size > ERROR_LIMIT) {
		self->cut = true;
		return 0;
	}
	if (wanted && size > limit - self->received)
		return stop(self, -EFBIG);
	if (request->into >= 0 && (status == 200 || status == 206))
		err = take_file(self, status == 200, data, size);
	else
		err = append(&self->body, data, size);
	self->received += size;
	return err ? stop(self, err) : size;
}

static size_t give_body(char *data, size_t one, size_t size, void *context)
{
	struct transfer *self = context;
	const struct transfer_request *request = self->request;
	uint64_t rest = request->body_size - self->sent;
	ssize_t count = 0;

	size *= one;
	if (size > rest)
		size = (size_t)rest;
	if (request->body) {
		memcpy(data, request->body + self->sent, size);
		count = (ssize_t)size;
	} else {
		do
			count = pread(request->body_fd, data, size, (off_t)self->sent);
		while (count < 0 && errno == EINTR);
		if (count < 0 || (!count && size)) {
			self->err = count ? -errno : -EIO;
			return CURL_READFUNC_ABORT;
		}
	}
	self->sent += (uint64_t)count;
	return (size_t)count;
}

static int rewind_body(void *context, curl_off_t offset, int origin)
{
	struct transfer *self = context;

	if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > self->request->body_size)
		return CURL_SEEKFUNC_CANTSEEK;
	self->sent = (uint64_t)offset;
	return CURL_SEEKFUNC_OK;
}

static bool stalls(struct transfer *self, uint64_t bytes)
{
	uint64_t now = now_ms();

	if (!self->request->stall_ms)
		return false;
	if (bytes - self->window_bytes < STALL_BYTES)
		return now - self->window_ms > self->request->stall_ms;
	self->window_bytes = bytes;
	self->window_ms = now;
	return false;
}

/* Bytes of what was asked for, those of the file's beginning that were there already included. */
static uint64_t bytes_done(struct transfer *self)
{
	const struct transfer_request *request = self->request;
	long status = status_of(self);

	if (request->has_body)
		return self->sent;
	if (status == 206)
		return request->offset + self->received;
	return status == 200 ? self->received : request->offset;
}

static int watch(void *context, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
		 curl_off_t up)
{
	struct transfer *self = context;
	const struct transfer_request *request = self->request;

	(void)down_total;
	(void)up_total;
	if (stalls(self, (uint64_t)down + (uint64_t)up))
		self->err = -ETIMEDOUT;
	else if (request->progress && request->progress(request->context, bytes_done(self)))
		self->err = -ECANCELED;
	return self->err != 0;
}

int transfer_open(struct transfer **transfer)
{
	struct transfer *self;

	curl = curl_open();
	if (!curl)
		return -ENOSYS;
	self = calloc(1, sizeof(*self));
	if (!self)
		return -ENOMEM;
	self->handle = curl->curl_easy_init();
	if (!self->handle) {
		free(self);
		return -ENOMEM;
	}
	*transfer = self;
	return 0;
}

void transfer_close(struct transfer *self)
{
	if (!self)
		return;
	curl->curl_easy_cleanup(self->handle);
	free(self->headers.data);
	free(self->body.data);
	free(self);
}

#define SET(option, value) curl->curl_easy_setopt(self->handle, option, value)

static void set_safety(struct transfer *self, const struct transfer_request *request)
{
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	SET(CURLOPT_PROTOCOLS,
	    request->plain_http ? (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS) : (long)CURLPROTO_HTTPS);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	if (request->ca) {
		SET(CURLOPT_CAINFO, request->ca);
		SET(CURLOPT_CAPATH, NULL);
	}
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)request->connect_ms);
	SET(CURLOPT_TIMEOUT_MS, (long)request->total_ms);
}

static void set_callbacks(struct transfer *self)
{
	SET(CURLOPT_HEADERFUNCTION, take_header);
	SET(CURLOPT_HEADERDATA, self);
	SET(CURLOPT_WRITEFUNCTION, take_body);
	SET(CURLOPT_WRITEDATA, self);
	SET(CURLOPT_XFERINFOFUNCTION, watch);
	SET(CURLOPT_XFERINFODATA, self);
	SET(CURLOPT_NOPROGRESS, 0L);
	SET(CURLOPT_BUFFERSIZE, BUFFER_SIZE);
}

static void set_method(struct transfer *self, const struct transfer_request *request)
{
	SET(CURLOPT_URL, request->url);
	/* one request at a time: version 2 has nothing to offer for that */
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_USERAGENT, "bpfd/" VERSION);
	if (request->has_body) {
		SET(CURLOPT_UPLOAD, 1L);
		SET(CURLOPT_READFUNCTION, give_body);
		SET(CURLOPT_READDATA, self);
		SET(CURLOPT_SEEKFUNCTION, rewind_body);
		SET(CURLOPT_SEEKDATA, self);
		SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->body_size);
		SET(CURLOPT_UPLOAD_BUFFERSIZE, BUFFER_SIZE);
	}
	if (!strcmp(request->method, "HEAD"))
		SET(CURLOPT_NOBODY, 1L);
	else
		SET(CURLOPT_CUSTOMREQUEST, request->method);
}

static int set_headers(struct transfer *self, const struct transfer_request *request,
		       struct curl_slist **list)
{
	/* nobody shall wait for a 100-continue that never comes */
	*list = curl->curl_slist_append(NULL, "Expect:");
	for (size_t i = 0; *list && i < request->header_count; i++) {
		struct curl_slist *longer = curl->curl_slist_append(*list, request->headers[i]);

		if (!longer)
			return -ENOMEM;
		*list = longer;
	}
	if (!*list)
		return -ENOMEM;
	SET(CURLOPT_HTTPHEADER, *list);
	return 0;
}

static int connecting_failed(struct transfer *self)
{
	long code = 0;

	curl->curl_easy_getinfo(self->handle, CURLINFO_OS_ERRNO, &code);
	return code > 0 ? (int)-code : -ECONNREFUSED;
}

static int errno_of(struct transfer *self, CURLcode code)
{
	if (self->err)
		return self->err;
	switch (code) {
	case CURLE_OK:
		return 0;
	case CURLE_COULDNT_RESOLVE_HOST:
		return -EHOSTUNREACH;
	case CURLE_COULDNT_CONNECT:
		return connecting_failed(self);
	case CURLE_OPERATION_TIMEDOUT:
		return -ETIMEDOUT;
	case CURLE_PARTIAL_FILE:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
	case CURLE_GOT_NOTHING:
	case CURLE_HTTP2_STREAM:
		return -ECONNRESET;
	case CURLE_UNSUPPORTED_PROTOCOL:
		return -EPROTONOSUPPORT;
	case CURLE_URL_MALFORMAT:
	case CURLE_LOGIN_DENIED:
		return -EINVAL;
	case CURLE_OUT_OF_MEMORY:
		return -ENOMEM;
	default:
		return -EPROTO;
	}
}

static void begin(struct transfer *self, const struct transfer_request *request)
{
	self->request = request;
	self->err = 0;
	self->cut = false;
	self->headers.size = 0;
	self->body.size = 0;
	self->sent = 0;
	self->received = 0;
	self->window_bytes = 0;
	self->window_ms = now_ms();
	curl->curl_easy_reset(self->handle);
}

int transfer_perform(struct transfer *self, const struct transfer_request *request,
		     struct transfer_answer *answer, char message[TRANSFER_MESSAGE])
{
	struct curl_slist *headers = NULL;
	char words[CURL_ERROR_SIZE] = "";
	CURLcode code;
	int err;

	message[0] = '\0';
	begin(self, request);
	set_safety(self, request);
	set_callbacks(self);
	set_method(self, request);
	SET(CURLOPT_ERRORBUFFER, words);
	err = set_headers(self, request, &headers);
	if (!err) {
		code = curl->curl_easy_perform(self->handle);
		err = self->cut ? 0 : errno_of(self, code);
		if (err && !self->err)
			snprintf(message, TRANSFER_MESSAGE, "%s",
				 words[0] ? words : curl->curl_easy_strerror(code));
	}
	SET(CURLOPT_ERRORBUFFER, NULL);
	SET(CURLOPT_HTTPHEADER, NULL);
	curl->curl_slist_free_all(headers);
	answer->status = status_of(self);
	answer->headers = self->headers.data;
	answer->headers_size = self->headers.size;
	answer->body = self->body.data;
	answer->body_size = self->body.size;
	self->request = NULL;
	return err;
}
