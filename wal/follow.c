/* wal/follow.c - how closely an instance follows the one that answers the clients.
 *
 * What it has to execute nobody waits for; but executed beside the next write it takes
 * that one's processor and disk. So while clients go on writing to a collection, the
 * others let records come together and take them in one call: until nothing has come for
 * a moment, there is enough for a call, or the first has waited long enough. When the one
 * ahead is not well they do not wait: then clients wait for them. */
#include "wal/calls.h"
#include "wal/engine.h"
#include "wal/record.h"
#include "wal/scope.h"

#define QUIET_MS 10u
#define LONGEST_MS 100u

static bool goes_on(const struct scope *s, msec now)
{
	const struct member *last = TAILQ_LAST(&s->members, member_list);

	return now - last->record->entered < QUIET_MS;
}

bool follow_holds(const struct record *r, unsigned i)
{
	const struct scope *s = r->members[0].scope;
	msec now = clock_ms();

	if (!record_runs(r->kind) || r->decided_by < 0 || r->decided_by == (int)i ||
	    now - r->entered >= LONGEST_MS)
		return false;
	return instance_writable(health_instance((unsigned)r->decided_by)) &&
	       s->lanes[i].behind < batch_most(&s->lanes[i]) && goes_on(s, now);
}
