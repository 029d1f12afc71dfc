/* A security key in software, for OpenSSH's programs: what they load in place of a device (SSH_SK_PROVIDER).
 *
 * Its keys are no secrets: the handle in the key file is the private key. TOUCH says which flags it gives, since what a
 * device never does is what has to be refused. The few functions of libcrypto are declared by hand: the program that
 * loads this has them, and nobody needs its headers for a test. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ED25519 1
#define NID_ED25519 1087

struct option;
struct enrolled {
	uint8_t flags;
	uint8_t *public_key;
	size_t public_key_len;
	uint8_t *key_handle;
	size_t key_handle_len;
	uint8_t *signature;
	size_t signature_len;
	uint8_t *attestation;
	size_t attestation_len;
	uint8_t *authdata;
	size_t authdata_len;
};
struct made {
	uint8_t flags;
	uint32_t counter;
	uint8_t *sig_r;
	size_t sig_r_len;
	uint8_t *sig_s;
	size_t sig_s_len;
};

void *EVP_PKEY_new_raw_private_key(int, void *, const uint8_t *, size_t);
int EVP_PKEY_get_raw_public_key(void *, uint8_t *, size_t *);
void *EVP_MD_CTX_new(void);
int EVP_DigestSignInit(void *, void *, void *, void *, void *);
int EVP_DigestSign(void *, uint8_t *, size_t *, const uint8_t *, size_t);
uint8_t *SHA256(const uint8_t *, size_t, uint8_t *);
int RAND_bytes(uint8_t *, int);

uint32_t
sk_api_version(void)
{
	return 0x000a0000;
}

int
sk_enroll(uint32_t alg, const uint8_t *challenge, size_t challenge_len, const char *application, uint8_t flags,
    const char *pin, struct option **options, struct enrolled **answer)
{
	struct enrolled *e = calloc(1, sizeof(*e));
	size_t len = 32;
	void *key;

	if (e == NULL || alg != ED25519 || (e->key_handle = malloc(32)) == NULL || (e->public_key = malloc(32)) == NULL ||
	    (e->signature = calloc(1, 64)) == NULL || RAND_bytes(e->key_handle, 32) != 1 ||
	    (key = EVP_PKEY_new_raw_private_key(NID_ED25519, NULL, e->key_handle, 32)) == NULL ||
	    EVP_PKEY_get_raw_public_key(key, e->public_key, &len) != 1)
		return -1;
	e->flags = flags;
	e->key_handle_len = e->public_key_len = 32;
	e->signature_len = 64;
	*answer = e;
	return 0;
}

int
sk_sign(uint32_t alg, const uint8_t *data, size_t data_len, const char *application, const uint8_t *handle,
    size_t handle_len, uint8_t flags, const char *pin, struct option **options, struct made **answer)
{
	struct made *m = calloc(1, sizeof(*m));
	uint8_t signed_part[32 + 1 + 4 + 32] = { 0 };
	const char *touch = getenv("TOUCH");
	size_t len = 64;
	void *key, *context = EVP_MD_CTX_new();

	if (m == NULL || context == NULL || alg != ED25519 || handle_len != 32 || (m->sig_r = malloc(64)) == NULL ||
	    (key = EVP_PKEY_new_raw_private_key(NID_ED25519, NULL, handle, 32)) == NULL)
		return -1;
	m->flags = touch != NULL ? (uint8_t)atoi(touch) : flags;
	m->counter = 7;
	SHA256((const uint8_t *)application, strlen(application), signed_part);
	signed_part[32] = m->flags;
	signed_part[36] = 7;
	SHA256(data, data_len, signed_part + 37);
	if (EVP_DigestSignInit(context, NULL, NULL, NULL, key) != 1 ||
	    EVP_DigestSign(context, m->sig_r, &len, signed_part, sizeof(signed_part)) != 1)
		return -1;
	m->sig_r_len = len;
	*answer = m;
	return 0;
}

int
sk_load_resident_keys(const char *pin, struct option **options, void ***keys, size_t *count)
{
	return -2;
}
