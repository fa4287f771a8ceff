/*
 * ECDSA over P-256 with SHA-256, as cosign signs images, by libcrypto 3, opened at first use. All
 * functions: 0 or -errno; -ENOSYS without that library.
 */
#ifndef CORE_SIGNATURE_H
#define CORE_SIGNATURE_H

#include <stddef.h>

#define SIGNATURE_SIZE 80 /* DER: at most 72 bytes */

struct bytes_view {
	const void *data;
	size_t size;
};

/* One PEM public key. -EKEYREJECTED: not this key's signature of these bytes; -EINVAL: no key;
 * -ENOTSUP: a key of another kind. */
int signature_verify(struct bytes_view pem, struct bytes_view message, struct bytes_view signature);

/* A private key, PEM or DER, without encryption. */
int signature_sign(struct bytes_view key, struct bytes_view message,
		   unsigned char signature[SIGNATURE_SIZE], size_t *size);

struct key_pair {
	char *private_der, *public_pem; /* PKCS#8; both to be freed by signature_free_pair */
	size_t private_size, public_size;
};

int signature_generate(struct key_pair *pair);

/* The public half of a private key. */
int signature_public(struct bytes_view key, struct key_pair *pair);

/* Wipes and frees; may be called again. */
void signature_free_pair(struct key_pair *pair);

#endif
