/*
 * What a core function can say beside its -errno. libbpf explains failures only through a print
 * callback; while a diagnostic listens, those words become its log. With none listening they are
 * dropped: nothing in core/ prints.
 */
#ifndef CORE_DIAGNOSTIC_H
#define CORE_DIAGNOSTIC_H

#include <stdbool.h>
#include <stddef.h>

struct diagnostic {
	char message[512]; /* a sentence; empty where the code says it all */
	char *log;	   /* libbpf's warnings, or the verifier's log; NULL if silent */
	size_t log_length;
	bool is_verifier_log;
	char program[128]; /* whose log it is */
};

/* Takes libbpf's words on this thread until _silence; not nested. */
void diagnostic__listen(struct diagnostic *diagnostic);
void diagnostic__silence(struct diagnostic *diagnostic);

/* Sets the message and returns err, so that a failure is one statement. */
int diagnostic__fail(struct diagnostic *diagnostic, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

void diagnostic__clear(struct diagnostic *diagnostic);

#endif
