#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <openssl/evp.h>
#include <sha2.h>

#include "core/digest.h"

/*
 * Up to here libmd does it, which is small and linked: to open libcrypto, which each job would do
 * anew, takes longer than that takes. libcrypto is several times as fast once it is there.
 */
#define SMALL (1024 * 1024)

_Static_assert(SHA256_SIZE == SHA256_DIGEST_LENGTH, "a SHA-256 is 32 bytes");

struct crypto {
	typeof(EVP_sha256) *sha256;
	typeof(EVP_Digest) *digest;
};

static int open_crypto(struct crypto *crypto)
{
	static const char *const names[] = {"libcrypto.so.3", "libcrypto.so.1.1"};
	void *library = NULL;

	for (size_t i = 0; !library && i < sizeof(names) / sizeof(*names); i++)
		library = dlopen(names[i], RTLD_LAZY | RTLD_LOCAL);
	if (!library)
		return -ENOSYS;
	crypto->sha256 = (typeof(crypto->sha256))dlsym(library, "EVP_sha256");
	crypto->digest = (typeof(crypto->digest))dlsym(library, "EVP_Digest");
	return crypto->sha256 && crypto->digest ? 0 : -ENOSYS;
}

int digest_sha256_bytes(const void *bytes, size_t size, unsigned char digest[SHA256_SIZE])
{
	static struct crypto crypto;
	SHA2_CTX context;
	int err = 0;

	if (size <= SMALL) {
		SHA256Init(&context);
		SHA256Update(&context, bytes, size);
		SHA256Final(digest, &context);
		return 0;
	}
	if (!crypto.digest)
		err = open_crypto(&crypto);
	if (err)
		return err;
	return crypto.digest(bytes, size, digest, NULL, crypto.sha256(), NULL) == 1 ? 0 : -EIO;
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
