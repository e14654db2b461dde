/* health/marker_read.c - what an instance bears, for one who only wants to know.
 *
 * marker.c lets instances in, for the proxy that leads. Another one that is to work at an
 * instance asks for itself, each time before it begins:
 *   instance_read_marker   the collection of the marker
 *   on_collection          there: its items; not there: it bears none
 *   on_items               the youngest of them
 * When it does not go well: it does not answer, or not in a way that is understood:
 * STATUS_BAD_REPLY, and the one who asked does not begin. */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "health/health_private.h"

#define PATIENCE_MS 5000u

struct reading {
	struct op op;
	struct upstream *up;
	enum status status;
	struct marker found;
	instance_marker_fn *done;
	void *arg;
	struct op *call;
};

static void deliver(struct op *op)
{
	struct reading *r = (struct reading *)op;

	r->done(r->arg, r->status, &r->found);
}

static void release(struct op *op)
{
	struct reading *r = (struct reading *)op;

	op_cancel(&r->call);
	free(r);
}

static void abandon(struct op *op)
{
	struct reading *r = (struct reading *)op;

	op_cancel(&r->call);
	op_end(op);
}

static void end(struct reading *r, enum status s)
{
	r->status = s;
	op_end(&r->op);
}

/* What is not an answer ends it; true: it is one. */
static bool is_answered(struct reading *r, const struct reply *reply)
{
	if (reply->status != STATUS_OK)
		end(r, reply->status);
	else if (reply->http == 404)
		end(r, STATUS_OK); /* it bears none */
	else if (reply->http != 200)
		end(r, STATUS_BAD_REPLY);
	else
		return true;
	return false;
}

static void on_items(void *arg, const struct reply *reply)
{
	struct reading *r = arg;
	size_t items;

	if (is_answered(r, reply))
		end(r, marker_parse(reply->body, &r->found, &items) ? STATUS_OK
		                                                    : STATUS_BAD_REPLY);
}

static void ask(struct upstream *up, const char *method, const char *target,
                struct blob *body, upstream_fn *done, void *arg, struct op **slot)
{
	struct headers headers = {0};
	struct call call = {
	        .method = method,
	        .target = target,
	        .headers = &headers,
	        .body = body,
	        .timeout = PATIENCE_MS,
	        .max_reply = MARKER_REPLY_MOST,
	        .repeatable = true,
	        .alone = true,
	};

	if (body != NULL)
		headers_add(&headers, "content-type", "application/json");
	upstream_call(up, &call, done, arg, slot);
	headers_clear(&headers);
}

void marker_ask_collection(struct upstream *up, upstream_fn *done, void *arg,
                           struct op **slot)
{
	ask(up, "GET", MARKER_COLLECTION, NULL, done, arg, slot);
}

void marker_ask_items(struct upstream *up, const struct uuid *collection,
                      upstream_fn *done, void *arg, struct op **slot)
{
	char *target = mem_format(MARKER_COLLECTIONS "/%s/get", collection->text);
	struct blob *body = blob_create(MARKER_QUESTION, strlen(MARKER_QUESTION));

	ask(up, "POST", target, body, done, arg, slot);
	blob_unref(&body);
	free(target);
}

static void on_collection(void *arg, const struct reply *reply)
{
	struct reading *r = arg;
	struct json_slice whole =
	        json_whole(blob_bytes(reply->body), blob_len(reply->body));
	struct uuid id;

	if (!is_answered(r, reply))
		return;
	if (uuid_parse_json(json_member(whole, "id"), &id))
		marker_ask_items(r->up, &id, on_items, r, &r->call);
	else
		end(r, STATUS_BAD_REPLY);
}

void instance_read_marker(struct instance *in, instance_marker_fn *done, void *arg,
                          struct op **slot)
{
	struct reading *r = mem_new(struct reading);

	r->op.deliver = deliver;
	r->op.release = release;
	r->op.abandon = abandon;
	r->up = in->up;
	r->done = done;
	r->arg = arg;
	op_begin(&r->op, slot);
	marker_ask_collection(r->up, on_collection, r, &r->call);
}
