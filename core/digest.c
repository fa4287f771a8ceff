#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "core/digest.h"

typedef const void *(*algorithm_fn)(void);
typedef int (*digest_fn)(const void *data, size_t size, unsigned char *digest,
			 unsigned int *digest_size, const void *algorithm, void *engine);

struct crypto {
	algorithm_fn sha256;
	digest_fn digest;
};

static int open_crypto(struct crypto *crypto)
{
	static const char *const names[] = {"libcrypto.so.3", "libcrypto.so.1.1"};
	void *library = NULL;

	for (size_t i = 0; !library && i < sizeof(names) / sizeof(*names); i++)
		library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return -ENOSYS;
	crypto->sha256 = (algorithm_fn)dlsym(library, "EVP_sha256");
	crypto->digest = (digest_fn)dlsym(library, "EVP_Digest");
	return crypto->sha256 && crypto->digest ? 0 : -ENOSYS;
}

int digest_sha256(int fd, unsigned char digest[SHA256_SIZE])
{
	static struct crypto crypto;
	struct stat status;
	void *bytes = NULL;
	int err = 0;

	if (!crypto.digest)
		err = open_crypto(&crypto);
	if (err)
		return err;
	if (fstat(fd, &status))
		return -errno;
	if (status.st_size) {
		bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (bytes == MAP_FAILED)
			return -errno;
	}
	if (crypto.digest(bytes ? bytes : "", (size_t)status.st_size, digest, NULL, crypto.sha256(),
			  NULL) != 1)
		err = -EIO;
	if (bytes)
		munmap(bytes, (size_t)status.st_size);
	return err;
}
