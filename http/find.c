/* http/find.c - whom a path means: the database and the collection, from the catalogue.
 *
 * The catalogue decides. A collection is found under any id it has (its public one, or a
 * local one on any instance), but only through the tenant and database it belongs to. */
#include <string.h>

#include "http/exchange.h"

static void take_database(struct exchange *ex, struct database *db)
{
	database_hold(db);
	database_release(&ex->database);
	ex->database = db;
}

static void take_collection(struct exchange *ex, struct collection *c)
{
	collection_hold(c);
	collection_release(&ex->collection);
	ex->collection = c;
}

enum found find_database(struct exchange *ex)
{
	struct database *db = catalogue_database(ex->route.tenant, ex->route.database);

	if (db == NULL)
		return FOUND_NOTHING;
	take_database(ex, db);
	return db->life == LIFE_LIVE ? FOUND : FOUND_UNDECIDED;
}

enum found find_by_id(struct exchange *ex)
{
	const char *item = ex->route.item;
	struct collection *c;
	struct uuid id;

	if (!uuid_parse(item, strlen(item), &id))
		return FOUND_NOT_AN_ID;
	c = catalogue_by_uuid(&id);
	if (c == NULL || strcmp(c->db->name, ex->route.database) != 0 ||
	    strcmp(c->db->tenant, ex->route.tenant) != 0)
		return FOUND_NOTHING;
	take_collection(ex, c);
	return FOUND;
}

static enum found find_named(struct exchange *ex)
{
	struct database *db = catalogue_database(ex->route.tenant, ex->route.database);
	struct collection *c = db != NULL ? catalogue_named(db, ex->route.item) : NULL;

	if (c == NULL)
		return FOUND_NOTHING;
	take_collection(ex, c);
	if (c->life == LIFE_CREATING || strcmp(c->name, ex->route.item) != 0)
		return FOUND_UNDECIDED; /* its create, or a rename to that name */
	return FOUND;
}

enum found find_by_id_or_name(struct exchange *ex)
{
	enum found by_id = find_by_id(ex);
	enum found by_name;

	if (by_id == FOUND)
		return FOUND;
	by_name = find_named(ex);
	return by_name == FOUND_NOTHING ? by_id : by_name;
}

enum found find_by_name(struct exchange *ex)
{
	enum found by_name = find_named(ex);

	if (by_name != FOUND_NOTHING)
		return by_name;
	return find_by_id(ex) == FOUND ? FOUND : FOUND_NOTHING;
}
