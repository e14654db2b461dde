/* core/lag.c - a timer that is due every 100 ms, and how much later it comes. */
#include "core/lag.h"

#include "core/clock.h"
#include "core/timer.h"

#define EVERY_MS 100u
#define EVERY_US (EVERY_MS * (uint64_t)1000)
#define SECONDS 10u

static struct {
	struct timer timer;
	uint64_t due_us;
	struct lag_figures figures;
	struct {
		uint64_t second, max_us;
	} recent[SECONDS]; /* by second, modulo their number */
} lag;

static void remember(uint64_t now_us, uint64_t late_us)
{
	uint64_t second = now_us / 1000000u;
	unsigned at = (unsigned)(second % SECONDS);

	if (lag.recent[at].second != second) {
		lag.recent[at].second = second;
		lag.recent[at].max_us = 0;
	}
	if (late_us > lag.recent[at].max_us)
		lag.recent[at].max_us = late_us;
}

static void on_due(void *arg);

static void wait_again(void)
{
	lag.due_us = clock_us() + EVERY_US;
	timer_start(&lag.timer, EVERY_MS, on_due, NULL);
}

static void on_due(void *arg)
{
	uint64_t now_us = clock_us();
	uint64_t late_us = now_us > lag.due_us ? now_us - lag.due_us : 0;

	(void)arg;
	lag.figures.last_us = late_us;
	lag.figures.sum_us += late_us;
	lag.figures.looks++;
	remember(now_us, late_us);
	wait_again();
}

void lag_start(void)
{
	wait_again();
}

void lag_stop(void)
{
	timer_stop(&lag.timer);
}

void lag_figures(struct lag_figures *out)
{
	uint64_t second = clock_us() / 1000000u;

	*out = lag.figures;
	for (unsigned i = 0; i < SECONDS; i++)
		if (lag.recent[i].second + SECONDS > second &&
		    lag.recent[i].max_us > out->max_us)
			out->max_us = lag.recent[i].max_us;
}
