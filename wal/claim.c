/* wal/claim.c - a collection that is adopted, at one instance: which of its is it there?
 *
 * Whom it is adopted from is asked first, and says whether it is still there under that
 * name. If so it is a collection from then on, and its id there the one clients know.
 * Then each of the others, before it gets any write of it:
 *   find        by name; most often none has it: lost here, so rebuild.c makes it anew
 *   compare     one of that name: what it is, then item by item, a window of both
 *               instances at a time. The same in all: it is the one
 *   lay_aside   it differs: it gets a name that nobody uses, and is never deleted
 * When it does not go well:
 *   - who it is adopted from has executed a write of it by now: there is nothing left to
 *     compare with, and what is copied is right in any case; so it counts as another. (At
 *     the first start clients wait until this is over.)
 *   - who it is adopted from cannot be asked: not decided, it is not adopted; decided, it
 *     is laid aside unread, for others wait behind it
 *   - it was deleted meanwhile: what has its name here was never ours; laid aside, too,
 * so that the name is free */
#include <jansson.h>
#include <stdlib.h>

#include "core/failpoint.h"
#include "core/log.h"
#include "core/mem.h"
#include "wal/compare.h"
#include "wal/engine.h"
#include "wal/record.h"
#include "wal/scope.h"
#include "wal/verdict.h"

#define WINDOW 200u
#define ANSWER_MS 30000u

struct claim {
	struct op op;
	const struct record *record; /* its execution cancels us before it goes */
	unsigned instance;
	claim_fn *done;
	void *arg;
	struct claim_result result;
	char *detail;
	struct blob *body;
	struct uuid found;
	struct blob
	        *answers[2]; /* to the same question; of this instance, of the other */
	unsigned n_answers;
	bool both_well;
	void (*compared)(struct claim *c);
	uint64_t offset;
	struct op *pending[2];
};

/* --- the end -------------------------------------------------------------------------
 */

static void deliver(struct op *op)
{
	struct claim *c = (struct claim *)op;

	c->result.detail = c->detail != NULL ? c->detail : "";
	c->result.body = c->body;
	c->done(c->arg, &c->result);
}

static void drop_answers(struct claim *c)
{
	blob_unref(&c->answers[0]);
	blob_unref(&c->answers[1]);
}

static void release(struct op *op)
{
	struct claim *c = (struct claim *)op;

	op_cancel(&c->pending[0]);
	op_cancel(&c->pending[1]);
	drop_answers(c);
	blob_unref(&c->body);
	free(c->detail);
	free(c);
}

static void abandon(struct op *op)
{
	struct claim *c = (struct claim *)op;

	op_cancel(&c->pending[0]);
	op_cancel(&c->pending[1]);
	op_end(op);
}

static void end(struct claim *c, enum verdict v, int http, const char *detail)
{
	op_cancel(&c->pending[0]);
	op_cancel(&c->pending[1]);
	c->result.verdict = v;
	c->result.http = http;
	c->detail = mem_string(detail);
	op_end(&c->op);
}

static void end_failed(struct claim *c, const struct reply *reply)
{
	enum verdict v = verdict_of(reply);

	c->result.broken = reply->status == STATUS_BROKEN;
	if (v == VERDICT_APPLIED || v == VERDICT_REFUSED || v == VERDICT_LOST)
		v = VERDICT_UNKNOWN; /* no answer to what was asked */
	end(c, v, reply->http, reply->detail);
}

/* --- asking --------------------------------------------------------------------------
 */

static struct instance *instance_of(const struct claim *c)
{
	return health_instance(c->instance);
}

static struct instance *other(const struct claim *c)
{
	return health_instance(c->record->origin.instance);
}

static void add_database(struct text *target, const struct claim *c)
{
	const struct database *db = c->record->collection->db;

	text_adds(target, "/api/v2/tenants/");
	rewrite_add_segment(target, db->tenant);
	text_adds(target, "/databases/");
	rewrite_add_segment(target, db->name);
	text_adds(target, "/collections/");
}

static void ask(struct claim *c, struct instance *in, const char *method,
                const struct text *target, struct text *body, upstream_fn *done,
                unsigned slot)
{
	struct headers headers = {0};
	struct call call = {.method = method,
	                    .target = target->s,
	                    .headers = &headers,
	                    .timeout = ANSWER_MS,
	                    .repeatable = true};

	if (body != NULL) {
		size_t len = body->len;

		headers_add(&headers, "content-type", "application/json");
		call.body = blob_adopt(text_detach(body), len);
	}
	upstream_call(instance_upstream(in), &call, done, c, &c->pending[slot]);
	blob_unref(&call.body);
	headers_clear(&headers);
}

static void note(struct instance *in, const struct reply *reply)
{
	health_report(in, health_signal_of(reply), reply->detail);
}

/* --- it is another -------------------------------------------------------------------
 */

static void not_here(struct claim *c)
{
	const struct record *r = c->record;
	char *text;

	if (r->collection->life == LIFE_GONE) {
		end(c, VERDICT_APPLIED, 200, "");
		return;
	}
	text = mem_format("it is to be copied from %s",
	                  record_has_origin(r) ? instance_name(other(c)) : "another");
	end(c, VERDICT_LOST, 404, text);
	free(text);
}

static void on_laid_aside(void *arg, const struct reply *reply)
{
	struct claim *c = arg;
	bool done = reply->status == STATUS_OK && reply->http / 100 == 2;

	note(instance_of(c), reply);
	FAILPOINT("adopt_laid_aside");
	if (!done && reply->http != 404) {
		end_failed(c, reply);
		return;
	}
	if (done)
		log_warn("adopt",
		         "instance %s holds another collection %s; it is kept there, "
		         "under the name " RESERVED_PREFIX "lost.%s",
		         instance_name(instance_of(c)), c->record->name, c->found.text);
	not_here(c);
}

static void lay_aside(struct claim *c)
{
	struct text target = {0}, body = {0};

	add_database(&target, c);
	text_adds(&target, c->found.text);
	text_addf(&body, "{\"new_name\":\"" RESERVED_PREFIX "lost.%s\"}", c->found.text);
	ask(c, instance_of(c), "PUT", &target, &body, on_laid_aside, 0);
	text_clear(&target);
}

/* --- is it the same? -----------------------------------------------------------------
 */

static bool describes_the_same(const struct blob *a, const struct blob *b)
{
	static const char *const keys[] = {"metadata", "configuration_json", "dimension"};
	json_t *x = json_loadb(blob_bytes(a), blob_len(a), 0, NULL);
	json_t *y = json_loadb(blob_bytes(b), blob_len(b), 0, NULL);
	bool same = json_is_object(x) && json_is_object(y);

	for (size_t k = 0; same && k < sizeof(keys) / sizeof(keys[0]); k++) {
		const json_t *v = json_object_get(x, keys[k]);
		const json_t *w = json_object_get(y, keys[k]);

		same = v == w || (v != NULL && w != NULL && json_equal(v, w));
	}
	json_decref(x);
	json_decref(y);
	return same;
}

/* It was written to since it is one. */
static bool has_moved(const struct claim *c)
{
	const struct record *r = c->record;
	const struct scope *s = scope_of_collection(r->collection);

	return s->lanes[r->origin.instance].sent > r->seq;
}

static void on_answer(struct claim *c, unsigned k, const struct reply *reply)
{
	c->both_well &= reply->status == STATUS_OK && reply->http == 200;
	c->answers[k] = blob_ref(reply->body);
	if (++c->n_answers == 2)
		c->compared(c);
}

static void on_own_answer(void *arg, const struct reply *reply)
{
	note(instance_of(arg), reply);
	on_answer(arg, 0, reply);
}

static void on_other_answer(void *arg, const struct reply *reply)
{
	note(other(arg), reply);
	on_answer(arg, 1, reply);
}

static void ask_one(struct claim *c, unsigned k, const struct uuid *id,
                    const char *question)
{
	struct text target = {0}, body = {0};

	add_database(&target, c);
	text_adds(&target, question == NULL ? "by-id/" : "");
	if (question == NULL) { /* collections/by-id/{id}: what it is */
		text_adds(&target, id->text);
	} else {
		text_addf(&target, "%s/get", id->text);
		text_adds(&body, question);
	}
	ask(c, k == 0 ? instance_of(c) : other(c), question == NULL ? "GET" : "POST",
	    &target, question == NULL ? NULL : &body,
	    k == 0 ? on_own_answer : on_other_answer, k);
	text_clear(&target);
}

/* NULL: what it is. */
static void ask_both(struct claim *c, const char *question,
                     void (*compared)(struct claim *c))
{
	drop_answers(c);
	c->n_answers = 0;
	c->both_well = true;
	c->compared = compared;
	ask_one(c, 0, &c->found, question);
	ask_one(c, 1, &c->record->origin.id, question);
}

static void next_window(struct claim *c);

static size_t n_ids(const struct blob *answer)
{
	struct json_slice whole = json_whole(blob_bytes(answer), blob_len(answer));

	return json_count(json_member(whole, "ids"));
}

static void it_is_the_same(struct claim *c)
{
	c->result.local = c->found;
	end(c, VERDICT_APPLIED, 200, "");
}

static void on_windows(struct claim *c)
{
	size_t n = n_ids(c->answers[0]);

	if (!c->both_well) {
		end(c, VERDICT_BUSY, 0, "it could not be compared");
	} else if (has_moved(c) || !compare_windows(c->answers[0], c->answers[1])) {
		lay_aside(c);
	} else if (n == WINDOW) {
		c->offset += n;
		next_window(c);
	} else {
		it_is_the_same(c);
	}
}

static void next_window(struct claim *c)
{
	char *question = mem_format("{\"limit\":%u,\"offset\":%llu,\"include\":"
	                            "[\"documents\",\"metadatas\",\"uris\","
	                            "\"embeddings\"]}",
	                            WINDOW, (unsigned long long)c->offset);

	ask_both(c, question, on_windows);
	free(question);
}

static void on_described(struct claim *c)
{
	if (!c->both_well)
		end(c, VERDICT_BUSY, 0, "it could not be compared");
	else if (has_moved(c) || !describes_the_same(c->answers[0], c->answers[1]))
		lay_aside(c);
	else
		next_window(c);
}

static void compare(struct claim *c)
{
	const struct record *r = c->record;

	if (r->collection->life == LIFE_GONE || !record_has_origin(r) ||
	    !instance_up(other(c)) || has_moved(c)) {
		lay_aside(c);
		return;
	}
	ask_both(c, NULL, on_described);
}

/* --- is there one? -------------------------------------------------------------------
 */

static void take_description(struct claim *c, const struct blob *answer)
{
	struct json_slice whole = json_whole(blob_bytes(answer), blob_len(answer));

	if (!uuid_parse_json(json_member(whole, "id"), &c->found))
		c->found = (struct uuid){{0}};
	c->result.has_dimension =
	        json_kind(json_member(whole, "dimension")) == JSON_NUMBER;
}

static void at_origin(struct claim *c, const struct reply *reply)
{
	FAILPOINT("adopt_found");
	c->body = blob_ref(reply->body);
	if (reply->http == 404 || uuid_compare(&c->found, &c->record->origin.id) != 0)
		end(c, VERDICT_REFUSED, 404, "it is not there any more");
	else
		it_is_the_same(c);
}

/* One id for two collections: a data directory was copied, and went its own way. */
static bool is_of_another(const struct claim *c)
{
	const struct collection *owner = catalogue_by_uuid(&c->found);

	return owner != NULL && owner != c->record->collection;
}

static bool is_bound(const struct claim *c, const struct collection *owner)
{
	return owner != NULL && uuid_compare(&owner->local[c->instance], &c->found) == 0;
}

static void elsewhere(struct claim *c)
{
	if (is_bound(c, c->record->collection)) /* an earlier attempt had found out */
		it_is_the_same(c);
	else if (is_bound(c, catalogue_by_uuid(&c->found)))
		end(c, VERDICT_BUSY, 0,
		    "the name is still held by a collection in quarantine");
	else if (is_of_another(c))
		lay_aside(c);
	else
		compare(c);
}

static void on_found(void *arg, const struct reply *reply)
{
	struct claim *c = arg;
	bool there = reply->status == STATUS_OK && reply->http == 200;

	note(instance_of(c), reply);
	if (there)
		take_description(c, reply->body);
	if (!there && reply->http != 404)
		end_failed(c, reply);
	else if (there && uuid_none(&c->found))
		end(c, VERDICT_UNKNOWN, 0, "its id was not understood");
	else if (record_is_from(c->record, c->instance))
		at_origin(c, reply);
	else if (there)
		elsewhere(c);
	else
		not_here(c);
}

static void find(struct claim *c)
{
	struct text target = {0};

	add_database(&target, c);
	rewrite_add_segment(&target, c->record->name);
	ask(c, instance_of(c), "GET", &target, NULL, on_found, 0);
	text_clear(&target);
}

void claim_start(const struct record *r, unsigned i, claim_fn *done, void *arg,
                 struct op **slot)
{
	struct claim *c = mem_new(struct claim);

	c->op.deliver = deliver;
	c->op.release = release;
	c->op.abandon = abandon;
	c->record = r;
	c->instance = i;
	c->done = done;
	c->arg = arg;
	op_begin(&c->op, slot);
	if (record_is_open(r) && !record_is_from(r, i))
		end(c, VERDICT_REFUSED, 503, "who has it cannot be asked now");
	else
		find(c);
}
