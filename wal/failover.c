/* wal/failover.c - where writes go first: the first instance, in order of preference,
 * that takes them. When that becomes another one, it is a failover; also back. Not: that
 * at the start a better one was heard of later. */
#include <string.h>

#include "wal/wal_private.h"

static struct {
	int now, last;                      /* -1: none; the last one that was not none */
	bool was_there[CONF_MAX_INSTANCES]; /* has taken writes before */
	uint64_t counts[CONF_MAX_INSTANCES][CONF_MAX_INSTANCES];
} failover;

static int first_writable(void)
{
	for (unsigned i = 0; i < health_count(); i++)
		if (instance_writable(health_instance(i)))
			return (int)i;
	return -1;
}

static void count(int from, int to)
{
	if (from >= 0 && from != to && (to > from || failover.was_there[to]))
		failover.counts[from][to]++;
}

static void on_change(struct instance *in, enum health was, void *arg)
{
	(void)was;
	(void)arg;
	failover.now = first_writable();
	if (failover.now >= 0) {
		count(failover.last, failover.now);
		failover.last = failover.now;
	}
	if (instance_writable(in))
		failover.was_there[instance_index(in)] = true;
}

int failover_target(void)
{
	return failover.now;
}

uint64_t wal_failovers(unsigned from, unsigned to)
{
	return failover.counts[from][to];
}

void failover_start(void)
{
	memset(&failover, 0, sizeof(failover));
	failover.now = failover.last = -1;
	health_on_change(on_change, NULL);
}
