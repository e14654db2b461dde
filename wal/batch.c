/* wal/batch.c - which records go to an instance in one call.
 *
 * A Chroma takes nearly as long for one item as for fifty. So whatever waits behind the
 * head of a lane when its turn begins goes along with it: records of the same kind, one
 * after the other, merged into one call (merge.c).
 *
 *   batch_begin    the head, alone
 *   batch_gather   those behind it that may go along; from now on they are sent
 *   batch_bodies   reads from the log what memory has let go
 *   batch_merge    one body; those that do not fit after all are given back
 *
 * How many there may be adapts to each lane: twice as many when a full call was applied,
 * half when one was not, so that a record that fails is alone after a few calls, and its
 * neighbours are not held up by it (judge.c). */
#include <stdlib.h>

#include "core/mem.h"
#include "wal/calls.h"
#include "wal/engine.h"
#include "wal/record.h"
#include "wal/scope.h"
#include "wal/unproven.h"

#define BYTES_UNDER_PRESSURE (1024u * 1024u)
#define BODIES_MOST (48u * 1024u * 1024u)

static struct {
	unsigned first, most;
	size_t bytes_most;
	size_t bodies_most; /* in memory, before it counts as short */
} limits;

static size_t reads; /* of all batches there are */

void batch_start(const struct conf *conf)
{
	limits.most = (unsigned)conf->max_batch_size;
	limits.first = (unsigned)conf->default_batch_size;
	if (limits.first > limits.most)
		limits.first = limits.most;
	limits.bodies_most = (size_t)conf->max_memory_mb * 1024 * 1024 / 8;
	if (limits.bodies_most > BODIES_MOST)
		limits.bodies_most = BODIES_MOST;
	limits.bytes_most = (size_t)conf->max_batch_bytes;
	if (limits.bytes_most > limits.bodies_most)
		limits.bytes_most = limits.bodies_most;
}

/* --- how many ------------------------------------------------------------------------
 */

static struct lane *lane_of(const struct record *r, unsigned i)
{
	return &r->members[0].scope->lanes[i];
}

unsigned batch_most(const struct lane *lane)
{
	return lane->most > 0 ? lane->most : limits.first;
}

void batch_worked(const struct record *head, unsigned i, size_t n)
{
	struct lane *lane = lane_of(head, i);
	unsigned most = batch_most(lane);

	if (n >= most)
		lane->most = most * 2 < limits.most ? most * 2 : limits.most;
}

void batch_failed(const struct record *head, unsigned i, size_t n)
{
	lane_of(head, i)->most = n > 2 ? (unsigned)n / 2 : 1;
}

bool batch_memory_is_short(void)
{
	return blob_total() > limits.bodies_most;
}

static size_t bytes_most(void)
{
	return batch_memory_is_short() && limits.bytes_most > BYTES_UNDER_PRESSURE
	               ? BYTES_UNDER_PRESSURE
	               : limits.bytes_most;
}

/* --- who -----------------------------------------------------------------------------
 */

static bool is_sociable(const struct record *r)
{
	return !r->alone &&
	       (r->decision == DECISION_OPEN || r->decision == DECISION_ACCEPTED);
}

static bool has_a_place(const struct record *head, unsigned i)
{
	const struct collection *c = head->collection;

	return c->life != LIFE_GONE && c->db->life != LIFE_GONE &&
	       !uuid_none(&c->local[i]);
}

static bool goes_along(const struct record *head, const struct record *r, unsigned i)
{
	const struct turn *t = &r->turns[i];

	if (r->kind != head->kind || !is_sociable(r) || scope_is_behind_cold(r, i) ||
	    pause_holds(r, i))
		return false;
	if (t->state != TURN_QUEUED || t->execution != NULL || t->blocked)
		return false;
	return r->decision == DECISION_ACCEPTED ||
	       (r->executor < 0 && !scope_is_held(r) && !suspect_holds(r, i) &&
	        !unproven_holds(r, i));
}

void batch_begin(struct batch *b, struct record *head, unsigned i)
{
	*b = (struct batch){.instance = i, .n = 1};
	b->records = mem_new(struct record *);
	b->records[0] = head;
}

void batch_gather(struct batch *b)
{
	struct record *head = b->records[0];
	unsigned i = b->instance, most = batch_most(lane_of(head, i));
	size_t bytes = head->body_len, bytes_left = bytes_most();
	struct record *r = head;

	if (!record_runs(head->kind) || !is_sociable(head) || !has_a_place(head, i))
		return;
	b->records = mem_resize(b->records, most * sizeof(struct record *));
	while (b->n < most && (r = scope_next(r, i)) != NULL && goes_along(head, r, i)) {
		bytes += r->body_len;
		if (bytes > bytes_left)
			break;
		engine_join(r, i);
		b->records[b->n++] = r;
	}
}

/* An open one another instance may execute at once. */
void batch_part(struct batch *b, size_t from)
{
	size_t n = b->n;

	for (size_t k = from; k < n; k++)
		engine_part(b->records[k], b->instance);
	if (from < n)
		b->n = from;
	if (b->n == 1)
		blob_unref(&b->body);
	for (size_t k = from; k < n; k++)
		engine_kick(b->records[k]);
}

/* --- what ----------------------------------------------------------------------------
 */

static const struct pg_statement fetch = {
        "fetch", "SELECT body, convert_to(trace, 'UTF8') FROM chromatid.log"
                 " WHERE seq = $1"};

static bool lacks_body(const struct record *r)
{
	return r->body == NULL && r->body_len > 0;
}

/* Above that they wait for one another; a single one never does. */
bool batch_may_read(const struct batch *b)
{
	const struct record *head = b->records[0];

	return !lacks_body(head) || reads == 0 ||
	       reads + head->body_len <= limits.bodies_most;
}

struct pg_unit *batch_bodies(struct batch *b)
{
	struct pg_unit *unit = NULL;

	for (size_t k = 0; k < b->n; k++) {
		if (!lacks_body(b->records[k]))
			continue;
		if (unit == NULL) {
			unit = pg_unit_create();
			b->asked = mem_array(b->n, sizeof(bool));
		}
		b->asked[k] = true;
		b->reads += b->records[k]->body_len;
		pg_add(unit, &fetch, 1, (struct pg_param[]){pg_int8(b->records[k]->seq)});
		pg_wants_bytes(unit);
	}
	reads += b->reads;
	return unit;
}

/* What was kept cold has lost it. */
static void take_trace(struct record *r, const struct pg_results *results, int at)
{
	const char *trace;
	size_t len;

	if (r->trace.set || pg_is_null(results, at, 0, 1))
		return;
	trace = pg_get_bytes(results, at, 0, 1, &len);
	trace_parse(&r->trace, trace, len);
}

/* Another instance may have read some of them meanwhile. */
bool batch_take_bodies(struct batch *b, const struct pg_results *results)
{
	int at = 0;

	for (size_t k = 0; k < b->n; k++) {
		const void *bytes;
		size_t len;

		if (!b->asked[k])
			continue;
		if (pg_rows(results, at) != 1)
			return false;
		take_trace(b->records[k], results, at);
		bytes = pg_get_bytes(results, at++, 0, 0, &len);
		if (lacks_body(b->records[k]))
			b->records[k]->body = blob_create(bytes, len);
	}
	return true;
}

void batch_merge(struct batch *b)
{
	struct merge m;
	size_t n = 0;

	if (b->n == 1)
		return;
	merge_begin(&m);
	while (n < b->n && merge_add(&m, b->records[0]->kind, b->records[n]->body))
		n++;
	for (size_t k = 0; k < n; k++)
		b->records[k]->items = (unsigned)m.parts[k].items;
	if (n > 1)
		b->body = merge_body(&m);
	merge_clear(&m);
	batch_part(b, n > 1 ? n : 1);
}

void batch_clear(struct batch *b)
{
	reads -= b->reads;
	free(b->records);
	free(b->asked);
	blob_unref(&b->body);
	*b = (struct batch){0};
}

/* What a Chroma would have said to this one alone; NULL: what it said to all. */
struct blob *batch_answer(const struct record *r)
{
	struct text said = {0};
	size_t len;

	if (r->kind != RECORD_DELETE)
		return NULL;
	text_addf(&said, "{\"deleted\":%u}", r->items);
	len = said.len;
	return blob_adopt(text_detach(&said), len);
}
