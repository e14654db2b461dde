/* core/conf_parse.h - pure: values as people write them.
 *
 *	durations	250ms 5s 2m 1h 30d, 1.5s; a bare number is seconds
 *	sizes		40MiB (1024s), 30MB (1000s), 512K (1024s); a bare number is in the
 *			unit the caller says
 *	switches	on off, true false, yes no, 1 0
 *
 * All return false, and leave *out alone, for anything else: signs, inner spaces, hex,
 * exponents, numbers too large. */
#ifndef CORE_CONF_PARSE_H
#define CORE_CONF_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/clock.h"

bool conf_parse_count(const char *s, int64_t *out);
bool conf_parse_share(const char *s, double *out); /* a decimal number */
bool conf_parse_duration(const char *s, msec *out);
/* A size in `unit` bytes, rounded down; a bare number is so many units. */
bool conf_parse_size(const char *s, int64_t unit, int64_t *out);
bool conf_parse_switch(const char *s, bool *out);

/* How many letters must be typed differently to get from one name to the other; more
 * than 32 letters count as far apart. For "did you mean". */
unsigned conf_distance(const char *a, const char *b);

#endif
