#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/libbpf.h>

#include "core/diagnostic.h"

#define LOG_BEGIN "-- BEGIN PROG LOAD LOG --\n"
#define LOG_END	  "-- END PROG LOAD LOG --\n"

static __thread struct diagnostic *listener;

static void append(struct diagnostic *self, const char *text, size_t length)
{
	char *log = realloc(self->log, self->log_length + length + 1);

	if (!log)
		return;
	memcpy(log + self->log_length, text, length);
	self->log = log;
	self->log_length += length;
	log[self->log_length] = '\0';
}

/* The verifier's own words are worth more than libbpf's around them: they replace all. */
static bool take_verifier_log(struct diagnostic *self, const char *text)
{
	const char *begin = strstr(text, LOG_BEGIN), *end;

	if (!begin)
		return false;
	sscanf(text, "libbpf: prog '%127[^']'", self->program);
	begin += strlen(LOG_BEGIN);
	end = strstr(begin, LOG_END);
	if (!end)
		end = begin + strlen(begin);
	free(self->log);
	self->log = NULL;
	self->log_length = 0;
	append(self, begin, (size_t)(end - begin));
	self->is_verifier_log = true;
	return true;
}

static int hear(enum libbpf_print_level level, const char *format, va_list arguments)
{
	struct diagnostic *self = listener;
	char *text;
	int length;

	if (!self || level != LIBBPF_WARN || self->is_verifier_log)
		return 0;
	length = vasprintf(&text, format, arguments);
	if (length < 0)
		return 0;
	if (!take_verifier_log(self, text)) {
		/* libbpf's prefix says nothing to the reader */
		const char *words = strncmp(text, "libbpf: ", 8) ? text : text + 8;

		append(self, words, strlen(words));
	}
	free(text);
	return 0;
}

__attribute__((constructor)) static void take_over_printing(void)
{
	libbpf_set_print(hear);
}

void diagnostic__listen(struct diagnostic *self)
{
	listener = self;
}

void diagnostic__silence(struct diagnostic *self)
{
	if (listener == self)
		listener = NULL;
}

int diagnostic__fail(struct diagnostic *self, int err, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(self->message, sizeof(self->message), format, arguments);
	va_end(arguments);
	return err;
}

void diagnostic__clear(struct diagnostic *self)
{
	free(self->log);
	*self = (struct diagnostic){};
}
