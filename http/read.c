/* http/read.c - reads of one collection, and questions every instance answers alike.
 *
 * The happy path:
 *   read_items    whom does the path mean?
 *   ask           an instance that has executed everything sent so far
 *   aim           the same request, with that instance's id in the path; relay.c does the
 *                 rest, or together.c where several wait for that instance
 * When it does not go well:
 *   - nobody is current: hold it (rounds.c), for catching up takes milliseconds; after
 * two seconds take the one least behind and say how far (STALE_READS), or refuse
 *   - no instance is up: the same wait, then 503
 *   - the catalogue does not know the collection: let an instance refuse it in its words
 */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "http/exchange.h"

static bool may_serve(const struct instance *in, void *arg)
{
	const struct exchange *ex = arg;

	return relay_untried(ex, in) && wal_current(in, ex->collection);
}

/* Until it was asked, or may not be any more, the choice stands: it may have a place in a
 * line there. */
static struct instance *choose_current(struct exchange *ex)
{
	struct instance *in = ex->chosen;

	if (in == NULL || !instance_up(in) || !may_serve(in, ex))
		ex->chosen = health_choose_read_of((uint64_t)ex->collection->id,
		                                   may_serve, ex);
	return ex->chosen;
}

static bool somebody_is_current(struct exchange *ex)
{
	for (unsigned i = 0; i < health_count(); i++)
		if (instance_up(health_instance(i)) && may_serve(health_instance(i), ex))
			return true;
	return false;
}

/* --- where it goes ----------------------------------------------------------------- */

void read_aim(const struct exchange *ex, struct instance *in, struct text *target)
{
	const struct collection *c = ex->collection;

	text_adds(target, "/api/v2/tenants/");
	rewrite_add_segment(target, c->db->tenant);
	text_adds(target, "/databases/");
	rewrite_add_segment(target, c->db->name);
	text_adds(target, ex->route.kind == ROUTE_READ_ITEMS ? "/collections/"
	                                                     : "/collections/by-id/");
	text_adds(target, c->local[instance_index(in)].text);
	text_adds(target, ex->route.tail);
}

static void aim(struct exchange *ex, struct instance *in, struct text *target)
{
	read_aim(ex, in, target);
}

/* Answers about a collection carry its id, and so do refusals; documents may hold the
 * text of any id and are not touched. */
static void edit(struct exchange *ex, struct instance *in, int http,
                 struct evbuffer *data)
{
	const struct collection *c = ex->collection;

	if (http >= 400 || ex->route.kind != ROUTE_READ_ITEMS)
		relay_rename(data, &c->local[instance_index(in)], &c->public_id);
}

/* --- nobody is current ------------------------------------------------------------- */

static struct instance *least_behind(struct exchange *ex)
{
	struct instance *best = NULL;
	uint64_t behind, least = UINT64_MAX;

	for (unsigned i = 0; i < health_count(); i++) {
		struct instance *in = health_instance(i);

		if (!instance_up(in) || !relay_untried(ex, in) ||
		    !wal_readable(in, ex->collection))
			continue;
		behind = wal_behind(in, ex->collection);
		if (behind < least) {
			least = behind;
			best = in;
		}
	}
	if (best != NULL)
		ex->stale = least;
	return best;
}

static const struct relay_plan stale_plan = {.read = true,
                                             .aim = aim,
                                             .edit = edit,
                                             .choose = least_behind,
                                             .none = relay_gave_up};

/* --- asking ------------------------------------------------------------------------ */

static const struct relay_plan items_plan = {.read = true,
                                             .exists = true,
                                             .aim = aim,
                                             .edit = edit,
                                             .choose = choose_current,
                                             .wait = rounds_another_comes,
                                             .none = rounds_next,
                                             .over = together_over};

static const struct relay_plan collection_plan = {.method = "GET",
                                                  .read = true,
                                                  .exists = true,
                                                  .whole = true,
                                                  .aim = aim,
                                                  .edit = edit,
                                                  .choose = choose_current,
                                                  .wait = rounds_another_comes,
                                                  .none = rounds_next};

static void ask(struct exchange *ex)
{
	bool item = ex->route.kind == ROUTE_READ_ITEMS;

	if (ex->collection->life == LIFE_GONE) { /* or the catalogue is, with our lease */
		dispatch(ex);
		return;
	}
	ex->again = ask;
	if (exchange_refreshes(ex, ask))
		return;
	if (!somebody_is_current(ex))
		rounds_wait(ex, &stale_plan, ex->body);
	else if (!item || !together_waits(ex, choose_current(ex)))
		relay_start(ex, item ? &items_plan : &collection_plan, ex->body);
}

/* --- doors ------------------------------------------------------------------------- */

void read_items(struct exchange *ex)
{
	enum found f = find_by_id_or_name(ex);

	if (f == FOUND)
		ask(ex);
	else if (f == FOUND_UNDECIDED)
		exchange_wait_collection(ex, ex->collection, read_items);
	else
		refusal_ask(ex, exchange_no_collection);
}

void read_collection(struct exchange *ex)
{
	bool by_id = ex->route.kind == ROUTE_GET_COLLECTION_ID;
	enum found f = by_id ? find_by_id(ex) : find_by_name(ex);
	struct uuid id;

	if (f == FOUND) {
		ask(ex);
	} else if (f == FOUND_UNDECIDED) {
		exchange_wait_collection(ex, ex->collection, read_collection);
	} else if (f == FOUND_NOT_AN_ID) {
		exchange_error(ex, 400, "InvalidArgumentError",
		               "Validation error: collection_id: Invalid collection ID "
		               "format, expected UUID");
	} else {
		bool known_form =
		        by_id && uuid_parse(ex->route.item, strlen(ex->route.item), &id);

		exchange_error(ex, 404, "NotFoundError", "Collection [%s] does not exist",
		               known_form ? id.text : ex->route.item);
	}
}

/* --- the same everywhere ----------------------------------------------------------- */

/* A client can be made while no instance is there. */
static void nobody_up(struct exchange *ex)
{
	if (strcmp(ex->route.op, "version") == 0)
		exchange_json(ex, 200, "\"1.0.0\"");
	else if (strcmp(ex->route.op, "pre_flight_checks") == 0)
		exchange_json(
		        ex, 200,
		        "{\"max_batch_size\":5461,\"supports_base64_encoding\":true}");
	else
		relay_gave_up(ex);
}

static const struct relay_plan any_plan = {.read = true,
                                           .aim = relay_aim_same,
                                           .choose = relay_choose_any,
                                           .none = nobody_up};

void read_any_instance(struct exchange *ex)
{
	relay_start(ex, &any_plan, ex->body);
}
