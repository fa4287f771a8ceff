/* SQLite, opened the way a daemon wants it. Returns 0 or -errno; SQLite's own words are
 * sqlite3_errmsg's. */
#ifndef CORE_DATABASE_H
#define CORE_DATABASE_H

#include <sqlite3.h>

/*
 * Opens or creates (0600). Small cache, foreign keys on, write-ahead log; waits that long for a
 * lock of others. On failure *database may still be set, for its message: close it all the same.
 */
int database__open(const char *path, int busy_ms, sqlite3 **database);

/* A result code of SQLite's as -errno. */
int database__error(int code);

#endif
