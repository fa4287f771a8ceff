#include <errno.h>
#include <stddef.h>
#include <sys/stat.h>

#include "core/database.h"

int database__error(int code)
{
	switch (code & 0xff) {
	case SQLITE_OK:
		return 0;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EACCES;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_CANTOPEN:
		return -ENOENT;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EBADMSG;
	case SQLITE_CONSTRAINT:
		return -EEXIST;
	case SQLITE_INTERRUPT:
		return -EINTR;
	case SQLITE_TOOBIG:
	case SQLITE_RANGE:
	case SQLITE_MISMATCH:
	case SQLITE_MISUSE:
	case SQLITE_ERROR:
		return -EINVAL;
	default:
		return -EIO;
	}
}

int database__open(const char *path, int busy_ms, sqlite3 **database)
{
	/* the log and the index of the log take the file's mode */
	mode_t before = umask(077);
	int code;

	code = sqlite3_open_v2(path, database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
	if (code == SQLITE_OK) {
		sqlite3_busy_timeout(*database, busy_ms);
		code = sqlite3_exec(*database,
				    "PRAGMA cache_size = -64;"
				    "PRAGMA foreign_keys = ON;"
				    "PRAGMA journal_mode = WAL;"
				    "PRAGMA synchronous = NORMAL;",
				    NULL, NULL, NULL);
	}
	umask(before);
	return database__error(code);
}
