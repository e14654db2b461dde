/* tests/lib/fake_time.c - virtual time. */
#include "tests/lib/fake_time.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>

#include "core/timer.h"

#define MOST_TIMERS 4096u
#define FIRST_MOMENT 1000000u
#define MOST_AT_ONCE 100000u /* more fire without time going on: a circle */

struct entry {
	struct timer *timer;
	msec due;
	uint64_t order;
};

static struct entry entries[MOST_TIMERS];
static unsigned count;
static uint64_t order, fired, interrupt_at;
static void (*interrupt)(void);
static msec now = FIRST_MOMENT;

msec clock_ms(void)
{
	return now;
}

uint64_t clock_us(void)
{
	return now * 1000u;
}

int64_t clock_wall_ms(void)
{
	return 1767225600000 + (int64_t)now; /* from the first day of 2026 on */
}

int64_t clock_wall_seconds(void)
{
	return clock_wall_ms() / 1000;
}

const char *clock_iso(int64_t wall_ms, char out[CLOCK_ISO_BYTES])
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm;
	char day[20];

	gmtime_r(&seconds, &tm);
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out, CLOCK_ISO_BYTES, "%s.%03uZ", day,
	         (unsigned)(wall_ms % 1000) % 1000u);
	return out;
}

void timer_start(struct timer *t, msec after, timer_fn *fn, void *arg)
{
	timer_stop(t);
	assert(count < MOST_TIMERS);
	t->fn = fn;
	t->arg = arg;
	t->running = true;
	entries[count++] = (struct entry){t, now + after, order++};
}

void timer_stop(struct timer *t)
{
	t->running = false;
	for (unsigned i = 0; i < count; i++)
		if (entries[i].timer == t) {
			entries[i] = entries[--count];
			return;
		}
}

bool timer_running(const struct timer *t)
{
	return t->running;
}

unsigned timers_running(void)
{
	return count;
}

void fake_time_after(uint64_t nth, void (*fn)(void))
{
	interrupt_at = nth > 0 ? fired + nth : 0;
	interrupt = fn;
}

uint64_t fake_time_fired(void)
{
	return fired;
}

void fake_time_reset(void)
{
	assert(count == 0);
	now = FIRST_MOMENT;
	order = fired = interrupt_at = 0;
}

static struct entry *earliest(msec until)
{
	struct entry *best = NULL;

	for (unsigned i = 0; i < count; i++) {
		struct entry *e = &entries[i];

		if (e->due > until)
			continue;
		if (best == NULL || e->due < best->due ||
		    (e->due == best->due && e->order < best->order))
			best = e;
	}
	return best;
}

void pass_ms(msec ms)
{
	msec until = now + ms;
	unsigned at_once = 0;
	struct entry *e;

	while ((e = earliest(until)) != NULL) {
		struct timer *t = e->timer;

		at_once = e->due > now ? 0 : at_once + 1;
		assert(at_once < MOST_AT_ONCE);
		if (e->due > now)
			now = e->due;
		timer_stop(t);
		t->fn(t->arg);
		if (++fired == interrupt_at)
			interrupt();
	}
	if (now < until) /* an interruption may have taken longer */
		now = until;
}
