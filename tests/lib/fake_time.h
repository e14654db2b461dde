/* tests/lib/fake_time.h - virtual time: stands in for core/clock.c and core/timer.c. No
 * loop is needed; timers fire, in order, inside pass_ms(). */
#ifndef TESTS_LIB_FAKE_TIME_H
#define TESTS_LIB_FAKE_TIME_H

#include "core/clock.h"

void pass_ms(msec ms);         /* 0: only what is due now, and what that leads to */
unsigned timers_running(void); /* 0 at the end of a test: nothing was left behind */

#endif
