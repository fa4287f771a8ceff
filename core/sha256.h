/* SHA-256 (FIPS 180-4), for what is small: see digest.c. */
#ifndef CORE_SHA256_H
#define CORE_SHA256_H

#include <stddef.h>

void sha256(const void *bytes, size_t size, unsigned char digest[32]);

#endif
