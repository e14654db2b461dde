/* core/random.h - chance: jitter, choice and new ids. */
#ifndef CORE_RANDOM_H
#define CORE_RANDOM_H

#include <stdint.h>

#include "core/clock.h"

uint64_t random_u64(void);      /* not to be guessed: ids */
uint64_t random_id(void);       /* rarely twice; quick */
double random_unit(void);       /* [0, 1) */
msec random_jitter(msec about); /* +-10 % */

#endif
