/* http/collections.c - what a client does to collections, databases and tenants: create,
 * change, delete. The catalogue says what exists; write.c brings it into the log.
 *
 * What waits to be decided (a create, a rename) is waited for, unless it is this very
 * write, sent again by a client who was told that it is pending: then that record's
 * outcome is its answer (wal/join.c). */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "http/exchange.h"

#define NAME_MOST 512u /* Chroma's rule for collections and databases */
#define TENANT_NAME_MOST 1024u

static bool is_reserved(const char *name)
{
	return strncmp(name, RESERVED_PREFIX, strlen(RESERVED_PREFIX)) == 0;
}

static void refuse_reserved(struct exchange *ex)
{
	exchange_error(ex, 400, "InvalidArgumentError",
	               "Names beginning with \"" RESERVED_PREFIX "\" are reserved");
}

/* --- collections ------------------------------------------------------------------- */

/* What is executed never says get_or_create: whether it exists was decided by the log. */
static struct blob *create_body(const struct exchange *ex)
{
	const char *body = blob_bytes(ex->body);
	struct json_slice flag = json_member(write_body(ex), "get_or_create");
	struct text out = {0};
	size_t len;

	if (!json_flag(flag))
		return blob_ref(ex->body);
	text_add(&out, body, (size_t)(flag.at - body));
	text_adds(&out, "false");
	text_add(&out, flag.at + flag.len,
	         blob_len(ex->body) - (size_t)(flag.at - body) - flag.len);
	len = out.len;
	return blob_adopt(text_detach(&out), len);
}

static void no_database(struct exchange *ex)
{
	exchange_error(ex, 400, "InvalidArgumentError", "Database [%s] does not exist",
	               ex->route.database);
}

/* Its body is sound. get_or_create: as if it had been asked for by name. */
static void name_taken(struct exchange *ex)
{
	char *name = write_text(ex, "name");

	if (catalogue_named(ex->database, name) == NULL) { /* gone meanwhile */
		free(name);
		create_collection(ex);
		return;
	}
	if (json_flag(json_member(write_body(ex), "get_or_create"))) {
		free(ex->route.item);
		ex->route.item = name;
		ex->route.kind = ROUTE_GET_COLLECTION;
		ex->route.tail = "";
		blob_unref(&ex->body);
		read_collection(ex);
		return;
	}
	exchange_error(ex, 409, "ChromaError", "Collection [%s] already exists", name);
	free(name);
}

static bool is_import(const struct exchange *ex)
{
	return ex->route.kind == ROUTE_IMPORT_COLLECTION;
}

/* `waits`: that name is being created already. */
static void log_create(struct exchange *ex, const char *name, struct collection *waits)
{
	struct wal_write w = {.kind = RECORD_CREATE_COLLECTION,
	                      .database = ex->database,
	                      .name = name,
	                      .body = create_body(ex)};
	struct uuid id;

	if (is_import(ex) && uuid_parse(ex->route.item, strlen(ex->route.item), &id))
		w.public_id = &id;
	if (w.public_id != NULL && catalogue_by_uuid(&id) != NULL)
		exchange_error(ex, 409, "ChromaError",
		               "Another collection has the id [%s]", id.text);
	else if (waits == NULL)
		write_log(ex, &w, create_collection);
	else if (!write_joins(ex, &w))
		exchange_wait_collection(ex, waits, create_collection);
	blob_unref(&w.body);
}

static void create_named(struct exchange *ex, const char *name)
{
	struct collection *c = catalogue_named(ex->database, name);

	if (is_reserved(name))
		refuse_reserved(ex);
	else if (strlen(name) > NAME_MOST)
		refusal_ask(ex, write_no_sense);
	else if (c == NULL || c->life == LIFE_CREATING)
		log_create(ex, name, c);
	else if (strcmp(c->name, name) != 0 || c->next_name != NULL)
		exchange_wait_collection(ex, c, create_collection);
	else
		refusal_ask(ex, name_taken);
}

void create_collection(struct exchange *ex)
{
	enum found f = find_database(ex);
	char *name = write_takes_part(ex) ? write_text(ex, "name") : NULL;

	if (f == FOUND_UNDECIDED)
		exchange_wait_database(ex, ex->database, create_collection);
	else if (f == FOUND_NOTHING || name == NULL)
		refusal_ask(ex, f == FOUND_NOTHING ? no_database : write_no_sense);
	else
		create_named(ex, name);
	free(name);
}

void import_collection(struct exchange *ex)
{
	const char *item = ex->route.item;
	struct uuid id;

	if (uuid_parse(item, strlen(item), &id))
		create_collection(ex);
	else
		exchange_error(ex, 400, "InvalidArgumentError",
		               "The id of the collection must be a UUID");
}

static void taken_by_another(struct exchange *ex)
{
	exchange_error(
	        ex, 500, "InternalError",
	        "Database error: error returned from database: (code: 2067) UNIQUE "
	        "constraint failed: collections.name, collections.database_id");
}

static void log_modify(struct exchange *ex, const char *name)
{
	struct collection *c = ex->collection, *other = NULL;
	struct wal_write w = {.kind = RECORD_MODIFY_COLLECTION,
	                      .collection = c,
	                      .name = name,
	                      .body = ex->body};

	if (name != NULL && strcmp(name, c->name) == 0)
		w.name = NULL;
	if (w.name != NULL)
		other = catalogue_named(c->db, w.name);
	if (c->next_name != NULL && write_joins(ex, &w))
		return;
	if (c->next_name != NULL)
		exchange_wait_collection(ex, c, modify_collection);
	else if (other != NULL &&
	         (other->life == LIFE_CREATING || other->next_name != NULL))
		exchange_wait_collection(ex, other, modify_collection);
	else if (other != NULL)
		refusal_ask(ex, taken_by_another);
	else if (w.name != NULL && is_reserved(w.name))
		refuse_reserved(ex);
	else if (w.name != NULL && protect_covers(c->name))
		protect_refuse(ex, c);
	else if (w.name != NULL && strlen(w.name) > NAME_MOST)
		refusal_ask(ex, write_no_sense);
	else
		write_log(ex, &w, modify_collection);
}

void modify_collection(struct exchange *ex)
{
	enum found f = find_by_id(ex);
	char *name = NULL;

	if (f == FOUND && write_takes_part(ex)) {
		name = write_text(ex, "new_name");
		log_modify(ex, name);
	} else {
		refusal_ask(ex, f == FOUND ? write_no_sense : exchange_no_collection);
	}
	free(name);
}

/* Gone, but its delete may be undecided, and this very one sent again. */
static void no_collection(struct exchange *ex)
{
	struct wal_write w = {.kind = RECORD_DELETE_COLLECTION, .name = ex->route.item};

	if (find_database(ex) == FOUND) {
		w.database = ex->database;
		if (write_joins(ex, &w))
			return;
	}
	exchange_error(ex, 404, "NotFoundError", "Collection [%s] does not exist",
	               ex->route.item);
}

void delete_collection(struct exchange *ex)
{
	struct wal_write w = {.kind = RECORD_DELETE_COLLECTION};
	enum found f = find_by_name(ex);

	w.collection = ex->collection;
	if (f == FOUND_UNDECIDED || (f == FOUND && w.collection->next_name != NULL))
		exchange_wait_collection(ex, w.collection, delete_collection);
	else if (f == FOUND && protect_covers(w.collection->name))
		protect_refuse(ex, w.collection);
	else if (f == FOUND)
		write_log(ex, &w, delete_collection);
	else
		no_collection(ex);
}

/* --- databases and tenants --------------------------------------------------------- */

static void log_create_database(struct exchange *ex, const char *name)
{
	struct wal_write w = {.kind = RECORD_CREATE_DATABASE,
	                      .tenant = ex->route.tenant,
	                      .name = name,
	                      .body = ex->body};
	struct database *db = catalogue_database(ex->route.tenant, name);

	if (is_reserved(name) || is_reserved(ex->route.tenant))
		refuse_reserved(ex);
	else if (strlen(name) > NAME_MOST)
		refusal_ask(ex, write_no_sense);
	else if (db == NULL)
		write_log(ex, &w, create_database);
	else if (db->life == LIFE_CREATING && write_joins(ex, &w))
		return;
	else if (db->life == LIFE_CREATING)
		exchange_wait_database(ex, db, create_database);
	else
		exchange_error(ex, 409, "ChromaError", "Database [%s] already exists",
		               name);
}

void create_database(struct exchange *ex)
{
	char *name = write_takes_part(ex) ? write_text(ex, "name") : NULL;

	if (name != NULL)
		log_create_database(ex, name);
	else if (write_cannot_create(ex))
		refusal_ask(ex, write_no_sense);
	else
		write_no_sense(ex);
	free(name);
}

/* As with a collection. */
static void no_such_database(struct exchange *ex)
{
	struct wal_write w = {.kind = RECORD_DELETE_DATABASE,
	                      .tenant = ex->route.tenant,
	                      .name = ex->route.database};

	if (!write_joins(ex, &w))
		exchange_error(ex, 404, "NotFoundError", "Database [%s] not found",
		               ex->route.database);
}

void delete_database(struct exchange *ex)
{
	struct wal_write w = {.kind = RECORD_DELETE_DATABASE};
	const struct collection *c = NULL;
	enum found f = find_database(ex);

	w.database = ex->database;
	if (f == FOUND)
		c = protect_in(w.database);
	if (f == FOUND_UNDECIDED)
		exchange_wait_database(ex, w.database, delete_database);
	else if (c != NULL)
		protect_refuse(ex, c);
	else if (f == FOUND)
		write_log(ex, &w, delete_database);
	else
		no_such_database(ex);
}

void create_tenant(struct exchange *ex)
{
	char *name = write_takes_part(ex) ? write_text(ex, "name") : NULL;
	struct wal_write w = {
	        .kind = RECORD_CREATE_TENANT, .tenant = name, .body = ex->body};

	if (name == NULL && write_cannot_create(ex))
		read_any_instance(ex);
	else if (name == NULL || strlen(name) > TENANT_NAME_MOST)
		write_no_sense(ex);
	else if (is_reserved(name))
		refuse_reserved(ex);
	else if (catalogue_tenant(name) && write_joins(ex, &w))
		; /* its create was undecided */
	else if (catalogue_tenant(name))
		exchange_error(ex, 409, "ChromaError", "Tenant [%s] already exists",
		               name);
	else
		write_log(ex, &w, create_tenant);
	free(name);
}

/* --- everything -------------------------------------------------------------------- */

void reset(struct exchange *ex)
{
	struct wal_write w = {.kind = RECORD_RESET};

	const struct collection *c = protect_anywhere();

	if (!exchange_conf->allow_reset)
		exchange_error(ex, 403, "ChromaError", "Reset is disabled by config");
	else if (c != NULL)
		protect_refuse(ex, c);
	else
		write_log(ex, &w, reset);
}
