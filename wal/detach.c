/* wal/detach.c - instances the log is not kept for any more (upkeep.c says when).
 *
 * Nothing is executed at one, nothing read from it, and it is owed nothing; what it
 * holds is not what the log says.
 *
 *   detach_begin              it is to be given up: nothing is begun there, or read. What
 *                             is logged is owed to it as before
 *   detach_drop               that is durable: what it is owed goes
 *   detach_returns            it answers again: from now on records are owed to it; as
 *                             soon as what was logged before no longer changes which
 *                             collections there are, they are all put into quarantine
 *                             there (identity.c, resync.c) and made anew
 *   detach_add_end            that is durable: so is its return, with a floor that
 *                             leaves out what came before
 * Whoever dies before that finds it detached, and all is done again. */
#include <string.h>

#include "core/log.h"
#include "wal/append.h"
#include "wal/engine.h"
#include "wal/heal.h"
#include "wal/record.h"

static struct {
	bool giving; /* it is about to be; that is not durable yet */
	bool detached, returning;
	wal_seq since; /* returning: what is behind it is owed */
} of[CONF_MAX_INSTANCES];

bool detach_is(unsigned i)
{
	return of[i].giving || of[i].detached;
}

bool detach_is_durable(unsigned i)
{
	return of[i].detached;
}

bool detach_is_returning(unsigned i)
{
	return of[i].returning;
}

void detach_begin(unsigned i, bool yes)
{
	of[i].giving = yes;
}

void detach_set(unsigned i, bool yes)
{
	of[i].giving = false;
	of[i].detached = yes;
}

/* Nothing is under way there. What was done and is not durable yet ends as usual. In the
 * order of seq, so that each stands first in its lanes when it goes. */
void detach_drop(unsigned i)
{
	struct record *r, *next;

	detach_set(i, true);
	of[i].returning = false;
	cold_drop(i);
	for (r = TAILQ_FIRST(engine_records()); r != NULL; r = next) {
		next = TAILQ_NEXT(r, link);
		r->turns[i].broken = r->turns[i].doubt = false;
		if (r->turns[i].state == TURN_QUEUED)
			engine_leave(r, i);
	}
	engine_kick_all();
}

/* --- its return -------------------------------------------------------------------- */

/* A collection that is being made would be neither owed there nor missed. */
static bool is_settled_up_to(wal_seq seq)
{
	const struct record *r;

	TAILQ_FOREACH (r, engine_records(), link)
		if (r->seq <= seq && record_is_open(r) && !record_is_item(r->kind))
			return false;
	return true;
}

bool detach_returns(unsigned i)
{
	if (of[i].giving)
		return false; /* whether it is given up is not known yet */
	if (of[i].detached) {
		of[i].detached = false;
		of[i].returning = true;
		of[i].since = append_last_seq();
	}
	return !of[i].returning || is_settled_up_to(of[i].since);
}

static const struct pg_statement set_attached = {
        "set_attached", "UPDATE chromatid.instance SET detached = false,"
                        " floor = greatest(floor, $2) WHERE id = $1"};

void detach_add_end(struct pg_unit *unit, unsigned i)
{
	pg_add(unit, &set_attached, 2,
	       (struct pg_param[]){pg_int4(store_instance_id(i)), pg_int8(of[i].since)});
}

void detach_ended(unsigned i)
{
	if (!of[i].returning)
		return;
	of[i].returning = false;
	log_info("retention", "instance %s: the log is kept for it again",
	         instance_name(health_instance(i)));
}

void detach_clear(void)
{
	memset(of, 0, sizeof(of));
}
