/* wal/pace.c - while an instance that is up catches up with a lane, each new record there
 * waits until that one has done two: otherwise clients could keep the one ahead so busy
 * that the other never gets there. Not long, and not what has waited in its lane already:
 * a client waits. And where one has waited in vain, for a lane that cannot go on (what is
 * before it fails, or hangs, or rests), no other does before the lane has moved. */
#include "wal/engine.h"
#include "wal/record.h"
#include "wal/scope.h"

#define BEHIND 16u
#define RECORDS 2u
#define MOST_MS 300u
#define WAITED_MS 1000u

static bool is_at_work(const struct lane *lane, unsigned j)
{
	return lane->head != NULL && lane->head->record->turns[j].state == TURN_SENT;
}

static bool must_wait(struct record *r, unsigned j, uint64_t passed)
{
	struct lane *lane = &r->members[0].scope->lanes[j];
	msec now = clock_ms();

	if (r->pace_until == 0) {
		r->pace_until = now + MOST_MS;
		r->pace_goal = passed + RECORDS;
	}
	if (now < r->pace_until)
		return passed < r->pace_goal;
	if (passed + RECORDS == r->pace_goal && !is_at_work(lane, j))
		lane->in_vain = passed + 1;
	return false;
}

bool pace_holds(struct record *r, unsigned i)
{
	uint64_t passed;

	if (clock_ms() - r->entered > WAITED_MS)
		return false;
	for (unsigned j = 0; j < health_count(); j++)
		if (instance_writable(health_instance(j)) && !pause_is_on(j) &&
		    scope_leaves_behind(r, i, j, BEHIND, &passed))
			return must_wait(r, j, passed);
	return false;
}
