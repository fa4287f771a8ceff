#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/crypto.h"
#include "core/signature.h"

/* Else libcrypto would ask whoever sits at the terminal. */
static int no_passphrase(char *buffer, int size, int writing, void *context)
{
	(void)buffer;
	(void)size;
	(void)writing;
	(void)context;
	return -1;
}

static int check_curve(const struct crypto_library *crypto, EVP_PKEY *key)
{
	char group[32];
	size_t length;

	if (crypto->EVP_PKEY_get_group_name(key, group, sizeof(group), &length) != 1)
		return -ENOTSUP;
	return strcmp(group, "prime256v1") ? -ENOTSUP : 0;
}

/* A key that was read, or its refusal; takes over the key. */
static int checked(const struct crypto_library *crypto, EVP_PKEY *read, EVP_PKEY **key)
{
	int err = read ? check_curve(crypto, read) : -EINVAL;

	crypto->ERR_clear_error();
	if (err)
		crypto->EVP_PKEY_free(read);
	else
		*key = read;
	return err;
}

static int read_public(const struct crypto_library *crypto, struct bytes_view pem, EVP_PKEY **key)
{
	BIO *bio = crypto->BIO_new_mem_buf(pem.data, (int)pem.size);
	EVP_PKEY *read;

	if (!bio)
		return -ENOMEM;
	read = crypto->PEM_read_bio_PUBKEY(bio, NULL, no_passphrase, NULL);
	crypto->BIO_free(bio);
	return checked(crypto, read, key);
}

static int read_private(const struct crypto_library *crypto, struct bytes_view text, EVP_PKEY **key)
{
	BIO *bio = crypto->BIO_new_mem_buf(text.data, (int)text.size);
	EVP_PKEY *read;

	if (!bio)
		return -ENOMEM;
	if (text.size && *(const char *)text.data == '-')
		read = crypto->PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	else
		read = crypto->d2i_PrivateKey_bio(bio, NULL);
	crypto->BIO_free(bio);
	return checked(crypto, read, key);
}

int signature_verify(struct bytes_view pem, struct bytes_view message, struct bytes_view signature)
{
	const struct crypto_library *crypto = crypto_open();
	EVP_PKEY *key = NULL;
	EVP_MD_CTX *context;
	int err;

	if (!crypto)
		return -ENOSYS;
	err = read_public(crypto, pem, &key);
	if (err)
		return err;
	context = crypto->EVP_MD_CTX_new();
	if (!context ||
	    crypto->EVP_DigestVerifyInit(context, NULL, crypto->EVP_sha256(), NULL, key) != 1)
		err = -ENOMEM;
	else if (crypto->EVP_DigestVerify(context, signature.data, signature.size, message.data,
					  message.size) != 1)
		err = -EKEYREJECTED;
	crypto->EVP_MD_CTX_free(context);
	crypto->EVP_PKEY_free(key);
	crypto->ERR_clear_error();
	return err;
}

int signature_sign(struct bytes_view text, struct bytes_view message,
		   unsigned char signature[SIGNATURE_SIZE], size_t *size)
{
	const struct crypto_library *crypto = crypto_open();
	EVP_PKEY *key = NULL;
	EVP_MD_CTX *context;
	int err;

	if (!crypto)
		return -ENOSYS;
	err = read_private(crypto, text, &key);
	if (err)
		return err;
	*size = SIGNATURE_SIZE;
	context = crypto->EVP_MD_CTX_new();
	if (!context ||
	    crypto->EVP_DigestSignInit(context, NULL, crypto->EVP_sha256(), NULL, key) != 1 ||
	    crypto->EVP_DigestSign(context, signature, size, message.data, message.size) != 1)
		err = -ENOMEM;
	crypto->EVP_MD_CTX_free(context);
	crypto->EVP_PKEY_free(key);
	crypto->ERR_clear_error();
	return err;
}

static int copy_out(const struct crypto_library *crypto, BIO *bio, char **data, size_t *size)
{
	char *inside = NULL;
	long length = crypto->BIO_ctrl(bio, BIO_CTRL_INFO, 0, &inside);

	*data = malloc((size_t)length);
	if (!*data)
		return -ENOMEM;
	memcpy(*data, inside, (size_t)length);
	*size = (size_t)length;
	return 0;
}

static int write_public(const struct crypto_library *crypto, EVP_PKEY *key, struct key_pair *pair)
{
	BIO *bio = crypto->BIO_new(crypto->BIO_s_mem());
	int err = -ENOMEM;

	if (bio && crypto->PEM_write_bio_PUBKEY(bio, key) == 1)
		err = copy_out(crypto, bio, &pair->public_pem, &pair->public_size);
	crypto->BIO_free(bio);
	return err;
}

static int write_private(const struct crypto_library *crypto, EVP_PKEY *key, struct key_pair *pair)
{
	BIO *bio = crypto->BIO_new(crypto->BIO_s_mem());
	int err = -ENOMEM;

	if (bio && crypto->i2d_PKCS8PrivateKey_bio(bio, key, NULL, NULL, 0, NULL, NULL) == 1)
		err = copy_out(crypto, bio, &pair->private_der, &pair->private_size);
	crypto->BIO_free(bio);
	return err;
}

int signature_generate(struct key_pair *pair)
{
	const struct crypto_library *crypto = crypto_open();
	EVP_PKEY *key;
	int err;

	if (!crypto)
		return -ENOSYS;
	key = crypto->EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	if (!key)
		return -EIO;
	err = write_public(crypto, key, pair);
	if (!err)
		err = write_private(crypto, key, pair);
	crypto->EVP_PKEY_free(key);
	return err;
}

int signature_public(struct bytes_view text, struct key_pair *pair)
{
	const struct crypto_library *crypto = crypto_open();
	EVP_PKEY *key = NULL;
	int err;

	if (!crypto)
		return -ENOSYS;
	err = read_private(crypto, text, &key);
	if (err)
		return err;
	err = write_public(crypto, key, pair);
	crypto->EVP_PKEY_free(key);
	return err;
}

void signature_free_pair(struct key_pair *pair)
{
	if (pair->private_der)
		explicit_bzero(pair->private_der, pair->private_size);
	free(pair->private_der);
	free(pair->public_pem);
	memset(pair, 0, sizeof(*pair));
}
