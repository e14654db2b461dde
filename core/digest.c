/* core/digest.c - see digest.h. */
#include "core/digest.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

struct digest digest_of(const struct digest_part *parts, size_t n)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	unsigned char whole[EVP_MAX_MD_SIZE];
	struct digest out;
	bool ok = context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1;

	for (size_t k = 0; ok && k < n; k++)
		ok = EVP_DigestUpdate(context, parts[k].bytes, parts[k].len) == 1;
	if (!ok || EVP_DigestFinal_ex(context, whole, NULL) != 1)
		abort(); /* out of memory, or an OpenSSL without SHA-256 */
	EVP_MD_CTX_free(context);
	memcpy(out.bytes, whole, DIGEST_LEN);
	return out;
}

/* --- piece by piece ---------------------------------------------------------------- */

struct digest_run {
	EVP_MD_CTX *context;
};

struct digest_run *digest_begin(void)
{
	struct digest_run *run = mem_new(struct digest_run);

	run->context = EVP_MD_CTX_new();
	if (run->context == NULL ||
	    EVP_DigestInit_ex(run->context, EVP_sha256(), NULL) != 1)
		abort();
	return run;
}

void digest_add(struct digest_run *run, const void *bytes, size_t len)
{
	if (EVP_DigestUpdate(run->context, bytes, len) != 1)
		abort();
}

void digest_hex(const struct digest_run *run, char out[DIGEST_HEX_BYTES])
{
	EVP_MD_CTX *copy = EVP_MD_CTX_new();
	unsigned char whole[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (copy == NULL || EVP_MD_CTX_copy_ex(copy, run->context) != 1 ||
	    EVP_DigestFinal_ex(copy, whole, &len) != 1)
		abort();
	EVP_MD_CTX_free(copy);
	for (unsigned k = 0; k < len; k++)
		snprintf(out + 2 * (size_t)k, 3, "%02x", whole[k]);
}

void digest_end(struct digest_run **run)
{
	if (*run == NULL)
		return;
	EVP_MD_CTX_free((*run)->context);
	free(*run);
	*run = NULL;
}

bool digest_same(const struct digest *a, const struct digest *b)
{
	return memcmp(a->bytes, b->bytes, DIGEST_LEN) == 0;
}
