/* core/timer.h - one-shot timers. Named members of whoever owns them, never anonymous.
 *
 * A zeroed timer is stopped. timer_stop() is idempotent, also on a zeroed timer. The
 * function runs from the loop, never from inside timer_start(); 0 ms means this turn or
 * the next. Inside it the timer may be started again, or its owner freed. */
#ifndef CORE_TIMER_H
#define CORE_TIMER_H

#include <event2/event_struct.h>
#include <stdbool.h>

#include "core/clock.h"

typedef void(timer_fn)(void *arg);

struct timer {
	timer_fn *fn;
	void *arg;
	bool running;
	struct event event;
};

void timer_start(struct timer *t, msec after, timer_fn *fn, void *arg); /* re-arms */
void timer_stop(struct timer *t);
bool timer_running(const struct timer *t);

#endif
