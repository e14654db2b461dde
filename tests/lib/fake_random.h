/* tests/lib/fake_random.h - stands in for core/random.c: chance that a seed repeats. */
#ifndef TESTS_LIB_FAKE_RANDOM_H
#define TESTS_LIB_FAKE_RANDOM_H

#include <stdbool.h>

#include "core/random.h"

void fake_random_seed(uint64_t seed);
uint64_t chance_below(uint64_t n); /* 0 .. n-1, from a row of its own */
bool chance_of(unsigned percent);

#endif
