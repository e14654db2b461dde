/* wal/copy_make.c - the new collection, like the donor's but for its items.
 *
 *   on_shape       what the donor's is like
 *   delete_next    leftovers of earlier attempts go; and what has our own name: an answer
 *                  was lost
 *   create         in one of the forms a create can have (core/shape.c)
 *   on_created     it is the same? Else delete it, and the next form
 *   on_metadata    its metadata
 * When it does not go well: the tenant or database is not there: they are made first. No
 * form gives the same: STATUS_CONFLICT. */
#include <stdlib.h>
#include <string.h>

#include "wal/copy_private.h"

#define LEFTOVERS 8u

static void create(struct copy *c);

static void made(struct copy *c)
{
	c->progress.base = c->base;
	copy_end(c, STATUS_OK, "");
}

static void on_metadata(struct copy *c, const struct reply *reply)
{
	(void)reply;
	made(c);
}

/* --- a create --------------------------------------------------------------------------
 */

static void on_other_deleted(struct copy *c, const struct reply *reply)
{
	(void)reply;
	create(c);
}

static void delete_ours(struct copy *c)
{
	struct ask ask = {
	        .instance = c->spec.target, .method = "DELETE", .expects = EXPECT_404};

	copy_path_named(&ask.target, c, c->name);
	copy_ask(c, &ask, on_other_deleted);
}

static void set_metadata(struct copy *c, const json_t *now)
{
	struct ask ask = {.instance = c->spec.target, .method = "PUT"};

	if (shape_same_metadata(c->shape, now)) {
		made(c);
		return;
	}
	ask.body = shape_changes(c->shape, now);
	copy_path_of(&ask.target, c, &c->progress.made, "");
	copy_ask(c, &ask, on_metadata);
}

static void next_form(struct copy *c)
{
	c->number++;
	delete_ours(c);
}

static bool take_id(struct copy *c, const json_t *shape)
{
	const char *id = json_string_value(json_object_get(shape, "id"));

	if (id != NULL && uuid_parse(id, strlen(id), &c->progress.made))
		return true;
	copy_end(c, STATUS_BAD_REPLY, "a collection without an id");
	return false;
}

static void on_created_well(struct copy *c, const struct reply *reply)
{
	json_t *now;

	if (!copy_shape_from(c, reply, &now))
		return;
	if (!shape_same_settings(c->shape, now))
		next_form(c);
	else if (take_id(c, now))
		set_metadata(c, now);
	json_decref(now);
}

/* --- its tenant and database
 * ------------------------------------------------------------ */

static void on_database(struct copy *c, const struct reply *reply)
{
	(void)reply;
	create(c);
}

static void on_tenant(struct copy *c, const struct reply *reply)
{
	struct ask ask = {.instance = c->spec.target,
	                  .method = "POST",
	                  .body = copy_named("name", c->database),
	                  .expects = EXPECT_409};

	(void)reply;
	copy_path_database(&ask.target, c, false);
	copy_ask(c, &ask, on_database);
}

static void create_tenant(struct copy *c)
{
	struct ask ask = {.instance = c->spec.target,
	                  .method = "POST",
	                  .body = copy_named("name", c->tenant),
	                  .expects = EXPECT_409};

	c->holder_made = true;
	text_adds(&ask.target, "/api/v2/tenants");
	copy_ask(c, &ask, on_tenant);
}

static bool lacks_database(const struct reply *reply)
{
	static const char words[] = "does not exist";

	return memmem(blob_bytes(reply->body), blob_len(reply->body), words,
	              sizeof(words) - 1) != NULL;
}

static void on_created(struct copy *c, const struct reply *reply)
{
	if ((reply->http == 400 || reply->http == 404) && !c->holder_made &&
	    lacks_database(reply))
		create_tenant(c);
	else if (reply->http == 400)
		next_form(c);
	else if (reply->http == 404)
		copy_end(c, STATUS_BAD_REPLY, "no place for the collection");
	else if (reply->http == 409)
		delete_ours(c);
	else
		on_created_well(c, reply);
}

static void create(struct copy *c)
{
	struct ask ask = {.instance = c->spec.target,
	                  .method = "POST",
	                  .body = shape_create(c->shape, c->name, c->number),
	                  .most = 48u * 1024u * 1024u,
	                  .expects = EXPECT_400 | EXPECT_404 | EXPECT_409};

	if (ask.body == NULL) {
		copy_end(c, STATUS_CONFLICT, "its settings cannot be copied");
		return;
	}
	copy_path_collections(&ask.target, c);
	copy_ask(c, &ask, on_created);
}

/* --- leftovers
 * -------------------------------------------------------------------------- */

static void delete_next(struct copy *c);

static void on_leftover(struct copy *c, const struct reply *reply)
{
	(void)reply;
	if (c->number++ < c->spec.attempt) {
		delete_next(c);
		return;
	}
	c->number = 0;
	create(c);
}

static void delete_next(struct copy *c)
{
	struct ask ask = {
	        .instance = c->spec.target, .method = "DELETE", .expects = EXPECT_404};
	char *name = copy_name(c, "new", c->number);

	copy_path_named(&ask.target, c, name);
	free(name);
	copy_ask(c, &ask, on_leftover);
}

static void on_shape(struct copy *c, const struct reply *reply)
{
	unsigned attempt = c->spec.attempt;

	if (!copy_shape_from(c, reply, &c->shape))
		return;
	c->name = copy_name(c, "new", attempt);
	c->number = attempt > LEFTOVERS ? attempt - LEFTOVERS : 0;
	delete_next(c);
}

void copy_make(struct copy *c, wal_seq base, copy_fn *done, void *arg)
{
	copy_begin(c, done, arg);
	c->progress = (struct copy_progress){0};
	c->base = base;
	copy_ask_shape(c, true, on_shape);
}
