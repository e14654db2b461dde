/* wal/cold.c - what only an instance that is away lacks, kept in a few bytes a record.
 *
 * An instance may be down for days, and what it is owed may be millions of records. One
 * that every other instance has durably executed needs neither its body nor its object:
 * its place is enough, the rest is in the log.
 *
 *   cold_takes   the record is kept cold from now on, in its lane there
 *   cold_wake    the instance has room for work: the next of a lane become records again,
 *                as many as go in one call, in front of everything newer
 *   cold_turn    the lane has moved, or is free again: is it the turn of what is cold?
 *
 * A lane that waits for a record of its own, or is parked, is set aside until it moves:
 * however many there are, they do not stand before those that can go on.
 *
 * What is odd in any way (in doubt, failed before, not an item write, not accepted) stays
 * a record. Of a collection that was deleted since, all that is owed is left out: only
 * the position of the last is written. */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "wal/calls.h"
#include "wal/engine.h"
#include "wal/record.h"
#include "wal/scope.h"

#define WOKEN_MOST 64u /* lanes, one after the other */

struct cold_record {
	wal_seq seq;
	int64_t at_wall_ms;
	uint32_t body_len;
	uint8_t kind;
	int16_t decided_by;
};

/* Those of one lane. */
struct cold {
	struct collection *collection; /* held */
	unsigned instance;
	struct cold_record *records; /* in seq order, from `first` to before `end` */
	size_t first, end, room;
	bool aside;
	TAILQ_ENTRY(cold) link;
};

TAILQ_HEAD(cold_list, cold);

static struct cold_list ready[CONF_MAX_INSTANCES], aside[CONF_MAX_INSTANCES];
static bool waking;

static struct lane *lane_of(const struct cold *c)
{
	return &scope_of_collection(c->collection)->lanes[c->instance];
}

void cold_start(void)
{
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++) {
		TAILQ_INIT(&ready[i]);
		TAILQ_INIT(&aside[i]);
	}
}

static struct cold_list *list_of(const struct cold *c)
{
	return c->aside ? &aside[c->instance] : &ready[c->instance];
}

/* Last of those that are ready, or aside. */
static void move(struct cold *c, bool to_aside)
{
	TAILQ_REMOVE(list_of(c), c, link);
	c->aside = to_aside;
	TAILQ_INSERT_TAIL(list_of(c), c, link);
}

/* --- in ------------------------------------------------------------------------------
 */

static bool is_owed_far_behind(const struct record *r, unsigned i)
{
	const struct turn *t = &r->turns[i];

	if (t->state != TURN_QUEUED || t->doubt || t->late_look || t->failures > 0 ||
	    t->execution != NULL || t->blocked)
		return false;
	return !instance_up(health_instance(i)) ||
	       r->members[0].scope->lanes[i].behind > SENT_MOST;
}

static bool may_be_cold(const struct record *r)
{
	if (!record_runs(r->kind) || r->decision != DECISION_ACCEPTED ||
	    !r->decision_durable || r->alone || r->busy > 0 || r->unsettled == 0 ||
	    !TAILQ_EMPTY(&r->watchers))
		return false;
	for (unsigned i = 0; i < health_count(); i++)
		if (r->turns[i].state != TURN_DURABLE && !is_owed_far_behind(r, i))
			return false;
	return true;
}

static struct cold *cold_of(const struct record *r, unsigned i)
{
	struct lane *lane = &r->members[0].scope->lanes[i];
	struct cold *c = lane->cold;

	if (c != NULL)
		return c;
	c = mem_new(struct cold);
	c->collection = collection_hold(r->collection);
	c->instance = i;
	lane->cold = c;
	TAILQ_INSERT_TAIL(list_of(c), c, link);
	return c;
}

static void make_room(struct cold *c)
{
	if (c->first > c->room / 2) {
		memmove(c->records, c->records + c->first,
		        (c->end - c->first) * sizeof(struct cold_record));
		c->end -= c->first;
		c->first = 0;
	}
	if (c->end < c->room)
		return;
	c->room = c->room + c->room / 2 + 16;
	c->records = mem_resize(c->records, c->room * sizeof(struct cold_record));
}

/* Nearly always the newest is the last. */
static void put(struct cold *c, const struct cold_record *one)
{
	size_t at;

	make_room(c);
	for (at = c->end; at > c->first && c->records[at - 1].seq > one->seq; at--)
		c->records[at] = c->records[at - 1];
	c->records[at] = *one;
	c->end++;
	lane_of(c)->first_cold = c->records[c->first].seq;
	if (c->aside)
		move(c, false);
}

bool cold_takes(struct record *r)
{
	const struct cold_record one = {.seq = r->seq,
	                                .at_wall_ms = r->appended_wall_ms,
	                                .body_len = (uint32_t)r->body_len,
	                                .kind = (uint8_t)r->kind,
	                                .decided_by = (int16_t)r->decided_by};

	if (!may_be_cold(r))
		return false;
	for (unsigned i = 0; i < health_count(); i++)
		if (r->turns[i].state != TURN_DURABLE) {
			struct cold *c = cold_of(r, i);

			put(c, &one);
			lane_of(c)->behind++; /* as it leaves its scope */
			engine_totals()->owed++;
		}
	engine_totals()->owed--;
	engine_take_out(r);
	return true;
}

/* --- out -----------------------------------------------------------------------------
 */

static void cold_free(struct cold *c)
{
	struct lane *lane = lane_of(c);

	lane->cold = NULL;
	lane->first_cold = 0;
	TAILQ_REMOVE(list_of(c), c, link);
	free(c->records);
	collection_release(&c->collection);
	free(c);
}

static void leave_out(struct cold *c, size_t n)
{
	struct lane *lane = lane_of(c);

	lane->behind -= (unsigned)n;
	lane->passed += n;
	while (n-- > 0)
		engine_leave_out(c->instance, c->records[c->first++].body_len);
}

/* Behind the one before it, if that has come back too. */
static struct record *bring_back(struct cold *c, struct record *older)
{
	const struct cold_record *one = &c->records[c->first++];
	const struct wal_write w = {.kind = (enum record_kind)one->kind,
	                            .collection = c->collection};
	struct record *r = record_create(one->seq, &w);

	r->body_len = one->body_len;
	r->appended_wall_ms = one->at_wall_ms;
	r->decision = DECISION_ACCEPTED;
	r->decision_durable = true;
	r->decided_by = one->decided_by;
	for (unsigned i = 0; i < health_count(); i++)
		if (i != c->instance)
			r->turns[i].state = TURN_DURABLE;
	r->unsettled = 1;
	scope_return(r, c->instance, older);
	engine_put_back(r, older);
	return r;
}

/* Its first stands before everything that is a record there. */
static bool has_its_turn(const struct cold *c)
{
	const struct lane *lane = lane_of(c);

	return !lane->parked &&
	       (lane->head == NULL || lane->head->record->seq > lane->first_cold);
}

/* A position behind the head would not say that they are done, if we died before the last
 * of them all was. */
static size_t before_head(const struct cold *c)
{
	const struct member *head = lane_of(c)->head;
	size_t n = c->end;

	while (head != NULL && n > c->first + 1 &&
	       c->records[n - 1].seq > head->record->seq)
		n--;
	return n - c->first;
}

static void wake(struct cold *c)
{
	struct scope *s = scope_of_collection(c->collection);
	struct lane *lane = lane_of(c);
	unsigned most = batch_most(lane);
	struct record *last = NULL;

	if (scope_is_obsolete(s, c->collection))
		leave_out(c, before_head(c) - 1);
	while (most-- > 0 && c->first < c->end)
		last = bring_back(c, last);
	if (c->first < c->end)
		lane->first_cold = c->records[c->first].seq;
	else
		cold_free(c);
	engine_kick_scope(s);
}

void cold_wake(unsigned i)
{
	struct cold *c;

	if (waking || !instance_writable(health_instance(i)))
		return;
	waking = true;
	for (unsigned n = 0; n < WOKEN_MOST && engine_has_room(i);) {
		c = TAILQ_FIRST(&ready[i]);
		if (c == NULL)
			break;
		move(c, !has_its_turn(c));
		if (c->aside)
			continue;
		wake(c);
		slots_woken(i);
		n++;
	}
	waking = false;
}

void cold_turn(struct cold *c)
{
	if (!c->aside || !has_its_turn(c))
		return;
	move(c, false);
	cold_wake(c->instance);
}

/* Its lane is past these: they are not executed. */
void cold_jump(struct cold *c, wal_seq upto)
{
	size_t n = 0;

	while (c->first + n < c->end && c->records[c->first + n].seq <= upto)
		n++;
	leave_out(c, n);
	if (c->first < c->end)
		lane_of(c)->first_cold = c->records[c->first].seq;
	else
		cold_free(c);
}

/* --- the whole -----------------------------------------------------------------------
 */

static const struct cold_record *first_of(const struct cold_list *list,
                                          const struct cold_record *first)
{
	const struct cold *c;

	TAILQ_FOREACH (c, list, link)
		if (first == NULL || c->records[c->first].seq < first->seq)
			first = &c->records[c->first];
	return first;
}

wal_seq cold_first(unsigned i, int64_t *at_wall_ms)
{
	const struct cold_record *first = first_of(&aside[i], first_of(&ready[i], NULL));

	*at_wall_ms = first != NULL ? first->at_wall_ms : 0;
	return first != NULL ? first->seq : 0;
}

static void drop(struct cold_list *list)
{
	struct cold *c;

	while ((c = TAILQ_FIRST(list)) != NULL)
		cold_jump(c, INT64_MAX);
}

void cold_drop(unsigned i)
{
	drop(&ready[i]);
	drop(&aside[i]);
}

static void clear(struct cold_list *list)
{
	struct cold *c;

	while ((c = TAILQ_FIRST(list)) != NULL)
		cold_free(c);
}

void cold_clear(void)
{
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++) {
		clear(&ready[i]);
		clear(&aside[i]);
	}
}
