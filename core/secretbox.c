#include <endian.h>
#include <errno.h>
#include <string.h>

#include "core/crypto.h"
#include "core/secretbox.h"

#define MEMORY_LIMIT (256 * 1024 * 1024)
#define BLOCK	     64

static uint32_t load(const unsigned char *bytes)
{
	uint32_t word;

	memcpy(&word, bytes, sizeof(word));
	return le32toh(word);
}

static void store(unsigned char *bytes, uint32_t word)
{
	word = htole32(word);
	memcpy(bytes, &word, sizeof(word));
}

static uint32_t rotate(uint32_t word, int count)
{
	return word << count | word >> (32 - count);
}

static void quarter_round(uint32_t *a, uint32_t *b, uint32_t *c, uint32_t *d)
{
	*b ^= rotate(*a + *d, 7);
	*c ^= rotate(*b + *a, 9);
	*d ^= rotate(*c + *b, 13);
	*a ^= rotate(*d + *c, 18);
}

static void twenty_rounds(uint32_t x[16])
{
	for (int i = 0; i < 10; i++) {
		quarter_round(&x[0], &x[4], &x[8], &x[12]);
		quarter_round(&x[5], &x[9], &x[13], &x[1]);
		quarter_round(&x[10], &x[14], &x[2], &x[6]);
		quarter_round(&x[15], &x[3], &x[7], &x[11]);
		quarter_round(&x[0], &x[1], &x[2], &x[3]);
		quarter_round(&x[5], &x[6], &x[7], &x[4]);
		quarter_round(&x[10], &x[11], &x[8], &x[9]);
		quarter_round(&x[15], &x[12], &x[13], &x[14]);
	}
}

/* "expand 32-byte k" on the diagonal, the key around 16 bytes of input */
static void set_up(uint32_t x[16], const unsigned char *key, const unsigned char input[16])
{
	static const unsigned char constant[] = "expand 32-byte k";

	for (size_t i = 0; i < 4; i++) {
		x[5 * i] = load(constant + 4 * i);
		x[1 + i] = load(key + 4 * i);
		x[6 + i] = load(input + 4 * i);
		x[11 + i] = load(key + 16 + 4 * i);
	}
}

/* HSalsa20: a key of its own for the first 16 bytes of the nonce */
static void derive(unsigned char derived[32], const unsigned char *key, const unsigned char *nonce)
{
	static const int kept[] = {0, 5, 10, 15, 6, 7, 8, 9};
	uint32_t x[16];

	set_up(x, key, nonce);
	twenty_rounds(x);
	for (size_t i = 0; i < 8; i++)
		store(derived + 4 * i, x[kept[i]]);
}

static void make_block(unsigned char block[BLOCK], const unsigned char *key,
		       const unsigned char *nonce, uint64_t counter)
{
	unsigned char input[16];
	uint32_t x[16], before[16];

	memcpy(input, nonce, 8);
	store(input + 8, (uint32_t)counter);
	store(input + 12, (uint32_t)(counter >> 32));
	set_up(x, key, input);
	memcpy(before, x, sizeof(x));
	twenty_rounds(x);
	for (size_t i = 0; i < 16; i++)
		store(block + 4 * i, x[i] + before[i]);
}

/* The first 32 bytes of the stream are the key of the tag. */
static void cipher(const unsigned char *key, const unsigned char *nonce, const unsigned char *from,
		   size_t size, unsigned char *to, unsigned char tag_key[32])
{
	unsigned char derived[32], block[BLOCK];
	size_t used = 32;

	derive(derived, key, nonce);
	make_block(block, derived, nonce + 16, 0);
	memcpy(tag_key, block, 32);
	for (size_t at = 0, counter = 1; at < size; at++, used++) {
		if (used == BLOCK) {
			make_block(block, derived, nonce + 16, counter++);
			used = 0;
		}
		if (to)
			to[at] = from[at] ^ block[used];
	}
	explicit_bzero(derived, sizeof(derived));
	explicit_bzero(block, sizeof(block));
}

static int make_tag(const struct crypto_library *crypto, const unsigned char key[32],
		    const unsigned char *bytes, size_t size, unsigned char tag[SECRETBOX_TAG])
{
	EVP_PKEY *mac =
	    crypto->EVP_PKEY_new_raw_private_key(EVP_PKEY_POLY1305, NULL, key, SECRETBOX_KEY);
	EVP_MD_CTX *context = crypto->EVP_MD_CTX_new();
	size_t length = SECRETBOX_TAG;
	int err = 0;

	if (!mac || !context || crypto->EVP_DigestSignInit(context, NULL, NULL, NULL, mac) != 1 ||
	    crypto->EVP_DigestSign(context, tag, &length, bytes, size) != 1)
		err = -EIO;
	crypto->EVP_MD_CTX_free(context);
	crypto->EVP_PKEY_free(mac);
	crypto->ERR_clear_error();
	return err;
}

int secretbox_key(const char *passphrase, size_t size, const unsigned char *salt, size_t salt_size,
		  uint64_t n, uint64_t r, uint64_t p, unsigned char key[SECRETBOX_KEY])
{
	const struct crypto_library *crypto = crypto_open();

	if (!crypto)
		return -ENOSYS;
	if (crypto->EVP_PBE_scrypt(passphrase, size, salt, salt_size, n, r, p, MEMORY_LIMIT, key,
				   SECRETBOX_KEY) == 1)
		return 0;
	crypto->ERR_clear_error();
	return -EINVAL;
}

int secretbox_seal(const unsigned char key[SECRETBOX_KEY],
		   const unsigned char nonce[SECRETBOX_NONCE], const unsigned char *plain,
		   size_t size, unsigned char *box)
{
	const struct crypto_library *crypto = crypto_open();
	unsigned char tag_key[32];
	int err;

	if (!crypto)
		return -ENOSYS;
	cipher(key, nonce, plain, size, box + SECRETBOX_TAG, tag_key);
	err = make_tag(crypto, tag_key, box + SECRETBOX_TAG, size, box);
	explicit_bzero(tag_key, sizeof(tag_key));
	return err;
}

int secretbox_open(const unsigned char key[SECRETBOX_KEY],
		   const unsigned char nonce[SECRETBOX_NONCE], const unsigned char *box,
		   size_t size, unsigned char *plain)
{
	const struct crypto_library *crypto = crypto_open();
	unsigned char tag_key[32], tag[SECRETBOX_TAG];
	int err;

	if (!crypto)
		return -ENOSYS;
	if (size < SECRETBOX_TAG)
		return -EKEYREJECTED;
	cipher(key, nonce, NULL, 0, NULL, tag_key);
	err = make_tag(crypto, tag_key, box + SECRETBOX_TAG, size - SECRETBOX_TAG, tag);
	if (!err && crypto->CRYPTO_memcmp(tag, box, SECRETBOX_TAG))
		err = -EKEYREJECTED;
	if (!err)
		cipher(key, nonce, box + SECRETBOX_TAG, size - SECRETBOX_TAG, plain, tag_key);
	explicit_bzero(tag_key, sizeof(tag_key));
	return err;
}
