/* wal/record.c - a record: what one write is, from its append to its last position. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "wal/engine.h"
#include "wal/record.h"

const char *record_kind_name(enum record_kind kind)
{
	switch (kind) {
	case RECORD_NONE:
		break;
	case RECORD_ADD:
		return "add";
	case RECORD_UPSERT:
		return "upsert";
	case RECORD_UPDATE:
		return "update";
	case RECORD_DELETE:
		return "delete";
	case RECORD_DELETE_WHERE:
		return "delete_where";
	case RECORD_CREATE_COLLECTION:
		return "create_collection";
	case RECORD_MODIFY_COLLECTION:
		return "modify_collection";
	case RECORD_DELETE_COLLECTION:
		return "delete_collection";
	case RECORD_ADOPT_COLLECTION:
		return "adopt_collection";
	case RECORD_CREATE_DATABASE:
		return "create_database";
	case RECORD_DELETE_DATABASE:
		return "delete_database";
	case RECORD_CREATE_TENANT:
		return "create_tenant";
	case RECORD_RESET:
		return "reset";
	}
	return "none";
}

bool record_runs(enum record_kind kind)
{
	return kind == RECORD_ADD || kind == RECORD_UPSERT || kind == RECORD_UPDATE ||
	       kind == RECORD_DELETE;
}

bool record_is_item(enum record_kind kind)
{
	return record_runs(kind) || kind == RECORD_DELETE_WHERE;
}

bool record_makes_collection(enum record_kind kind)
{
	return kind == RECORD_CREATE_COLLECTION || kind == RECORD_ADOPT_COLLECTION;
}

bool record_creates(enum record_kind kind)
{
	return record_makes_collection(kind) || kind == RECORD_CREATE_DATABASE ||
	       kind == RECORD_CREATE_TENANT;
}

bool record_is_from(const struct record *r, unsigned i)
{
	return r->kind == RECORD_ADOPT_COLLECTION && r->origin.instance == i;
}

bool record_has_origin(const struct record *r)
{
	return r->kind == RECORD_ADOPT_COLLECTION && r->origin.instance < health_count();
}

/* In the log it stands where a rename keeps the old name. */
char *record_origin_text(const struct wal_origin *origin)
{
	return mem_format("%d/%s", store_instance_id(origin->instance), origin->id.text);
}

struct wal_origin record_origin_from(const char *text)
{
	struct wal_origin origin = {.instance = CONF_MAX_INSTANCES};
	const char *id = strchr(text, '/');
	int i = store_instance_index(strtol(text, NULL, 10));

	if (id != NULL && i >= 0 && uuid_parse(id + 1, strlen(id + 1), &origin.id))
		origin.instance = (unsigned)i;
	return origin;
}

bool record_is_open(const struct record *r)
{
	return r->decision == DECISION_OPEN;
}

bool record_is_skipped(const struct record *r)
{
	return r->decision == DECISION_REJECTED || r->decision == DECISION_GIVEN_UP;
}

bool record_may_have_created(const struct record *r, unsigned i)
{
	return record_makes_collection(r->kind) && r->turns[i].doubt;
}

struct record *record_create(wal_seq seq, const struct wal_write *write)
{
	unsigned n = health_count();
	struct record *r = mem_alloc(sizeof(*r) + n * sizeof(struct turn));

	r->seq = seq;
	r->kind = write->kind;
	r->executor = r->decided_by = -1;
	r->collection = collection_hold(write->collection);
	r->database = database_hold(write->database);
	r->name = mem_string(write->kind == RECORD_CREATE_TENANT ? write->tenant
	                                                         : write->name);
	r->body = blob_ref(write->body);
	r->body_len = blob_len(write->body);
	r->embeddings = write->embeddings;
	if (write->origin != NULL)
		r->origin = *write->origin;
	if (write->trace != NULL)
		r->trace = *write->trace;
	r->unsettled = n;
	TAILQ_INIT(&r->watchers);
	for (unsigned i = 0; i < n; i++)
		r->turns[i].record = r;
	if (r->kind == RECORD_MODIFY_COLLECTION && r->name != NULL)
		r->old_name = mem_string(r->collection->name);
	return r;
}

/* Those who have left first go: a client may come back often. */
static void drop_unwanted(struct record *r)
{
	struct wal_op *op, *next;

	for (op = TAILQ_FIRST(&r->watchers); op != NULL; op = next) {
		next = TAILQ_NEXT(op, link);
		if (op_wanted(&op->op))
			continue;
		TAILQ_REMOVE(&r->watchers, op, link);
		wal_op_end(op, STATUS_STOPPED);
	}
}

void record_watch(struct record *r, struct wal_op *op)
{
	drop_unwanted(r);
	TAILQ_INSERT_TAIL(&r->watchers, op, link);
	op->collection = collection_hold(r->collection);
	if (op_wanted(&op->op))
		op->appended(op->arg, r->seq);
}

void record_free(struct record *r)
{
	assert(TAILQ_EMPTY(&r->watchers) && r->busy == 0);
	for (unsigned i = 0; i < health_count(); i++)
		execution_cancel(r, i);
	collection_release(&r->collection);
	database_release(&r->database);
	blob_unref(&r->body);
	blob_unref(&r->resolved);
	blob_unref(&r->answer);
	free(r->name);
	free(r->old_name);
	free(r->members);
	free(r);
}
