/* wal/scope.c - order: whose turn it is. Pure: no I/O, no clock.
 *
 * A scope keeps its records once, in seq order; each instance has its own place in that
 * row, its lane. A record that spans scopes (a create is in its database's and in its
 * collection's) has its turn when it stands first in all of them.
 *
 * The next record of a lane is sent only when the position of the one before is durable,
 * so that after a crash at most one is in doubt, and re-executing one record in its own
 * place is harmless. A run of one kind of item write is re-executable as a whole (nothing
 * in it can flip whether an item exists) and need not wait.
 *
 * A collection's lane may be parked at an instance (quarantine.c): nothing of it is
 * executed there. What changes the collection then stands apart: it keeps its place in
 * the collection's lane only, so that the rest of the database does not wait for it. A
 * delete never stands apart: the next collection of that name must come behind it. A
 * wide record that was refused has no effect anywhere, and leaves the lanes that are
 * parked: else the whole instance would wait for one collection. */
#include <assert.h>
#include <stdlib.h>

#include "core/mem.h"
#include "wal/record.h"
#include "wal/scope.h"

static struct scope *all;
static LIST_HEAD(scope_list, scope) scopes = LIST_HEAD_INITIALIZER(scopes);

static struct scope *scope_create(int64_t id, int64_t database)
{
	struct scope *s = mem_alloc(sizeof(*s) + health_count() * sizeof(struct lane));

	s->id = id;
	s->database = database;
	TAILQ_INIT(&s->members);
	LIST_INSERT_HEAD(&scopes, s, link);
	return s;
}

/* Its owner is gone. Wide records (a delete of the database, a reset) may still be
 * members; the last one to leave frees it. */
void scope_free(struct scope *s)
{
	if (s == NULL)
		return;
	if (s == all)
		all = NULL;
	s->orphan = true;
	LIST_REMOVE(s, link);
	if (TAILQ_EMPTY(&s->members))
		free(s);
}

struct scope *scope_all(void)
{
	if (all == NULL)
		all = scope_create(0, 0);
	return all;
}

struct scope *scope_of_collection(struct collection *c)
{
	if (c->scope == NULL)
		c->scope = scope_create(c->id, c->db->id);
	return c->scope;
}

struct scope *scope_of_database(struct database *db)
{
	if (db->scope == NULL)
		db->scope = scope_create(db->id, db->id);
	return db->scope;
}

/* --- standing apart ----------------------------------------------------------------- */

static bool is_own(const struct record *r, const struct scope *s)
{
	return r->collection != NULL && r->collection->scope == s;
}

static bool waits_in(const struct member *m, unsigned i)
{
	return (m->left & 1u << i) == 0 &&
	       (!m->record->turns[i].apart || is_own(m->record, m->scope));
}

/* Brought back for another instance only: scope_return(). */
static bool is_of_another(const struct member *m, unsigned i)
{
	return m->record->turns[i].state == TURN_DURABLE;
}

/* The first from here on whose turn in this lane is to come. */
static struct member *next_waiting(struct member *m, unsigned i)
{
	while (m != NULL && (!waits_in(m, i) || is_of_another(m, i)))
		m = TAILQ_NEXT(m, link);
	return m;
}

static bool may_stand_apart(const struct record *r)
{
	return record_makes_collection(r->kind) || r->kind == RECORD_MODIFY_COLLECTION;
}

static void stand_apart(struct record *r, unsigned i)
{
	if (!may_stand_apart(r) || r->turns[i].apart)
		return;
	r->turns[i].apart = true;
	r->collection->scope->lanes[i].n_apart++;
	for (unsigned k = 0; k < r->n_members; k++) {
		struct lane *lane = &r->members[k].scope->lanes[i];

		if (is_own(r, r->members[k].scope))
			continue;
		lane->behind--;
		lane->n_left++;
		if (lane->head == &r->members[k])
			lane->head = next_waiting(lane->head, i);
	}
}

/* --- refused, and wide ---------------------------------------------------------------
 */

static bool is_wide(const struct record *r)
{
	return r->kind == RECORD_RESET || r->kind == RECORD_DELETE_DATABASE;
}

static void leave_if_parked(struct member *m, unsigned i)
{
	struct lane *lane = &m->scope->lanes[i];

	if (!lane->parked || !waits_in(m, i) || m->record->turns[i].state >= TURN_DONE)
		return;
	m->left |= 1u << i;
	lane->behind--;
	lane->n_left++;
	if (lane->head == m)
		lane->head = next_waiting(m, i);
}

static bool has_no_effect(const struct record *r)
{
	return is_wide(r) && r->decision_durable && record_is_skipped(r);
}

void scope_let_by(struct record *r)
{
	if (!has_no_effect(r))
		return;
	for (unsigned k = 0; k < r->n_members; k++)
		for (unsigned i = 0; i < health_count(); i++)
			leave_if_parked(&r->members[k], i);
}

void scope_park(struct scope *s, unsigned i)
{
	struct member *m, *next;

	s->lanes[i].parked = true;
	for (m = s->lanes[i].head; m != NULL; m = next) {
		next = TAILQ_NEXT(m, link);
		if (has_no_effect(m->record))
			leave_if_parked(m, i);
	}
}

void scope_stand_apart(struct scope *s, unsigned i)
{
	s->lanes[i].apart = true;
	for (struct member *m = s->lanes[i].head; m != NULL; m = TAILQ_NEXT(m, link))
		stand_apart(m->record, i);
}

bool scope_stop_apart(struct scope *s, unsigned i)
{
	if (s->lanes[i].n_apart > 0)
		return false;
	s->lanes[i].apart = false;
	return true;
}

void scope_unpark(struct scope *s, unsigned i)
{
	s->lanes[i].parked = s->lanes[i].apart = false;
}

bool scope_is_held(const struct record *r)
{
	for (unsigned k = 0; k < r->n_members; k++)
		if (r->members[k].scope->holds > 0)
			return true;
	return false;
}

bool scope_has_apart(const struct scope *s, unsigned i)
{
	return s->lanes[i].n_apart > 0;
}

/* --- members ------------------------------------------------------------------------ */

static void enter(struct record *r, struct scope *s)
{
	struct member *m = &r->members[r->n_members++];

	m->record = r;
	m->scope = s;
	TAILQ_INSERT_TAIL(&s->members, m, link);
	for (unsigned i = 0; i < health_count(); i++) {
		s->lanes[i].behind++;
		if (s->lanes[i].head == NULL)
			s->lanes[i].head = m;
	}
}

/* The other lanes do not meet it: they have passed its place, or have a record of their
 * own of it. */
void scope_return(struct record *r, unsigned i, const struct record *older)
{
	struct scope *s = scope_of_collection(r->collection);
	struct lane *lane = &s->lanes[i];
	struct member *next = older != NULL ? older->members : TAILQ_FIRST(&s->members);
	struct member *m;

	r->members = mem_new(struct member);
	m = &r->members[r->n_members++];
	m->record = r;
	m->scope = s;
	while (next != NULL && next->record->seq < r->seq)
		next = TAILQ_NEXT(next, link);
	if (next != NULL)
		TAILQ_INSERT_BEFORE(next, m, link);
	else
		TAILQ_INSERT_TAIL(&s->members, m, link);
	if (lane->head == NULL || lane->head->record->seq > r->seq)
		lane->head = m;
}

static bool spans(const struct record *r, const struct scope *s)
{
	if (r->kind == RECORD_RESET)
		return true;
	assert(r->database != NULL);
	return s->database == r->database->id;
}

/* What exists is in a wide record's scopes even if nothing waits there yet. */
static void create_scopes(void)
{
	struct database *db;
	struct collection *c;

	for (db = catalogue_next_database(NULL); db != NULL;
	     db = catalogue_next_database(db)) {
		scope_of_database(db);
		TAILQ_FOREACH (c, &db->collections, link)
			scope_of_collection(c);
	}
}

static size_t count_scopes(void)
{
	const struct scope *s;
	size_t n = 0;

	LIST_FOREACH (s, &scopes, link)
		n++;
	return n;
}

/* Also into those of what is gone by now (this is a new leader, and the wide record an
 * old one): records that wait there come before it all the same. */
static void enter_wide(struct record *r)
{
	struct scope *s;

	LIST_FOREACH (s, &scopes, link)
		if (s != all && spans(r, s))
			enter(r, s);
}

void scope_decided(const struct record *r)
{
	if (record_is_item(r->kind))
		r->members[0].scope->n_open--;
}

bool scope_is_obsolete(const struct scope *s, const struct collection *c)
{
	return c->life == LIFE_GONE && s->n_open == 0;
}

/* Or it stood there, and a former process has done it (recover.c). */
static void enter_apart(struct record *r, unsigned i)
{
	r->turns[i].apart = false;
	stand_apart(r, i);
}

/* Everything, a deleted database of its own, and one that a reset brings back. */
#define WIDE_MORE 3u

void scope_enter(struct record *r)
{
	if (is_wide(r))
		create_scopes();
	r->members = mem_array(is_wide(r) ? count_scopes() + WIDE_MORE : 2,
	                       sizeof(struct member));
	if (record_is_item(r->kind)) {
		enter(r, scope_of_collection(r->collection));
		r->collection->scope->n_open += !r->decision_durable;
	} else if (r->collection != NULL) {
		enter(r, scope_of_database(r->collection->db));
		enter(r, scope_of_collection(r->collection));
		for (unsigned i = 0; i < health_count(); i++)
			if (r->collection->scope->lanes[i].apart || r->turns[i].apart)
				enter_apart(r, i);
	} else {
		enter(r, scope_all());
		if (r->database != NULL)
			scope_of_database(r->database);
		if (is_wide(r))
			enter_wide(r);
		else if (r->database != NULL)
			enter(r, r->database->scope);
		scope_let_by(r); /* a former process has heard of it */
	}
}

static void leave(struct member *m)
{
	struct scope *s = m->scope;

	for (unsigned i = 0; i < health_count(); i++) {
		bool open = m->record->turns[i].state < TURN_DONE;

		if (waits_in(m, i))
			s->lanes[i].behind -= open;
		else
			s->lanes[i].n_left -= open;
		if (m->record->turns[i].apart && is_own(m->record, s))
			s->lanes[i].n_apart -= m->record->turns[i].state != TURN_DURABLE;
		if (s->lanes[i].head == m)
			s->lanes[i].head = next_waiting(TAILQ_NEXT(m, link), i);
	}
	TAILQ_REMOVE(&s->members, m, link);
	if (s->orphan && TAILQ_EMPTY(&s->members))
		free(s);
}

void scope_leave(struct record *r)
{
	if (!r->decision_durable)
		scope_decided(r);
	for (unsigned k = 0; k < r->n_members; k++)
		leave(&r->members[k]);
	r->n_members = 0;
}

struct record *scope_next(const struct record *r, unsigned i)
{
	struct member *m = next_waiting(TAILQ_NEXT(&r->members[0], link), i);

	return m != NULL ? m->record : NULL;
}

/* Adoptions only look, so several may be looked at again. */
static bool position_allows(const struct record *r, const struct lane *lane)
{
	bool runs = record_runs(r->kind) || r->kind == RECORD_ADOPT_COLLECTION;

	return lane->undurable == 0 ||
	       (runs && lane->run == r->kind && lane->undurable < UNDURABLE_MOST);
}

static bool is_behind_cold(const struct member *m, unsigned i)
{
	wal_seq first = m->scope->lanes[i].first_cold;

	if (!waits_in(m, i))
		return false;
	return first > 0 && first < m->record->seq;
}

bool scope_is_behind_cold(const struct record *r, unsigned i)
{
	for (unsigned k = 0; k < r->n_members; k++)
		if (is_behind_cold(&r->members[k], i))
			return true;
	return false;
}

bool scope_is_first(const struct record *r, unsigned i)
{
	for (unsigned k = 0; k < r->n_members; k++) {
		const struct member *m = &r->members[k];

		if (waits_in(m, i) &&
		    (m->scope->lanes[i].head != m || is_behind_cold(m, i)))
			return false;
	}
	return true;
}

static bool has_its_turn(const struct member *m, unsigned i)
{
	const struct lane *lane = &m->scope->lanes[i];

	if (is_behind_cold(m, i))
		return false;
	return !waits_in(m, i) ||
	       (lane->head == m && !lane->parked && position_allows(m->record, lane));
}

/* A wide record is asked about each time one of its lanes moves, and there may be a
 * hundred thousand: it begins with the one it waited for last. */
bool scope_may_execute(struct record *r, unsigned i)
{
	unsigned *at = &r->turns[i].waits_for;

	for (unsigned n = 0; n < r->n_members; n++) {
		if (*at >= r->n_members)
			*at = 0;
		if (!has_its_turn(&r->members[*at], i))
			return false;
		++*at;
	}
	return true;
}

void scope_sent(struct record *r, unsigned i)
{
	for (unsigned k = 0; k < r->n_members; k++) {
		struct lane *lane = &r->members[k].scope->lanes[i];

		if (lane->sent < r->seq)
			lane->sent = r->seq;
	}
}

/* A lane it has left has come as far as that, unless something before it is still to
 * come. */
static void done_apart(struct lane *lane, wal_seq seq)
{
	lane->n_left--;
	if (lane->done < seq && (lane->head == NULL || lane->head->record->seq > seq))
		lane->done = seq;
}

/* A position behind a refusal that is not durable would say that it was accepted:
 * recover.c. */
static bool may_be_forgotten(const struct record *r)
{
	return r->decision > DECISION_ACCEPTED && !r->decision_durable;
}

static void done_in(struct member *m, unsigned i)
{
	const struct record *r = m->record;
	struct lane *lane = &m->scope->lanes[i];

	if (!waits_in(m, i)) {
		done_apart(lane, r->seq);
		return;
	}
	assert(lane->head == m);
	lane->head = next_waiting(TAILQ_NEXT(m, link), i);
	lane->done = r->seq;
	lane->behind--;
	lane->passed++;
	if (may_be_forgotten(r))
		lane->run = RECORD_NONE;
	else if (lane->undurable == 0)
		lane->run = r->kind;
	else if (lane->run != r->kind)
		lane->run = RECORD_NONE;
	lane->undurable++;
}

static void durable_in(struct member *m, unsigned i)
{
	struct lane *lane = &m->scope->lanes[i];

	if (!waits_in(m, i))
		return;
	lane->undurable--;
	lane->n_apart -= m->record->turns[i].apart;
}

void scope_done(struct record *r, unsigned i)
{
	for (unsigned k = 0; k < r->n_members; k++)
		done_in(&r->members[k], i);
}

void scope_durable(struct record *r, unsigned i)
{
	for (unsigned k = 0; k < r->n_members; k++)
		durable_in(&r->members[k], i);
}

static void enter_late(struct record *r, struct scope *s)
{
	struct member *m = &r->members[r->n_members];

	enter(r, s);
	for (unsigned i = 0; i < health_count(); i++) {
		if (r->turns[i].state != TURN_QUEUED || r->turns[i].doubt)
			s->lanes[i].sent = r->seq;
		if (r->turns[i].state >= TURN_DONE)
			done_in(m, i);
		if (r->turns[i].state == TURN_DURABLE)
			durable_in(m, i);
	}
}

bool scope_any_behind(const struct record *wide, bool (*is)(const struct record *r))
{
	const struct member *m = &wide->members[0];

	while ((m = TAILQ_NEXT(m, link)) != NULL)
		if (is(m->record))
			return true;
	return false;
}

void scope_brings_back(const struct record *reset, struct database *db)
{
	struct scope *s = scope_of_database(db);
	const struct member *m;

	for (m = &reset->members[0]; m != NULL; m = TAILQ_NEXT(m, link))
		if (m->record->kind == RECORD_RESET)
			enter_late(m->record, s);
}

bool scope_leaves_behind(const struct record *r, unsigned i, unsigned j, unsigned most,
                         uint64_t *passed)
{
	const struct lane *lanes = r->members[0].scope->lanes;
	const struct member *head = lanes[j].head;

	*passed = lanes[j].passed;
	return !lanes[j].parked && lanes[j].in_vain != lanes[j].passed + 1 &&
	       lanes[j].behind > lanes[i].behind + most &&
	       (head == NULL || head->record->turns[j].failures == 0);
}

/* What an instance shows lies between what it has done and what it was sent. A read here
 * must not show less than one elsewhere may have shown: so everything sent elsewhere must
 * be done here. What is under way here only may show or not; it will not vanish again. */
bool scope_current(const struct scope *s, unsigned i)
{
	if (s != NULL && (s->lanes[i].parked || s->lanes[i].n_left > 0))
		return false;
	for (unsigned j = 0; s != NULL && j < health_count(); j++)
		if (j != i && s->lanes[i].done < s->lanes[j].sent)
			return false;
	return true;
}
