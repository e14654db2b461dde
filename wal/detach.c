/* wal/detach.c - instances the log is not kept for any more (upkeep.c says when).
 *
 * Nothing is executed at one, nothing read from it, and it is owed nothing; what it
 * holds is not what the log says. */
#include <string.h>

#include "wal/wal_private.h"

static bool detached[CONF_MAX_INSTANCES];

bool detach_is(unsigned i)
{
	return detached[i];
}

void detach_set(unsigned i, bool yes)
{
	detached[i] = yes;
}

/* Nothing is under way there. What was done and is not durable yet ends as usual. In the
 * order of seq, so that each stands first in its lanes when it goes. */
void detach_drop(unsigned i)
{
	struct record *r, *next;

	cold_drop(i);
	for (r = TAILQ_FIRST(engine_records()); r != NULL; r = next) {
		next = TAILQ_NEXT(r, link);
		r->turns[i].broken = r->turns[i].doubt = false;
		if (r->turns[i].state == TURN_QUEUED)
			engine_leave(r, i);
	}
	engine_kick_all();
}

void detach_clear(void)
{
	memset(detached, 0, sizeof(detached));
}
