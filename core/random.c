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

double random_unit(void)
{
	return (double)(random_u64() >> 11) * 0x1.0p-53;
}

msec random_jitter(msec about)
{
	return about - about / 10 + (about >= 5 ? random_u64() % (about / 5) : 0);
}
