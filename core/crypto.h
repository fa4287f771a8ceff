/* libcrypto's functions, found at run time: for core/signature.c. */
#ifndef CORE_CRYPTO_H
#define CORE_CRYPTO_H

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "core/shared_library.h"

#define CRYPTO_FUNCTIONS(X)                                                                        \
	X(BIO_new)                                                                                 \
	X(BIO_s_mem)                                                                               \
	X(BIO_new_mem_buf)                                                                         \
	X(BIO_ctrl)                                                                                \
	X(BIO_free)                                                                                \
	X(PEM_read_bio_PUBKEY)                                                                     \
	X(PEM_read_bio_PrivateKey)                                                                 \
	X(PEM_write_bio_PUBKEY)                                                                    \
	X(d2i_PrivateKey_bio)                                                                      \
	X(i2d_PKCS8PrivateKey_bio)                                                                 \
	X(EVP_PKEY_get_group_name)                                                                 \
	X(EVP_PKEY_Q_keygen)                                                                       \
	X(EVP_PKEY_free)                                                                           \
	X(EVP_MD_CTX_new)                                                                          \
	X(EVP_MD_CTX_free)                                                                         \
	X(EVP_sha256)                                                                              \
	X(EVP_DigestVerifyInit)                                                                    \
	X(EVP_DigestVerify)                                                                        \
	X(EVP_DigestSignInit)                                                                      \
	X(EVP_DigestSign)                                                                          \
	X(OPENSSL_cleanse)                                                                         \
	X(ERR_clear_error)

struct crypto_library {
	CRYPTO_FUNCTIONS(LIBRARY_MEMBER)
};

/* NULL without libcrypto 3. */
const struct crypto_library *crypto_open(void);

#endif
