/* http/refusal.c - let an instance say no, in its own words.
 *
 * What Chroma says of a broken body, a wrong content type or a bad setting is Chroma's to
 * say. So a request that must not have any effect (the collection is not there, the name
 * is taken, the body is no object) is sent where it cannot have one: to an id or a
 * database that cannot exist, made up for this one request. Chroma looks at the body
 * first. If all it has to say is that the target is not there, the body was fine, and the
 * caller goes on with what it knows. */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "http/exchange.h"

static struct instance *choose(struct exchange *ex)
{
	for (unsigned i = 0; i < health_count(); i++) {
		struct instance *in = health_instance(i);

		if (instance_up(in) && (ex->tried & 1u << i) == 0)
			return in;
	}
	return NULL;
}

static bool makes_collection(const struct exchange *ex)
{
	return ex->route.kind == ROUTE_CREATE_COLLECTION ||
	       ex->route.kind == ROUTE_IMPORT_COLLECTION;
}

/* Made from the exchange's own number and a random id: never the same twice. */
static void aim(struct exchange *ex, struct instance *in, struct text *target)
{
	struct uuid nowhere = {{0}}, id;
	bool is_id = ex->route.item != NULL &&
	             uuid_parse(ex->route.item, strlen(ex->route.item), &id);

	(void)in;
	uuid_random(&nowhere);
	text_adds(target, "/api/v2/tenants/");
	if (ex->route.kind == ROUTE_CREATE_DATABASE) {
		text_addf(target, "%s/databases", nowhere.text);
		return;
	}
	rewrite_add_segment(target, ex->route.tenant);
	text_addf(target, "/databases/%s/collections", nowhere.text);
	if (makes_collection(ex))
		return;
	text_addc(target, '/');
	if (is_id)
		text_adds(target, nowhere.text);
	else
		rewrite_add_segment(target, ex->route.item);
	text_adds(target, ex->route.tail);
}

/* "... does not exist": of the target we made up, so of nothing else. */
static bool only_missing(int http, const struct blob *body)
{
	static const char text[] = "does not exist";

	return (http == 404 || http == 400) &&
	       memmem(blob_bytes(body), blob_len(body), text, sizeof(text) - 1) != NULL;
}

static void take(struct exchange *ex, struct instance *in, int http,
                 const struct headers *headers, struct blob *body)
{
	void (*otherwise)(struct exchange * ex) = ex->again;

	(void)in;
	if (http >= 400 && !only_missing(http, body)) {
		exchange_reply(ex, http, headers, body);
		return;
	}
	relay_stop(ex);
	ex->tried = 0;
	ex->instance = NULL;
	otherwise(ex);
}

static void nobody(struct exchange *ex)
{
	ex->tried = 0;
	ex->again(ex);
}

static const struct relay_plan plan = {.read = true,
                                       .whole = true,
                                       .aim = aim,
                                       .choose = choose,
                                       .take = take,
                                       .none = nobody};

void refusal_ask(struct exchange *ex, void (*otherwise)(struct exchange *ex))
{
	ex->again = otherwise;
	relay_start(ex, &plan, ex->body);
}
