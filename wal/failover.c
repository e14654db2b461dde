/* wal/failover.c - where writes go first: the first instance, in order of preference,
 * that takes them. When that has become another one for a quarter of a second it is a
 * failover; also back. Not: that at the start a better one was heard of later, or that an
 * instance has just come up, or was asked anew who it is, and has yet to prove that it
 * takes writes. */
#include <string.h>

#include "core/log.h"
#include "core/timer.h"
#include "wal/lead.h"

#define HOLD_MS 250u
#define PROVING_MS 2000

static struct {
	struct timer hold;
	int last;                           /* where they went; -1: nowhere yet */
	bool was_there[CONF_MAX_INSTANCES]; /* has taken writes before */
	uint64_t counts[CONF_MAX_INSTANCES][CONF_MAX_INSTANCES];
} failover;

bool failover_settled(const struct instance *in)
{
	int64_t since = instance_figures(in).since_wall_ms;

	if (instance_health(in) == HEALTH_UNKNOWN)
		return false;
	return instance_health(in) == HEALTH_DOWN || instance_writable(in) ||
	       clock_wall_ms() - since > PROVING_MS;
}

int failover_target(void)
{
	for (unsigned i = 0; i < health_count(); i++)
		if (instance_writable(health_instance(i)))
			return (int)i;
	return -1;
}

static void count(int from, int to)
{
	if (from < 0 || from == to || (to < from && !failover.was_there[to]))
		return;
	failover.counts[from][to]++;
	log_warn("failover", "writes go first to instance %s, not to %s any more",
	         instance_name(health_instance((unsigned)to)),
	         instance_name(health_instance((unsigned)from)));
}

/* Every one that would come before it has said what it is. */
static bool is_clear(int target)
{
	for (unsigned i = 0; (int)i < target; i++)
		if (!failover_settled(health_instance(i)))
			return false;
	return target >= 0;
}

static void on_held(void *arg)
{
	int now = failover_target();

	(void)arg;
	if (!is_clear(now)) {
		if (now >= 0)
			timer_start(&failover.hold, HOLD_MS, on_held, NULL);
		return;
	}
	count(failover.last, now);
	failover.last = now;
	for (unsigned i = 0; i < health_count(); i++)
		if (instance_writable(health_instance(i)))
			failover.was_there[i] = true;
}

static void on_change(struct instance *in, enum health was, void *arg)
{
	(void)in;
	(void)was;
	(void)arg;
	timer_start(&failover.hold, HOLD_MS, on_held, NULL);
}

uint64_t wal_failovers(unsigned from, unsigned to)
{
	return failover.counts[from][to];
}

void failover_start(void)
{
	memset(&failover, 0, sizeof(failover));
	failover.last = -1;
	health_on_change(on_change, NULL);
}

void failover_stop(void)
{
	timer_stop(&failover.hold);
}
