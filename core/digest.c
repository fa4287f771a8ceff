#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <openssl/evp.h>
#include <sha2.h>

#include "core/digest.h"
#include "core/shared_library.h"

/*
 * Up to here libmd does it, which is small and linked: to open libcrypto, which each job would do
 * anew, takes longer than that takes. libcrypto is several times as fast once it is there.
 */
#define SMALL (1024 * 1024)

_Static_assert(SHA256_SIZE == SHA256_DIGEST_LENGTH, "a SHA-256 is 32 bytes");

#define DIGEST_FUNCTIONS(X) X(EVP_sha256) X(EVP_Digest)

struct crypto {
	DIGEST_FUNCTIONS(LIBRARY_MEMBER)
};

static int open_crypto(struct crypto *crypto)
{
	static const char *const names[] = {"libcrypto.so.3", "libcrypto.so.1.1", NULL};
	static const char *const functions[] = {DIGEST_FUNCTIONS(LIBRARY_NAME) NULL};

	return crypto->EVP_Digest ? 0 : shared_library_open(names, functions, crypto);
}

int digest_sha256_bytes(const void *bytes, size_t size, unsigned char digest[SHA256_SIZE])
{
	static struct crypto crypto;
	SHA2_CTX context;
	int err;

	if (size <= SMALL) {
		SHA256Init(&context);
		SHA256Update(&context, bytes, size);
		SHA256Final(digest, &context);
		return 0;
	}
	err = open_crypto(&crypto);
	if (err)
		return err;
	return crypto.EVP_Digest(bytes, size, digest, NULL, crypto.EVP_sha256(), NULL) == 1 ? 0
											    : -EIO;
}

int digest_sha256(int fd, unsigned char digest[SHA256_SIZE])
{
	struct stat status;
	void *bytes = NULL;
	int err;

	if (fstat(fd, &status))
		return -errno;
	if (status.st_size) {
		bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (bytes == MAP_FAILED)
			return -errno;
	}
	err = digest_sha256_bytes(bytes ? bytes : "", (size_t)status.st_size, digest);
	if (bytes)
		munmap(bytes, (size_t)status.st_size);
	return err;
}
