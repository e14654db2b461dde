/* core/clock.h - the only place that asks what time it is. */
#ifndef CORE_CLOCK_H
#define CORE_CLOCK_H

#include <stdint.h>

typedef uint64_t msec;

msec clock_ms(void);     /* since some past point; goes on while the machine sleeps */
uint64_t clock_us(void); /* the same clock, finer */
int64_t clock_wall_ms(void);
int64_t clock_wall_seconds(void);
/* cheaper; late by a few milliseconds */ /* since 1970, UTC; may jump */

#define CLOCK_ISO_BYTES 25
/* "2026-11-20T23:24:46.123Z" */
const char *clock_iso(int64_t wall_ms, char out[CLOCK_ISO_BYTES]);

#endif
