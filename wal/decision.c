/* wal/decision.c - what a decision means for the catalogue in memory; persist.c makes the
 * same durable. Pure but for the catalogue. */
#include <string.h>

#include "wal/scope.h"

/* The one it was given with its create; or how the instance calls it that decided. */
const struct uuid *decision_public_id(const struct record *r)
{
	return uuid_none(&r->collection->public_id) ? &r->turns[r->decided_by].local
	                                            : &r->collection->public_id;
}

static void of_collection(struct record *r, bool accepted)
{
	struct collection *c = r->collection;

	if (record_makes_collection(r->kind)) {
		if (accepted)
			collection_set_live(c, decision_public_id(r));
		else
			collection_set_gone(c);
	} else if (r->kind == RECORD_MODIFY_COLLECTION && r->name != NULL) {
		collection_renamed(c, accepted);
	}
	if (accepted && r->embeddings && !c->dimension_known)
		r->sets_dimension = c->dimension_known = true;
}

static void reset_collections(struct database *db, wal_seq seq)
{
	struct collection *c, *next;

	for (c = TAILQ_FIRST(&db->collections); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->id < seq)
			collection_set_gone(c);
	}
}

static bool deletes_default(const struct record *r)
{
	return r->kind == RECORD_DELETE_DATABASE && !record_is_skipped(r) &&
	       strcmp(r->database->tenant, TENANT_DEFAULT) == 0 &&
	       strcmp(r->database->name, DATABASE_DEFAULT) == 0;
}

/* A reset Chroma has it again, even if it had been deleted before. */
static void restore_default(const struct record *reset)
{
	struct database *db;
	struct uuid id;

	if (catalogue_database(TENANT_DEFAULT, DATABASE_DEFAULT) != NULL ||
	    scope_any_behind(reset, deletes_default))
		return;
	uuid_parse(DATABASE_DEFAULT_PUBLIC_ID, UUID_LEN, &id);
	db = catalogue_add_database(DATABASE_DEFAULT_ID, TENANT_DEFAULT, DATABASE_DEFAULT,
	                            LIFE_CREATING);
	scope_brings_back(reset, db);
	database_set_live(db, &id);
}

/* What was created behind it in the log, before it was decided, stays. */
static void of_reset(const struct record *r)
{
	struct database *db, *next;

	for (db = catalogue_next_database(NULL); db != NULL; db = next) {
		next = catalogue_next_database(db);
		if (db->id == DATABASE_DEFAULT_ID)
			reset_collections(db, r->seq);
		else if (db->id < r->seq)
			database_set_gone(db);
	}
	catalogue_reset_tenants(r->seq);
	restore_default(r);
}

void decision_to_catalogue(struct record *r, bool accepted)
{
	if (r->collection != NULL)
		of_collection(r, accepted);
	if (r->kind == RECORD_CREATE_DATABASE && accepted)
		database_set_live(r->database, &r->database->public_id);
	if (r->kind == RECORD_CREATE_DATABASE && !accepted)
		database_set_gone(r->database);
	if (r->kind == RECORD_CREATE_TENANT && !accepted)
		catalogue_remove_tenant(r->name);
	if (r->kind == RECORD_RESET && accepted)
		of_reset(r);
}
