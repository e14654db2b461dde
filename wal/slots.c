/* wal/slots.c - how many calls are under way at an instance, and whose is the next.
 *
 * A Chroma executes writes one after the other, whatever their collections. One more call
 * there only waits there; here, what waits is joined by others of its lane, and goes with
 * them in one call. So as long as calls end there are few of them; when none has ended
 * for a while, one that is slow or hangs does not hold up the others: one more goes, and
 * so on until there are MAX_WORKERS.
 *
 *   slots_has_room   may this one start?
 *   slots_wait       no: it stands in line
 *   slots_serve      something has ended: in turn the one that has waited longest, and
 * the one with the most behind it in its lane */
#include <string.h>

#include "core/clock.h"
#include "wal/engine.h"
#include "wal/record.h"
#include "wal/scope.h"

#define FEW 2u
#define SLOW_MS 200u
#define LOOKED_AT_MOST 64u

static unsigned most;
static const struct record *chosen; /* of those in line: its turn has come */

static struct slots {
	unsigned in_flight;
	unsigned ended; /* since something cold was woken there */
	msec moved;     /* when the last one has begun or ended */
	TAILQ_HEAD(, turn) line;
	bool by_age; /* the last one was chosen so */
	struct timer look;
} all[CONF_MAX_INSTANCES];

static bool is_free(const struct slots *s)
{
	return s->in_flight < FEW || clock_ms() - s->moved >= SLOW_MS;
}

bool slots_are_free(unsigned i)
{
	return all[i].in_flight < most && is_free(&all[i]);
}

/* A lane that goes on without a pause leaves room for those that wait. */
bool slots_has_room(const struct record *r, unsigned i)
{
	return slots_are_free(i) && (chosen == r || TAILQ_EMPTY(&all[i].line));
}

static void on_look(void *arg)
{
	struct slots *s = arg;

	slots_serve((unsigned)(s - all));
}

static void look_later(struct slots *s)
{
	if (!TAILQ_EMPTY(&s->line) && s->in_flight < most && !timer_running(&s->look))
		timer_start(&s->look, SLOW_MS, on_look, s);
}

void slots_wait(struct record *r, unsigned i)
{
	struct turn *t = &r->turns[i];

	if (t->blocked)
		return;
	t->blocked = true;
	TAILQ_INSERT_TAIL(&all[i].line, t, blocked_link);
	look_later(&all[i]);
}

void slots_leave(struct record *r, unsigned i)
{
	struct turn *t = &r->turns[i];

	if (t->blocked)
		TAILQ_REMOVE(&all[i].line, t, blocked_link);
	t->blocked = false;
}

void slots_take(unsigned i)
{
	all[i].in_flight++;
	all[i].moved = clock_ms();
}

void slots_give(unsigned i)
{
	all[i].in_flight--;
	all[i].ended++;
	all[i].moved = clock_ms();
}

static unsigned behind(const struct turn *t, unsigned i)
{
	return t->record->members[0].scope->lanes[i].behind;
}

static struct record *next(struct slots *s, unsigned i)
{
	struct turn *t = TAILQ_FIRST(&s->line), *longest = t;

	s->by_age = !s->by_age;
	for (unsigned n = 0; !s->by_age && t != NULL && n < LOOKED_AT_MOST; n++) {
		if (behind(t, i) > behind(longest, i))
			longest = t;
		t = TAILQ_NEXT(t, blocked_link);
	}
	return longest != NULL ? longest->record : NULL;
}

void slots_serve(unsigned i)
{
	struct record *r;

	while (slots_are_free(i) && (r = next(&all[i], i)) != NULL) {
		slots_leave(r, i);
		chosen = r;
		engine_kick(r);
		chosen = NULL;
	}
	look_later(&all[i]);
}

bool slots_some_ended(unsigned i)
{
	return all[i].in_flight == 0 || all[i].ended >= most;
}

void slots_woken(unsigned i)
{
	all[i].ended = 0;
}

unsigned slots_in_flight(unsigned i)
{
	return all[i].in_flight;
}

void slots_start(unsigned max_workers)
{
	most = max_workers;
	slots_clear();
}

void slots_clear(void)
{
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++) {
		timer_stop(&all[i].look);
		all[i] = (struct slots){0};
		TAILQ_INIT(&all[i].line);
	}
}
