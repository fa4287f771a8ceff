#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>

/*
 * The low-level functions, deprecated as they are: EVP reads openssl.cnf, opens providers and
 * fetches the algorithm by its name first, which takes 1 ms of each load. SHA256() itself is EVP
 * since 3.0.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#include "core/digest.h"
#include "core/sha256.h"

/*
 * Up to here our own code does it: to open libcrypto, which each job would do anew, takes longer
 * than that takes. libcrypto is several times as fast once it is there.
 */
#define OWN_SIZE (1024 * 1024)

_Static_assert(SHA256_SIZE == SHA256_DIGEST_LENGTH, "a SHA-256 is 32 bytes");

struct crypto {
	typeof(SHA256_Init) *init;
	typeof(SHA256_Update) *update;
	typeof(SHA256_Final) *final;
};

static int open_crypto(struct crypto *crypto)
{
	static const char *const names[] = {"libcrypto.so.3", "libcrypto.so.1.1"};
	void *library = NULL;

	for (size_t i = 0; !library && i < sizeof(names) / sizeof(*names); i++)
		library = dlopen(names[i], RTLD_LAZY | RTLD_LOCAL);
	if (!library)
		return -ENOSYS;
	crypto->init = (typeof(crypto->init))dlsym(library, "SHA256_Init");
	crypto->update = (typeof(crypto->update))dlsym(library, "SHA256_Update");
	crypto->final = (typeof(crypto->final))dlsym(library, "SHA256_Final");
	return crypto->init && crypto->update && crypto->final ? 0 : -ENOSYS;
}

int digest_sha256_bytes(const void *bytes, size_t size, unsigned char digest[SHA256_SIZE])
{
	static struct crypto crypto;
	SHA256_CTX context;
	int err = 0;

	if (size <= OWN_SIZE) {
		sha256(bytes, size, digest);
		return 0;
	}
	if (!crypto.final)
		err = open_crypto(&crypto);
	if (err)
		return err;
	if (crypto.init(&context) != 1 || crypto.update(&context, bytes, size) != 1 ||
	    crypto.final(digest, &context) != 1)
		return -EIO;
	return 0;
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
