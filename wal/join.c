/* wal/join.c - a write that its client sends again joins the record it has made already.
 *
 * A client that was told "pending", or whose connection broke, may send the very same
 * write again while the first is still undecided. That makes no second record: the write
 * waits for the first one, and gets its outcome, and its seq.
 *
 * What is joined
 *   - is undecided
 *   - is listened to by nobody: its client was told "pending", or has left
 *   - is the same write: its kind, what it is done to, and its body (length and digest)
 *   - has no Idempotency-Key, as the new one has none: who names the writes has said
 *     which are the same (key.c)
 *
 * Why that is right, even if it is another client that happens to send the same bytes:
 * a lane is executed in order, so while a record is undecided nothing behind it in its
 * lane is decided, and no client has been told of anything behind it that it is done. Its
 * own client has been told neither yes nor no. So the record may as well be the new
 * write: its effect is decided after the new write has come, before it is answered, and
 * behind everything that was acknowledged before it came. The first write then counts as
 * one that was never executed, which is what an unanswered write may turn out to be. If
 * an instance has shown its effect to a reader already, doing the same again on top of it
 * changes nothing.
 *
 * A reset never joins: it has nothing that tells it from another; nor does a create with
 * an id of its own (an import). Of a collection or a
 * database that is being deleted nothing but its name or id is left to the client; the
 * record still knows it. */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "wal/append.h"
#include "wal/record.h"
#include "wal/scope.h"

/* Undecided records looked at for one write: with every instance down there may be many,
 * and what is sent again was sent not long ago. */
#define LOOK_MOST 1000u

bool join_digest(const struct wal_write *w, struct digest *out)
{
	struct digest_part body = {blob_bytes(w->body), blob_len(w->body)};

	if (w->key != NULL || w->public_id != NULL || w->kind == RECORD_RESET ||
	    w->kind == RECORD_ADOPT_COLLECTION)
		return false;
	*out = digest_of(&body, 1);
	return true;
}

/* --- the same write ---------------------------------------------------------------- */

static bool same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool is_known_as(const struct collection *c, const char *item)
{
	struct uuid id;

	if (strcmp(c->name, item) == 0)
		return true;
	if (!uuid_parse(item, strlen(item), &id))
		return false;
	for (unsigned i = 0; i < health_count(); i++)
		if (uuid_compare(&c->local[i], &id) == 0)
			return true;
	return uuid_compare(&c->public_id, &id) == 0;
}

static bool same_deleted(const struct wal_write *earlier, const struct wal_write *w)
{
	if (w->collection != NULL)
		return earlier->collection == w->collection;
	return earlier->collection->db == w->database &&
	       is_known_as(earlier->collection, w->name);
}

static bool same_deleted_database(const struct wal_write *earlier,
                                  const struct wal_write *w)
{
	if (w->database != NULL)
		return earlier->database == w->database;
	return same_text(earlier->database->tenant, w->tenant) &&
	       same_text(earlier->database->name, w->name);
}

/* Is what they are done to the same? */
bool join_same(const struct wal_write *earlier, const struct wal_write *w)
{
	if (earlier->kind != w->kind)
		return false;
	switch (w->kind) {
	case RECORD_CREATE_COLLECTION:
		return earlier->database == w->database &&
		       same_text(earlier->name, w->name);
	case RECORD_MODIFY_COLLECTION:
		return earlier->collection == w->collection &&
		       same_text(earlier->name, w->name);
	case RECORD_DELETE_COLLECTION:
		return same_deleted(earlier, w);
	case RECORD_CREATE_DATABASE:
		return same_text(earlier->tenant, w->tenant) &&
		       same_text(earlier->name, w->name);
	case RECORD_DELETE_DATABASE:
		return same_deleted_database(earlier, w);
	case RECORD_CREATE_TENANT:
		return same_text(earlier->tenant, w->tenant);
	default:
		return earlier->collection == w->collection;
	}
}

/* --- records ----------------------------------------------------------------------- */

/* The write it was made from, as far as it is kept. */
static struct wal_write write_of(const struct record *r)
{
	struct wal_write w = {.kind = r->kind,
	                      .collection = r->collection,
	                      .database = r->database,
	                      .name = r->name};

	if (r->kind == RECORD_CREATE_TENANT)
		w.tenant = r->name;
	else if (r->database != NULL)
		w.tenant = r->database->tenant;
	return w;
}

static bool is_left(const struct record *r)
{
	const struct wal_op *op;

	TAILQ_FOREACH (op, &r->watchers, link)
		if (op_wanted(&op->op))
			return false;
	return true;
}

static bool may_join(const struct record *r, const struct wal_write *w,
                     const struct digest *d)
{
	struct wal_write earlier;

	if (r->kind != w->kind || !r->digested || r->body_len != blob_len(w->body) ||
	    !digest_same(&r->digest, d) || !is_left(r))
		return false;
	earlier = write_of(r);
	return join_same(&earlier, w);
}

/* The scope a record of that write would be in; NULL: it has none yet. */
static const struct scope *scope_of(const struct wal_write *w)
{
	if (w->collection != NULL)
		return w->collection->scope;
	if (w->kind == RECORD_CREATE_COLLECTION || w->kind == RECORD_DELETE_COLLECTION)
		return w->database->scope;
	return scope_all();
}

/* From the last one backwards, as far as nothing is decided. */
struct record *join_find(const struct wal_write *w, const struct digest *d)
{
	const struct scope *s = scope_of(w);
	const struct member *m = s != NULL ? TAILQ_LAST(&s->members, member_list) : NULL;

	for (unsigned n = 0; m != NULL && n < LOOK_MOST; n++) {
		if (!record_is_open(m->record))
			return NULL;
		if (may_join(m->record, w, d))
			return m->record;
		m = TAILQ_PREV(m, member_list, link);
	}
	return NULL;
}
