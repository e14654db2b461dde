/* wal/pause.c - an instance is taken out of execution for a while, so that all that it
 * holds can be read as of one place in the log.
 *
 *   wal_pause    everything that is in the log by now is still executed there, nothing
 *                behind it; the others go on, clients notice nothing
 *   wal_paused   it has come to that place, durably: what it shows is that place
 *   wal_resume   it catches up, as after any other absence
 * When it does not go well: whoever asked for it never comes back (he must see to that
 * with a lease: http/export.c); we no longer lead, or die: it is forgotten with us.
 *
 * While it lasts nobody waits for that instance: it is not one that catches up (pace.c),
 * and nothing is made anew there (rebuild.c). Nor are records passed there unexecuted
 * because their collection has been deleted since: the place is before the delete. */
#include "wal/append.h"
#include "wal/engine.h"
#include "wal/record.h"

static struct {
	bool on;
	wal_seq upto;
} pauses[CONF_MAX_INSTANCES];

bool pause_is_on(unsigned i)
{
	return pauses[i].on;
}

bool pause_holds(const struct record *r, unsigned i)
{
	return pauses[i].on && r->seq > pauses[i].upto;
}

bool wal_pause(const struct instance *in, wal_seq *upto)
{
	unsigned i = instance_index(in);
	int64_t at_wall_ms;

	if (!wal_leads() || pauses[i].on || cold_first(i, &at_wall_ms) != 0)
		return false;
	pauses[i].on = true;
	pauses[i].upto = *upto = append_last_seq();
	return true;
}

bool wal_pausing(const struct instance *in)
{
	return pauses[instance_index(in)].on;
}

bool wal_paused(const struct instance *in)
{
	unsigned i = instance_index(in);

	return pauses[i].on && engine_floor(i) >= pauses[i].upto;
}

void wal_resume(const struct instance *in)
{
	unsigned i = instance_index(in);

	if (!pauses[i].on)
		return;
	pauses[i].on = false;
	engine_kick_all();
}

void pause_clear(void)
{
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++)
		pauses[i].on = false;
}
