/* tests/lib/fake_time.h - virtual time: stands in for core/clock.c and core/timer.c. No
 * loop is needed; timers fire, in order, inside pass_ms(). */
#ifndef TESTS_LIB_FAKE_TIME_H
#define TESTS_LIB_FAKE_TIME_H

#include "core/clock.h"

void pass_ms(msec ms); /* 0: only what is due now, and what that leads to */
/* `fn` is called once, after the nth timer from now on has fired; 0: never (any more). It
 * may do what a test does between two calls of pass_ms(). */
void fake_time_after(uint64_t nth, void (*fn)(void));
uint64_t fake_time_fired(void); /* timers, since the last fake_time_reset() */
void fake_time_reset(void);     /* to the first moment; nothing may be running */
unsigned timers_running(void);  /* 0 at the end of a test: nothing was left behind */

#endif
