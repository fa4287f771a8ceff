/*
 * Bytes behind a passphrase as cosign keeps private keys: scrypt, XSalsa20 and Poly1305 (NaCl's
 * secretbox). By libsodium, opened at first use: 0 or -errno; -ENOSYS without it.
 */
#ifndef CORE_SECRETBOX_H
#define CORE_SECRETBOX_H

#include <stddef.h>
#include <stdint.h>

#define SECRETBOX_KEY	32
#define SECRETBOX_NONCE 24
#define SECRETBOX_TAG	16

/* -EINVAL: parameters out of bounds; at most 256 MiB of memory. */
int secretbox_key(const char *passphrase, size_t size, const unsigned char *salt, size_t salt_size,
		  uint64_t n, uint64_t r, uint64_t p, unsigned char key[SECRETBOX_KEY]);

/* box: size + SECRETBOX_TAG bytes, the tag first. */
int secretbox_seal(const unsigned char key[SECRETBOX_KEY],
		   const unsigned char nonce[SECRETBOX_NONCE], const unsigned char *plain,
		   size_t size, unsigned char *box);

/* plain: size - SECRETBOX_TAG bytes. -EKEYREJECTED: another key, or not what was sealed. */
int secretbox_open(const unsigned char key[SECRETBOX_KEY],
		   const unsigned char nonce[SECRETBOX_NONCE], const unsigned char *box,
		   size_t size, unsigned char *plain);

#endif
