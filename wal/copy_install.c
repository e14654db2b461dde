/* wal/copy_install.c - the new collection takes the place of an old one.
 *
 *   set_aside     the old one, by its id, under a name nobody else has
 *   take_name     the new one, by its id
 *   delete_aside  what was set aside, by that name
 *
 * On an older disk the name for what is set aside may be taken, by what was set aside
 * long ago: that goes first, as it would have then.
 *
 * The other name may be taken by what the catalogue does not know: an older disk has come
 * back, or somebody went to the instance directly. That is set aside for good
 * (make_room).
 *
 * By ids and names of our own no other collection can be meant, however late a request
 * arrives. Each step may be repeated: what is gone is gone (404), and a name that it has
 * already is given to it again without complaint. */
#include <stdlib.h>

#include "core/log.h"
#include "core/mem.h"
#include "wal/copy_private.h"
#include "wal/survey.h"

#define OWNER_MOST (48u * 1024u * 1024u)

static void rename_it(struct copy *c, const struct uuid *id, const char *name,
                      unsigned expects, answer_fn *then)
{
	struct ask ask = {.instance = c->spec.target,
	                  .method = "PUT",
	                  .body = copy_named("new_name", name),
	                  .expects = expects};

	copy_path_of(&ask.target, c, id, "");
	copy_ask(c, &ask, then);
}

static void delete_named(struct copy *c, const char *what, answer_fn *then)
{
	struct ask ask = {
	        .instance = c->spec.target, .method = "DELETE", .expects = EXPECT_404};
	char *name = copy_name(c, what, c->spec.attempt);

	copy_path_named(&ask.target, c, name);
	free(name);
	copy_ask(c, &ask, then);
}

static void on_gone(struct copy *c, const struct reply *reply)
{
	(void)reply;
	copy_end(c, STATUS_OK, "");
}

/* --- in its place
 * ------------------------------------------------------------------------
 */

static void on_named(struct copy *c, const struct reply *reply)
{
	if (reply->http == 500)
		copy_end(c, STATUS_BUSY, "another collection has the name");
	else if (reply->http == 404)
		copy_end(c, STATUS_CONFLICT, "the copy is not there any more");
	else
		delete_named(c, "old", on_gone);
}

static void take_name(struct copy *c)
{
	rename_it(c, &c->progress.made, c->name, EXPECT_TAKEN | EXPECT_404, on_named);
}

static void set_aside(struct copy *c);

static void on_room(struct copy *c, const struct reply *reply)
{
	(void)reply;
	set_aside(c);
}

static void on_aside(struct copy *c, const struct reply *reply)
{
	bool taken = reply != NULL && reply->http == 500;

	if (taken && c->number++ > 0)
		copy_end(c, STATUS_BAD_REPLY, "the old one cannot be set aside");
	else if (taken)
		delete_named(c, "old", on_room);
	else if (c->name != NULL)
		take_name(c);
	else
		delete_named(c, "old", on_gone);
}

static void set_aside(struct copy *c)
{
	char *aside = copy_name(c, "old", c->spec.attempt);

	rename_it(c, &c->old, aside, EXPECT_TAKEN | EXPECT_404, on_aside);
	free(aside);
}

void copy_install(struct copy *c, const struct uuid *old, const char *name, copy_fn *done,
                  void *arg)
{
	copy_begin(c, done, arg);
	c->name = name != NULL ? mem_string(name) : NULL;
	if (old == NULL || uuid_none(old)) {
		on_aside(c, NULL);
		return;
	}
	c->old = *old;
	set_aside(c);
}

/* --- who has its name? ---------------------------------------------------------------
 */

static bool is_one_of_ours(const struct copy *c, const struct uuid *id)
{
	const struct collection *owner = catalogue_by_uuid(id);

	return owner != NULL && uuid_compare(&owner->local[c->spec.target], id) == 0;
}

static void on_stranger_aside(struct copy *c, const struct reply *reply)
{
	if (reply->http != 404)
		log_warn("rebuild",
		         "instance %s holds another collection %s; it is kept there, "
		         "under a name that begins with " LOST_PREFIX,
		         instance_name(health_instance(c->spec.target)), c->name);
	copy_end(c, STATUS_OK, "");
}

static void on_owner(struct copy *c, const struct reply *reply)
{
	struct json_slice whole =
	        json_whole(blob_bytes(reply->body), blob_len(reply->body));
	struct uuid id;
	char *aside;

	if (reply->http == 404) {
		copy_end(c, STATUS_OK, "");
	} else if (!uuid_parse_json(json_member(whole, "id"), &id)) {
		copy_end(c, STATUS_BAD_REPLY, "a collection without an id");
	} else if (is_one_of_ours(c, &id)) {
		copy_end(c, STATUS_BUSY, "another collection has the name");
	} else {
		aside = mem_format(LOST_PREFIX "%s", id.text);
		rename_it(c, &id, aside, EXPECT_404, on_stranger_aside);
		free(aside);
	}
}

void copy_make_room(struct copy *c, const char *name, copy_fn *done, void *arg)
{
	struct ask ask = {.instance = c->spec.target,
	                  .method = "GET",
	                  .most = OWNER_MOST,
	                  .expects = EXPECT_404};

	copy_begin(c, done, arg);
	c->name = mem_string(name);
	copy_path_named(&ask.target, c, name);
	copy_ask(c, &ask, on_owner);
}
