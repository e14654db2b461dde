/* wal/suspect.c - records that may be deadly.
 *
 * A Chroma can be killed by a single request, every time it sees it. When an instance
 * dies while it executes a record, that record is a suspect: the death may be a
 * coincidence (by far the most are), but on the last instance left it must not be tried
 * lightly.
 *
 *   - The connection breaks: nobody else executes the record until a probe has told
 *     whether the instance lives. It does: no suspicion.
 *   - It is dead, and only one other is left: for HOLD_MS its return is waited for, and
 *     the record tried there first. A killer shows itself then, without touching the
 *     last one. Longer is not waited: most deaths are coincidences, clients wait.
 *     (A repeat that meets no one there changes nothing: only an answer does.)
 *   - Two deaths: it goes to no instance that is the last one, however long it takes.
 *   - Three: it is given up (judge.c), never sent again. */
#include "wal/engine.h"
#include "wal/record.h"

#define HOLD_MS 1500u
#define DEATHS_BEFORE_FEAR 2u
#define DEATHS_MOST 3u

static unsigned suspect_deaths(const struct record *r)
{
	unsigned n = 0;

	for (unsigned i = 0; i < health_count(); i++)
		n += r->turns[i].deaths;
	return n;
}

static bool holds(const struct record *r, unsigned i)
{
	const struct turn *t = &r->turns[i];
	const struct instance *in = health_instance(i);

	if (instance_doubted(in))
		return true;
	if (instance_up(in) || health_up_count() > 1)
		return false;
	return suspect_deaths(r) >= DEATHS_BEFORE_FEAR ||
	       clock_ms() < t->broken_at + HOLD_MS;
}

bool suspect_holds(const struct record *r, unsigned i)
{
	for (unsigned j = 0; j < health_count(); j++)
		if (j != i && r->turns[j].broken && holds(r, j))
			return true;
	return false;
}

void suspect_broken(struct record *r, unsigned i)
{
	r->alone = true;
	r->turns[i].broken = true;
	r->turns[i].dead = false;
	r->turns[i].broken_at = clock_ms();
}

bool suspect_died(struct record *r, unsigned i)
{
	struct turn *t = &r->turns[i];
	bool open = record_is_open(r);

	/* A break that is older has nothing to do with it. */
	if (t->dead || !t->broken || clock_ms() > t->broken_at + HOLD_MS)
		return false;
	t->dead = true;
	t->deaths++;
	t->broken_at = clock_ms();
	return (open ? suspect_deaths(r) : t->deaths) >= DEATHS_MOST;
}
