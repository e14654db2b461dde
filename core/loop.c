/* core/loop.c - the one event loop and how it ends. */
#include "core/loop.h"

#include <assert.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>

#include "core/mem.h"

#define SETTLE_TURNS 10

static struct event_base *base;
static loop_signal_fn *tell;

/* libevent's memory is ours: it never runs out of it either, and what it wants zeroed
 * does not come from calloc() (core/mem.c). */
void loop_start(void)
{
	struct event_config *config;

	event_set_mem_functions(mem_bare, mem_resize, mem_free);
	config = event_config_new();
	/* One thread: no locks. */
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	base = event_base_new_with_config(config);
	event_config_free(config);
	if (base == NULL)
		abort();
	signal(SIGPIPE, SIG_IGN);
}

static void on_signal(evutil_socket_t signal, short what, void *arg)
{
	(void)what;
	(void)arg;
	tell((int)signal);
}

void loop_run(loop_signal_fn *on_stop)
{
	struct event *term = evsignal_new(base, SIGTERM, on_signal, NULL);
	struct event *intr = evsignal_new(base, SIGINT, on_signal, NULL);

	tell = on_stop;
	event_add(term, NULL);
	event_add(intr, NULL);
	event_base_dispatch(base);
	event_free(term);
	event_free(intr);
}

void loop_end(void)
{
	event_base_loopbreak(base);
}

/* Operations that ended while the layers stopped are delivered and released from the
 * loop: a few turns, without waiting for anything. */
static void settle(void)
{
	for (int turn = 0; turn < SETTLE_TURNS; turn++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

void loop_stop(void)
{
	settle();
	event_base_free(base);
	base = NULL;
	libevent_global_shutdown();
}

struct event_base *loop_base(void)
{
	assert(base != NULL);
	return base;
}
