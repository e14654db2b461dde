/* wal/unmap.c - a mapping is taken away: of a collection that no instance has any more,
 * or which is to go with it.
 *
 *   wal_unmap   look for it on every instance, one after the other
 *   on_looked   none has it: its delete is logged, as any other; that takes the mapping
 *   on_deleted  done
 * When it does not go well:
 *   - an instance has it, or cannot be asked: nothing is done, unless it is forced
 *
 * The mapping is what says that the collection exists. To forget it while an instance has
 * it would let the old content come back under the next one of that name: so forced, it
 * is deleted there, too. */
#include <stdlib.h>
#include <string.h>

#include "core/json_scan.h"
#include "core/mem.h"
#include "wal/survey.h"

struct unmap {
	struct op op;
	struct op *pending;
	struct collection *collection; /* held */
	unsigned at;                   /* the instance that is asked */
	wal_unmap_fn *done;
	void *arg;
	enum status status;
	const struct instance *where; /* it is there, or may be */
};

/* --- is it there? ------------------------------------------------------------------ */

void wal_there_target(struct text *target, const char *tenant, const char *database,
                      const char *name)
{
	text_adds(target, "/api/v2/tenants/");
	rewrite_add_segment(target, tenant);
	text_adds(target, "/databases/");
	rewrite_add_segment(target, database);
	text_adds(target, "/collections/");
	rewrite_add_segment(target, name);
}

enum status wal_there_answer(const struct reply *reply, struct uuid *id)
{
	struct json_slice whole, text;
	bool known;

	*id = (struct uuid){{0}};
	if (reply->status != STATUS_OK)
		return STATUS_NO_INSTANCE;
	if (reply->http == 404)
		return STATUS_NOT_FOUND;
	if (reply->http != 200)
		return STATUS_NO_INSTANCE;
	whole = json_whole(blob_bytes(reply->body), blob_len(reply->body));
	text = json_member(whole, "id");
	known = text.len > 2 && uuid_parse(text.at + 1, text.len - 2, id);
	return known ? STATUS_OK : STATUS_BAD_REPLY;
}

/* --- its life ---------------------------------------------------------------------- */

static void deliver(struct op *op)
{
	struct unmap *u = (struct unmap *)op;

	u->done(u->arg, u->status, u->where);
}

static void release(struct op *op)
{
	struct unmap *u = (struct unmap *)op;

	op_cancel(&u->pending);
	collection_release(&u->collection);
	free(u);
}

static void abandon(struct op *op)
{
	struct unmap *u = (struct unmap *)op;

	op_cancel(&u->pending);
	op_end(op);
}

static void end(struct unmap *u, enum status s)
{
	u->status = s;
	op_end(&u->op);
}

static void on_appended(void *arg, wal_seq seq)
{
	(void)arg;
	(void)seq;
}

static void on_deleted(void *arg, enum status s, const struct wal_outcome *outcome)
{
	if (s == STATUS_OK && outcome->http >= 300)
		s = STATUS_UNKNOWN;
	end(arg, s);
}

static void delete_it(struct unmap *u)
{
	const struct wal_write w = {.kind = RECORD_DELETE_COLLECTION,
	                            .collection = u->collection};

	if (u->collection->life != LIFE_LIVE || u->collection->next_name != NULL)
		end(u, STATUS_NOT_FOUND);
	else
		wal_write(&w, on_appended, on_deleted, u, &u->pending);
}

static void look(struct unmap *u);

static void on_looked(void *arg, const struct reply *reply)
{
	struct unmap *u = arg;
	struct uuid id;
	enum status s = wal_there_answer(reply, &id);

	if (s != STATUS_NOT_FOUND) {
		end(u, s == STATUS_OK ? STATUS_CONFLICT : STATUS_NO_INSTANCE);
		return;
	}
	u->at++;
	look(u);
}

static void look(struct unmap *u)
{
	const struct collection *c = u->collection;
	struct text target = {0};

	if (u->at == health_count()) {
		delete_it(u);
		return;
	}
	u->where = health_instance(u->at);
	if (!instance_up(u->where)) {
		end(u, STATUS_NO_INSTANCE);
		return;
	}
	wal_there_target(&target, c->db->tenant, c->db->name, c->name);
	survey_call(u->at, "GET", text_string(&target), NULL, on_looked, u, &u->pending);
	text_clear(&target);
}

void wal_unmap(struct collection *c, bool force, wal_unmap_fn *done, void *arg,
               struct op **slot)
{
	struct unmap *u = mem_new(struct unmap);

	u->op.deliver = deliver;
	u->op.release = release;
	u->op.abandon = abandon;
	u->collection = collection_hold(c);
	u->done = done;
	u->arg = arg;
	op_begin(&u->op, slot);
	if (force)
		delete_it(u);
	else
		look(u);
}
