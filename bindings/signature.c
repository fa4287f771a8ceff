/* bpf.core.signature: ECDSA P-256 signatures, and the boxes that private keys are kept in. */
#include <errno.h>
#include <string.h>
#include <lauxlib.h>
#include <sys/random.h>

#include "bindings/handle.h"
#include "bindings/namespaces.h"
#include "bindings/table.h"
#include "core/secretbox.h"
#include "core/signature.h"

#define KEY_PAIR "bpf.signature.pair"

static struct bytes_view check_bytes(lua_State *L, int index)
{
	struct bytes_view view;

	view.data = luaL_checklstring(L, index, &view.size);
	return view;
}

static const unsigned char *check_exactly(lua_State *L, int index, size_t size)
{
	struct bytes_view view = check_bytes(L, index);

	luaL_argcheck(L, view.size == size, index, "of the wrong size");
	return view.data;
}

static int push_refusal(lua_State *L, int err, const char *what)
{
	switch (err) {
	case -ENOSYS:
		return push_error(L, err, NULL, "OpenSSL's libcrypto.so.3 is not installed");
	case -EINVAL:
		return push_error(L, err, NULL, "%s cannot be read: it is none, or damaged", what);
	case -ENOTSUP:
		return push_error(L, err, NULL, "%s is not of the kind that is used, ECDSA P-256",
				  what);
	default:
		return push_errno(L, err, "cannot use %s", what);
	}
}

/* verify(public_pem, message, signature) -> true, false if it is another's */
static int verify(lua_State *L)
{
	int err = signature_verify(check_bytes(L, 1), check_bytes(L, 2), check_bytes(L, 3));

	if (err && err != -EKEYREJECTED)
		return push_refusal(L, err, "the public key");
	lua_pushboolean(L, !err);
	return 1;
}

/* sign(private_key, message) -> signature */
static int sign(lua_State *L)
{
	unsigned char signature[SIGNATURE_SIZE];
	size_t size;
	int err = signature_sign(check_bytes(L, 1), check_bytes(L, 2), signature, &size);

	if (err)
		return push_refusal(L, err, "the private key");
	lua_pushlstring(L, (const char *)signature, size);
	return 1;
}

static int free_pair(lua_State *L)
{
	signature_free_pair(luaL_checkudata(L, 1, KEY_PAIR));
	return 0;
}

static struct key_pair *new_pair(lua_State *L)
{
	struct key_pair *pair = lua_newuserdatauv(L, sizeof(*pair), 0);

	memset(pair, 0, sizeof(*pair));
	luaL_setmetatable(L, KEY_PAIR);
	lua_toclose(L, -1);
	return pair;
}

/* generate() -> private key (PKCS#8, DER), public key (PEM) */
static int generate(lua_State *L)
{
	struct key_pair *pair = new_pair(L);
	int err = signature_generate(pair);

	if (err)
		return push_refusal(L, err, "a new key");
	lua_pushlstring(L, pair->private_der, pair->private_size);
	lua_pushlstring(L, pair->public_pem, pair->public_size);
	return 2;
}

/* public(private_key) -> public key (PEM) */
static int public_half(lua_State *L)
{
	struct bytes_view key = check_bytes(L, 1);
	struct key_pair *pair = new_pair(L);
	int err = signature_public(key, pair);

	if (err)
		return push_refusal(L, err, "the private key");
	lua_pushlstring(L, pair->public_pem, pair->public_size);
	return 1;
}

static int push_box_refusal(lua_State *L, int err, const char *what)
{
	if (err == -ENOSYS)
		return push_error(L, err, NULL, "libsodium (libsodium.so.23) is not installed");
	return push_refusal(L, err, what);
}

/* box_key(passphrase, salt, n, r, p) -> key */
static int box_key(lua_State *L)
{
	struct bytes_view passphrase = check_bytes(L, 1), salt = check_bytes(L, 2);
	uint64_t parameters[3];
	unsigned char key[SECRETBOX_KEY];
	int err;

	for (int i = 0; i < 3; i++)
		parameters[i] = (uint64_t)luaL_checkinteger(L, 3 + i);
	err = secretbox_key(passphrase.data, passphrase.size, salt.data, salt.size, parameters[0],
			    parameters[1], parameters[2], key);
	if (err)
		return push_box_refusal(L, err, "the way from passphrase to key");
	lua_pushlstring(L, (const char *)key, sizeof(key));
	return 1;
}

/* seal_box(key, nonce, plain) -> box */
static int seal_box(lua_State *L)
{
	const unsigned char *key = check_exactly(L, 1, SECRETBOX_KEY);
	const unsigned char *nonce = check_exactly(L, 2, SECRETBOX_NONCE);
	struct bytes_view plain = check_bytes(L, 3);
	size_t size = plain.size + SECRETBOX_TAG;
	luaL_Buffer buffer;
	char *box = luaL_buffinitsize(L, &buffer, size);
	int err = secretbox_seal(key, nonce, plain.data, plain.size, (unsigned char *)box);

	if (err)
		return push_box_refusal(L, err, "the box");
	luaL_pushresultsize(&buffer, size);
	return 1;
}

/* open_box(key, nonce, box) -> plain, false if it is another key's */
static int open_box(lua_State *L)
{
	const unsigned char *key = check_exactly(L, 1, SECRETBOX_KEY);
	const unsigned char *nonce = check_exactly(L, 2, SECRETBOX_NONCE);
	struct bytes_view box = check_bytes(L, 3);
	size_t size = box.size > SECRETBOX_TAG ? box.size - SECRETBOX_TAG : 0;
	luaL_Buffer buffer;
	char *plain = luaL_buffinitsize(L, &buffer, size);
	int err = secretbox_open(key, nonce, box.data, box.size, (unsigned char *)plain);

	if (err && err != -EKEYREJECTED)
		return push_box_refusal(L, err, "the box");
	if (err)
		lua_pushboolean(L, 0);
	else
		luaL_pushresultsize(&buffer, size);
	return 1;
}

/* random(size) -> bytes */
static int random_bytes(lua_State *L)
{
	unsigned char bytes[64];
	lua_Integer size = luaL_checkinteger(L, 1);

	luaL_argcheck(L, size > 0 && size <= (lua_Integer)sizeof(bytes), 1, "size out of range");
	if (getrandom(bytes, (size_t)size, 0) != size)
		return push_errno(L, -errno, "cannot get random bytes");
	lua_pushlstring(L, (const char *)bytes, (size_t)size);
	return 1;
}

static const luaL_Reg pair_methods[] = {
    {"__close", free_pair},
    {"__gc", free_pair},
    {NULL, NULL},
};

static const luaL_Reg functions[] = {
    {"box_key", box_key},    {"generate", generate},   {"open_box", open_box},
    {"public", public_half}, {"random", random_bytes}, {"seal_box", seal_box},
    {"sign", sign},	     {"verify", verify},       {NULL, NULL},
};

int open_signature(lua_State *L)
{
	define_methods(L, KEY_PAIR, pair_methods);
	luaL_newlib(L, functions);
	return 1;
}
