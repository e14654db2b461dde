/* health/choose.c - pure: the instance that is to serve a read.
 *
 * The strategy says which one is wanted; when that one may not serve, any that may is
 * better than none. */
#include "health/health_private.h"

static unsigned first(const struct candidate *list, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (list[i].may_serve)
			return i;
	return CHOOSE_NONE;
}

/* The turn-th of those that may serve, so that when one is out the others share evenly.
 */
static unsigned in_turn(const struct candidate *list, unsigned n, unsigned turn)
{
	unsigned able = 0;

	for (unsigned i = 0; i < n; i++)
		able += list[i].may_serve ? 1 : 0;
	if (able == 0)
		return CHOOSE_NONE;
	turn %= able;
	for (unsigned i = 0; i < n; i++)
		if (list[i].may_serve && turn-- == 0)
			return i;
	return CHOOSE_NONE;
}

/* The least loaded of those after the first; equals take turns. */
static unsigned replica(const struct candidate *list, unsigned n, unsigned turn)
{
	unsigned best = CHOOSE_NONE;

	for (unsigned step = 0; step + 1 < n; step++) {
		unsigned i = 1 + (turn + step) % (n - 1);

		if (list[i].may_serve &&
		    (best == CHOOSE_NONE || list[i].load < list[best].load))
			best = i;
	}
	return best;
}

static unsigned by_share(const struct candidate *list, unsigned n, bool want_replica,
                         unsigned turn)
{
	unsigned wanted = CHOOSE_NONE;

	if (want_replica || !list[0].may_serve)
		wanted = replica(list, n, turn);
	return wanted != CHOOSE_NONE ? wanted : first(list, n);
}

unsigned choose(const struct candidate *list, unsigned n, enum conf_strategy strategy,
                double replica_ratio, double chance, unsigned turn)
{
	if (n == 0)
		return CHOOSE_NONE;
	switch (strategy) {
	case STRATEGY_OPTIMIZED_READ_REPLICA:
		return by_share(list, n, chance < replica_ratio, turn);
	case STRATEGY_ROUND_ROBIN:
		return in_turn(list, n, turn);
	case STRATEGY_PRIMARY_ONLY:
		break;
	}
	return first(list, n);
}
