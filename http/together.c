/* http/together.c - reads that would queue at an instance go there together, in one call.
 *
 * A Chroma answers eight queries in one call in the time of three, and sixteen gets in
 * that of two. There is a line for each kind of read of a collection at an instance.
 *
 * The happy path:
 *   together_waits   few are under way there: it is asked at once, alone (relay.c).
 *                    Otherwise it waits
 *   on_look          one has ended: the first in the line sets out, and all that are like
 *                    it (alike.c) ride along (trip.c)
 * So somebody who is alone waits for nobody, and what came after a call was sent is never
 * answered by it. Where a line leads is looked at again when a call sets out.
 * When it does not go well:
 *   - it is nobody's turn for long: the first sets out all the same, with its company
 *   - the instance may not be asked any more: all in the line choose again
 *   - a call has come to nothing: for a second all go alone
 *   - answers take long or are large: fewer ride together, or none
 *   - a client leaves: it alone is dropped */
#include "http/together.h"

#include <string.h>

#include "core/clock.h"
#include "core/table.h"

#define LINES 256u
#define SEATS 2u            /* calls under way in a line, as long as it moves */
#define CORES 4u            /* an instance is taken to have */
#define WAIT_MS 30u         /* in a line */
#define APART_MS 1000u      /* after a call that came to nothing */
#define WAITING_MOST 512u   /* in a line */
#define READ_MOST 262144u   /* bytes of a body that goes along */
#define BODY_MOST 1048576u  /* of them together */
#define CALL_US 50000u      /* a call is expected to take no longer ... */
#define CALL_BYTES 1048576u /* ... and its answer to be no larger, all parts together */
#define UNKNOWN_MOST 4u     /* reads in the first call */

struct together_figures together_totals;

static struct line lines[LINES];

static void on_look(void *arg);

/* --- lines ----------------------------------------------------------------------- */

static struct line *place_of(const struct exchange *ex, const struct instance *in)
{
	uint64_t key[] = {(uint64_t)ex->collection->id, instance_index(in),
	                  ex->route.verb};

	return &lines[table_hash((const char *)key, sizeof(key)) % LINES];
}

/* NULL: another one is in its place, and has company. */
static struct line *line_for(const struct exchange *ex, const struct instance *in)
{
	struct line *l = place_of(ex, in);

	if (l->in == in && l->collection == ex->collection->id &&
	    l->verb == ex->route.verb)
		return l;
	if (l->under_way > 0 || l->n_waiting > 0)
		return NULL;
	timer_stop(&l->look);
	*l = (struct line){
	        .in = in, .collection = ex->collection->id, .verb = ex->route.verb};
	TAILQ_INIT(&l->waiting);
	return l;
}

static void look_soon(struct line *l)
{
	if (l->n_waiting > 0)
		timer_start(&l->look, 0, on_look, l);
}

void line_call_over(struct line *l)
{
	l->under_way--;
	look_soon(l);
}

static uint64_t smoothed(uint64_t was, uint64_t now)
{
	return was == 0 ? now + 1 : (was * 3 + now) / 4 + 1;
}

/* Where many are under way each takes longer, by as much: that is no reason to let them
 * go alone. */
void line_learn(struct line *l, uint64_t us, size_t bytes, size_t reads)
{
	if (l->under_way > CORES)
		us = us * CORES / l->under_way;
	l->read_us = smoothed(l->read_us, us / reads);
	l->read_bytes = smoothed(l->read_bytes, bytes / reads);
}

void line_apart(struct line *l)
{
	l->apart_until = clock_ms() + APART_MS;
}

/* How many may ride together, by what one read costs. */
static size_t most_riders(const struct line *l)
{
	size_t most = l->read_us == 0 ? UNKNOWN_MOST : ALIKE_MOST;

	if (l->read_us * most > CALL_US)
		most = CALL_US / l->read_us;
	if (l->read_bytes * most > CALL_BYTES)
		most = CALL_BYTES / l->read_bytes;
	return most;
}

static void enter(struct line *l, struct exchange *ex)
{
	struct company *with = &ex->company;

	with->state = COMPANY_WAITING;
	with->line = l;
	if (with->since == 0)
		with->since = clock_ms();
	TAILQ_INSERT_TAIL(&l->waiting, ex, company.next);
	l->n_waiting++;
}

static void leave_line(struct exchange *ex)
{
	struct line *l = ex->company.line;

	TAILQ_REMOVE(&l->waiting, ex, company.next);
	l->n_waiting--;
	ex->company.line = NULL;
	ex->company.state = COMPANY_NONE;
}

/* By itself; relay.c does the rest. */
static void set_off(struct line *l, struct exchange *ex)
{
	l->under_way++;
	ex->company.line = l;
	ex->company.state = COMPANY_UNDER_WAY;
}

/* --- who may wait ---------------------------------------------------------------- */

static bool header_is(const struct exchange *ex, const char *name, const char *wanted)
{
	const char *value = headers_get(&ex->head->headers, name);

	return value != NULL && wanted != NULL ? strcmp(value, wanted) == 0
	                                       : value == wanted;
}

/* By what can be seen without a look into the body. */
static bool may_share(const struct exchange *ex)
{
	enum route_verb verb = ex->route.verb;
	bool count = verb == VERB_COUNT;

	return exchange_conf->merge_reads && !ex->company.refused && ex->rounds == 0 &&
	       ex->tried == 0 && (count || verb == VERB_GET || verb == VERB_QUERY) &&
	       ex->route.query == NULL &&
	       strcmp(ex->head->method, count ? "GET" : "POST") == 0 &&
	       blob_len(ex->body) <= READ_MOST &&
	       (count || header_is(ex, "content-type", "application/json")) &&
	       header_is(ex, "traceparent", NULL);
}

static bool is_free(const struct line *l)
{
	return l->under_way < SEATS && l->n_waiting == 0;
}

static bool has_calls_to_share(const struct line *l)
{
	return clock_ms() >= l->apart_until && most_riders(l) > 1;
}

bool together_waits(struct exchange *ex, struct instance *in)
{
	struct line *l;

	if (ex->company.state == COMPANY_UNDER_WAY)
		return false;
	l = in != NULL && may_share(ex) ? line_for(ex, in) : NULL;
	if (l == NULL)
		return false;
	if (is_free(l) || l->n_waiting == WAITING_MOST || !has_calls_to_share(l) ||
	    !alike_take(&ex->company.alike, ex->route.verb, ex->body)) {
		set_off(l, ex);
		return false;
	}
	enter(l, ex);
	if (l->n_waiting == 1)
		timer_start(&l->look, WAIT_MS, on_look, l);
	return true;
}

/* What it waited for may be that the catalogue went away with our lease. */
void together_go_on(struct exchange *ex)
{
	if (wal_serves())
		ex->again(ex);
	else
		dispatch(ex);
}

/* --- setting out ----------------------------------------------------------------- */

/* The first in the line, and with it all that are like it, as far as there is room. */
static void gather(struct line *l, struct trip *trip, size_t seats)
{
	struct exchange *first = TAILQ_FIRST(&l->waiting), *ex, *next;
	size_t n = 0, bytes = 0, rows = 0;

	for (ex = first; ex != NULL && n < seats; ex = next) {
		const struct alike *a = &ex->company.alike;

		next = TAILQ_NEXT(ex, company.next);
		if (ex->collection != first->collection ||
		    !alike_same(a, &first->company.alike) ||
		    bytes + blob_len(ex->body) > BODY_MOST ||
		    rows + a->rows > ALIKE_ROWS_MOST)
			continue;
		bytes += blob_len(ex->body);
		rows += a->rows;
		leave_line(ex);
		trip_board(trip, ex);
		n++;
	}
}

static void share(struct line *l)
{
	size_t most = most_riders(l), seats = l->n_waiting < most ? l->n_waiting : most;
	struct trip *trip = trip_create(l, seats);

	gather(l, trip, seats);
	l->under_way++;
	trip_set_out(trip);
}

/* Whom the first has for company. */
static bool has_company(const struct line *l)
{
	const struct exchange *first = TAILQ_FIRST(&l->waiting), *ex = first;

	if (!has_calls_to_share(l))
		return false;
	while ((ex = TAILQ_NEXT(ex, company.next)) != NULL)
		if (ex->collection == first->collection &&
		    alike_same(&ex->company.alike, &first->company.alike))
			return true;
	return false;
}

static void go_alone(struct line *l)
{
	struct exchange *first = TAILQ_FIRST(&l->waiting);

	leave_line(first);
	set_off(l, first);
	together_go_on(first);
}

/* As it is when a read that has just come chooses an instance. */
static bool leads_on(const struct line *l)
{
	const struct exchange *first = TAILQ_FIRST(&l->waiting);

	return wal_serves() && first->collection->life != LIFE_GONE &&
	       instance_up(l->in) && wal_current(l->in, first->collection);
}

static void scatter(struct line *l)
{
	struct exchange *first = TAILQ_FIRST(&l->waiting);

	leave_line(first);
	together_go_on(first);
}

static void on_look(void *arg)
{
	struct line *l = arg;
	msec now = clock_ms(), until = 0;

	while (l->n_waiting > 0) {
		until = TAILQ_FIRST(&l->waiting)->company.since + WAIT_MS;
		if (l->under_way >= SEATS && now < until)
			break;
		if (!leads_on(l))
			scatter(l);
		else if (has_company(l))
			share(l);
		else
			go_alone(l);
	}
	if (l->n_waiting > 0)
		timer_start(&l->look, until - now, on_look, l);
}

/* --- leaving --------------------------------------------------------------------- */

void together_over(struct exchange *ex, size_t bytes)
{
	struct line *l = ex->company.line;

	if (ex->company.state != COMPANY_UNDER_WAY)
		return;
	ex->company.state = COMPANY_NONE;
	ex->company.line = NULL;
	if (bytes > 0)
		line_learn(l, ex->upstream_us, bytes, 1);
	line_call_over(l);
}

void together_leave(struct exchange *ex)
{
	switch (ex->company.state) {
	case COMPANY_NONE:
		break;
	case COMPANY_UNDER_WAY:
		together_over(ex, 0);
		break;
	case COMPANY_WAITING:
		leave_line(ex);
		break;
	case COMPANY_RIDING:
		trip_leave(ex);
		break;
	}
}

void together_stop(void)
{
	for (size_t k = 0; k < LINES; k++)
		timer_stop(&lines[k].look);
}
