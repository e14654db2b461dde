/* core/digest.c - see digest.h. */
#include "core/digest.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

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

bool digest_same(const struct digest *a, const struct digest *b)
{
	return memcmp(a->bytes, b->bytes, DIGEST_LEN) == 0;
}
