/* Digests, by libmd and libcrypto. */
#ifndef CORE_DIGEST_H
#define CORE_DIGEST_H

#include <stddef.h>

#define SHA256_SIZE 32

/*
 * The SHA-256 of a whole regular file. Returns 0 or -errno; -ENOSYS for more than a mebibyte where
 * libcrypto is missing.
 *
 * libcrypto is opened when it is worth it and not linked: it costs 1.6 MB of resident memory, and
 * the daemon asks for digests in short-lived children only. The kernel's own (AF_ALG) is missing on
 * hardened kernels.
 */
int digest_sha256(int fd, unsigned char digest[SHA256_SIZE]);

/* The same of bytes at hand. */
int digest_sha256_bytes(const void *bytes, size_t size, unsigned char digest[SHA256_SIZE]);

#endif
