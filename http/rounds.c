/* http/rounds.c - a read that no instance can answer as it should be answered: wait, ask
 * again, or make do.
 *
 * Its ex->again is how it asks; relay.c goes through those that are current (ex->tried).
 *   rounds_wait           none is current: look again for two seconds, for catching up
 *                         takes milliseconds; where another proxy leads for ten, for it
 *                         may have gone, and nobody knows what it has answered
 *   rounds_another_comes  one that is current has answered with an error: is there one
 *                         that may soon be current, too, and do better?
 *   rounds_next           all that were current have failed: another round
 *   rounds_left           may there be one?
 * When it does not get better: those that failed are asked again, a few rounds at most;
 * then the one least behind, told how far (STALE_READS), or nobody. */
#include "http/exchange.h"

#define HOLD_MS 2000u
#define HOLD_FOLLOWING_MS 10000u
#define ROUNDS_MOST 3u

/* It is up and was not asked, for it lacks something: soon it may not. */
static bool may_come(const struct exchange *ex, const struct instance *in)
{
	return instance_up(in) && relay_untried(ex, in) &&
	       (ex->collection == NULL || wal_readable(in, ex->collection));
}

bool rounds_left(const struct exchange *ex)
{
	return ex->rounds + 1 < ROUNDS_MOST;
}

bool rounds_another_comes(struct exchange *ex)
{
	if (!rounds_left(ex))
		return false;
	for (unsigned i = 0; i < health_count(); i++)
		if (may_come(ex, health_instance(i)))
			return true;
	return false;
}

/* One of those that failed may be down by now, and the others be current in a moment. */
void rounds_next(struct exchange *ex)
{
	if (!rounds_another_comes(ex) && ex->rounds < ROUNDS_MOST)
		ex->tried = 0;
	ex->rounds++;
	ex->refreshed = false; /* what it was told may be why */
	ex->again(ex);
}

void rounds_wait(struct exchange *ex, const struct relay_plan *stale, struct blob *body)
{
	msec most = wal_follows() ? HOLD_FOLLOWING_MS : HOLD_MS;

	if (exchange_hold(ex, most, ex->again))
		return;
	if (ex->tried != 0 && ex->rounds < ROUNDS_MOST)
		rounds_next(ex); /* the others did not come: those that failed, again */
	else if (exchange_conf->stale_reads == STALE_READS_ALLOW)
		relay_start(ex, stale, body);
	else
		relay_gave_up(ex);
}
