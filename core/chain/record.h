/*
 * The member record: everything that fusing a member again needs, in one run of bytes that outlives
 * the process that loaded it. It is kept in a frozen array map bound to the program, so it lives
 * exactly as long as the map ids in it mean something; that is also why it is in the machine's own
 * byte order and why another version is refused rather than read.
 */
#ifndef CORE_CHAIN_RECORD_H
#define CORE_CHAIN_RECORD_H

#include <stddef.h>

#include "core/chain/member.h"
#include "core/prepared.h"

#define RECORD_MAGIC	  "bpfdfuse"
#define RECORD_MAGIC_SIZE 8
#define RECORD_VERSION	  1

/*
 * Encodes a program that was just loaded; its map descriptors must still be open. *bytes is
 * malloced. Returns 0, -ENOMEM, an error of the kernel, or -EINVAL / -EOPNOTSUPP with *why set as
 * member__analyse() does.
 */
int record__encode(const struct prepared_program *prepared, const char *note, size_t note_size,
		   void **bytes, size_t *size, const char **why);

/*
 * Decodes and checks; every length and offset in `bytes` may be a lie. On success the member owns
 * copies of everything and has been analysed. Returns 0, -ENOMEM, -EINVAL or -EOPNOTSUPP with *why
 * set; the member is then empty.
 */
int record__decode(const void *bytes, size_t size, struct member *member, const char **why);

/* The note inside, borrowed from `bytes`. Checks only the lengths. Returns 0 or -EINVAL. */
int record__note(const void *bytes, size_t size, const char **note, size_t *note_size);

#endif
