#include <errno.h>
#include <stddef.h>
#include <sodium.h>

#include "core/secretbox.h"
#include "core/shared_library.h"

#define MEMORY_LIMIT (256 * 1024 * 1024)

_Static_assert(SECRETBOX_KEY == crypto_secretbox_KEYBYTES, "a key");
_Static_assert(SECRETBOX_NONCE == crypto_secretbox_NONCEBYTES, "a nonce");
_Static_assert(SECRETBOX_TAG == crypto_secretbox_MACBYTES, "a tag");

#define SODIUM_FUNCTIONS(X)                                                                        \
	X(sodium_init)                                                                             \
	X(crypto_pwhash_scryptsalsa208sha256_ll)                                                   \
	X(crypto_secretbox_easy)                                                                   \
	X(crypto_secretbox_open_easy)

struct sodium_library {
	SODIUM_FUNCTIONS(LIBRARY_MEMBER)
};

static const struct sodium_library *open_library(void)
{
	static const char *const names[] = {"libsodium.so.23", "libsodium.so.26", NULL};
	static const char *const functions[] = {SODIUM_FUNCTIONS(LIBRARY_NAME) NULL};
	static struct sodium_library found;
	static const struct sodium_library *opened;

	if (!opened && !shared_library_open(names, functions, &found) && found.sodium_init() >= 0)
		opened = &found;
	return opened;
}

/* What scrypt takes of memory for these (RFC 7914, section 2), without overflow. */
static int are_bounded(uint64_t n, uint64_t r, uint64_t p)
{
	const uint64_t blocks = MEMORY_LIMIT / 128;

	return n > 1 && !(n & (n - 1)) && r && p && r <= blocks && p <= blocks && n <= blocks / r &&
	       p <= (blocks - n * r) / r;
}

int secretbox_key(const char *passphrase, size_t size, const unsigned char *salt, size_t salt_size,
		  uint64_t n, uint64_t r, uint64_t p, unsigned char key[SECRETBOX_KEY])
{
	const struct sodium_library *sodium = open_library();

	if (!sodium)
		return -ENOSYS;
	if (!are_bounded(n, r, p))
		return -EINVAL;
	if (sodium->crypto_pwhash_scryptsalsa208sha256_ll((const uint8_t *)passphrase, size, salt,
							  salt_size, n, (uint32_t)r, (uint32_t)p,
							  key, SECRETBOX_KEY))
		return -errno;
	return 0;
}

int secretbox_seal(const unsigned char key[SECRETBOX_KEY],
		   const unsigned char nonce[SECRETBOX_NONCE], const unsigned char *plain,
		   size_t size, unsigned char *box)
{
	const struct sodium_library *sodium = open_library();

	if (!sodium)
		return -ENOSYS;
	return sodium->crypto_secretbox_easy(box, plain, size, nonce, key) ? -EMSGSIZE : 0;
}

int secretbox_open(const unsigned char key[SECRETBOX_KEY],
		   const unsigned char nonce[SECRETBOX_NONCE], const unsigned char *box,
		   size_t size, unsigned char *plain)
{
	const struct sodium_library *sodium = open_library();

	if (!sodium)
		return -ENOSYS;
	if (size < SECRETBOX_TAG ||
	    sodium->crypto_secretbox_open_easy(plain, box, size, nonce, key))
		return -EKEYREJECTED;
	return 0;
}
