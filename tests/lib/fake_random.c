/* tests/lib/fake_random.c - chance that a seed repeats (splitmix64). What the program
 * draws and what a test draws come from two rows, so that one does not disturb the other.
 */
#include "tests/lib/fake_random.h"

static uint64_t program = 1, test = 2;

static uint64_t next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

void fake_random_seed(uint64_t seed)
{
	program = seed * 2;
	test = ~seed;
}

uint64_t random_u64(void)
{
	return next(&program);
}

uint64_t random_id(void)
{
	return random_u64();
}

double random_unit(void)
{
	return (double)(random_u64() >> 11) * 0x1.0p-53;
}

msec random_jitter(msec about)
{
	return about - about / 10 + (about >= 5 ? random_u64() % (about / 5) : 0);
}

uint64_t chance_below(uint64_t n)
{
	return next(&test) % n;
}

bool chance_of(unsigned percent)
{
	return chance_below(100) < percent;
}
