/* core/timer.c - one-shot timers on the loop. */
#include "core/timer.h"

#include <event2/event.h>

#include "core/loop.h"

static void on_fire(evutil_socket_t fd, short what, void *arg)
{
	struct timer *t = arg;

	(void)fd;
	(void)what;
	t->running = false;
	t->fn(t->arg);
}

void timer_start(struct timer *t, msec after, timer_fn *fn, void *arg)
{
	struct timeval wait = {.tv_sec = (time_t)(after / 1000),
	                       .tv_usec = (suseconds_t)(after % 1000 * 1000)};

	timer_stop(t);
	t->fn = fn;
	t->arg = arg;
	t->running = true;
	event_assign(&t->event, loop_base(), -1, EV_TIMEOUT, on_fire, t);
	if (after == 0)
		event_active(&t->event, EV_TIMEOUT, 0);
	else
		event_add(&t->event, &wait);
}

void timer_stop(struct timer *t)
{
	if (!t->running)
		return;
	t->running = false;
	event_del(&t->event);
}

bool timer_running(const struct timer *t)
{
	return t->running;
}
