/* wal/alarm.c - pure: something is in a state, or has a count; who has to be told?
 *
 * A change is told at once, four of them in a row, then one every five minutes: whatever
 * flaps does not drown the rest. What is told last is what is so: a change that had to
 * wait is told when its time has come, unless all is again as it was told. */
#include "wal/alarm.h"

static void give_back(struct alarm *a, msec now)
{
	msec due = (now - a->given_back) / ALARM_REFILL_MS;

	if (a->spent == 0) {
		a->given_back = now;
		return;
	}
	a->spent = due < a->spent ? a->spent - (unsigned)due : 0;
	a->given_back += due * ALARM_REFILL_MS;
}

unsigned alarm_see(struct alarm *a, int64_t value, msec hold, msec now)
{
	unsigned changes;

	give_back(a, now);
	if (value != a->seen) {
		a->seen = value;
		a->since = now;
		a->changes++;
	}
	if (a->seen == a->told || now - a->since < hold || a->spent == ALARM_BURST)
		return 0;
	changes = a->changes;
	a->told = a->seen;
	a->changes = 0;
	a->spent++;
	return changes;
}
