/* wal/alarm.h - pure: when is a change worth a message? */
#ifndef WAL_ALARM_H
#define WAL_ALARM_H

#include "core/clock.h"

#define ALARM_BURST 4u
#define ALARM_REFILL_MS ((msec)300 * 1000)

struct alarm { /* zeroed: all is well, and that is known */
	int64_t told, seen;
	msec since;       /* when `seen` became what it is */
	unsigned changes; /* since the last message */
	unsigned spent;   /* messages, of ALARM_BURST ... */
	msec given_back;  /* ... one of which came back then */
};

/* What is so now. 0: nothing to tell; else how often it has changed since the last
 * message, and it counts as told. It must have been so for `hold`. */
unsigned alarm_see(struct alarm *a, int64_t value, msec hold, msec now);

#endif
