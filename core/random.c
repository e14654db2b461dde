/* core/random.c - chance: jitter, choice and new ids. */
#include "core/random.h"

#include <openssl/rand.h>
#include <stdlib.h>

uint64_t random_u64(void)
{
	uint64_t n;

	if (RAND_bytes((unsigned char *)&n, sizeof(n)) != 1)
		abort();
	return n;
}

/* splitmix64 from a secret start: for choice and jitter, where nobody gains by guessing;
 * asking OpenSSL costs as much as a small request. */
static uint64_t quick_u64(void)
{
	static uint64_t state;
	uint64_t z;

	if (state == 0)
		state = random_u64();
	z = state += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint64_t random_id(void)
{
	return quick_u64();
}

double random_unit(void)
{
	return (double)(quick_u64() >> 11) * 0x1.0p-53;
}

msec random_jitter(msec about)
{
	return about - about / 10 + (about >= 5 ? quick_u64() % (about / 5) : 0);
}
