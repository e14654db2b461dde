/* wal/copy.c - the life of a copy, and its calls, one after the other.
 *
 *   copy_begin   a step starts
 *   copy_ask     one call; its answer leads to the next
 *   copy_end     the step is over, well or not
 * When it does not go well: a read that is answered 500 is tried again a few times (a
 * Chroma that writes at the same moment does that now and then); all else ends the step.
 * What a call may have done before its answer was lost, the same step does once more
 * without harm: an `add` leaves what is there, a `delete` what is not. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "wal/copy_private.h"
#include "wal/verdict.h"

#define TIMEOUT_MS 30000u
#define TIMEOUT_BYTES_A_MS 100u
#define ANSWER_MOST (1024u * 1024u)
#define SHAPE_MOST (48u * 1024u * 1024u)
#define TRIES 5u
#define TRY_AGAIN_MS 100u

struct copy_sizes copy_sizes = {
        .window = 5000, .page = 400, .tail = 1000, .deletes = 1000};
static uint64_t calls[CONF_MAX_INSTANCES];
static unsigned under_way[CONF_MAX_INSTANCES];

/* --- life ----------------------------------------------------------------------------
 */

struct copy *copy_create(const struct copy_spec *spec,
                         const struct copy_progress *progress)
{
	struct copy *c = mem_new(struct copy);

	c->spec = *spec;
	c->spec.tenant = c->tenant = mem_string(spec->tenant);
	c->spec.database = c->database = mem_string(spec->database);
	if (progress != NULL)
		c->progress = *progress;
	return c;
}

static void ask_clear(struct ask *ask)
{
	text_clear(&ask->target);
	blob_unref(&ask->body);
	*ask = (struct ask){0};
}

static void step_clear(struct copy *c)
{
	if (c->pending != NULL)
		copy_call_ended(c->ask.instance);
	op_cancel(&c->pending);
	timer_stop(&c->rest);
	ask_clear(&c->ask);
	touched_clear(&c->touched);
	walk_clear(&c->walk);
	id_set_clear(&c->tail);
	text_clear(&c->page);
	text_clear(&c->going);
	blob_unref(&c->window);
	blob_unref(&c->answer);
	json_decref(c->shape);
	free(c->name);
	c->shape = NULL;
	c->name = NULL;
	c->n_going = c->tail_most = 0;
	c->number = 0;
	c->holder_made = false;
	c->done = NULL;
}

void copy_destroy(struct copy **copy)
{
	struct copy *c = *copy;

	*copy = NULL;
	if (c == NULL)
		return;
	step_clear(c);
	free(c->tenant);
	free(c->database);
	free(c);
}

const struct copy_progress *copy_progress(const struct copy *c)
{
	return &c->progress;
}

uint64_t copy_calls(unsigned instance)
{
	return calls[instance];
}

void copy_call_begins(unsigned instance)
{
	calls[instance]++;
	under_way[instance]++;
}

void copy_call_ended(unsigned instance)
{
	under_way[instance]--;
}

unsigned copy_calls_under_way(unsigned instance)
{
	return under_way[instance];
}

void copy_begin(struct copy *c, copy_fn *done, void *arg)
{
	assert(c->done == NULL);
	c->done = done;
	c->arg = arg;
}

/* `why` may be of the step itself. */
void copy_end(struct copy *c, enum status s, const char *why)
{
	copy_fn *done = c->done;
	char text[256];

	snprintf(text, sizeof(text), "%s", why);
	step_clear(c);
	done(c->arg, s, text);
}

/* --- a call --------------------------------------------------------------------------
 */

static bool reads(const struct ask *ask)
{
	size_t len = ask->target.len;

	return strcmp(ask->method, "GET") == 0 ||
	       (len > 4 && strcmp(ask->target.s + len - 4, "/get") == 0);
}

static bool is_name_taken(const struct reply *reply)
{
	static const char words[] = "UNIQUE constraint failed";

	return reply->http == 500 &&
	       memmem(blob_bytes(reply->body), blob_len(reply->body), words,
	              sizeof(words) - 1) != NULL;
}

static bool is_expected(unsigned expects, const struct reply *reply)
{
	if (reply->status == STATUS_TOO_LARGE)
		return (expects & EXPECT_TOO_LARGE) != 0;
	if (reply->status != STATUS_OK)
		return false;
	switch (reply->http) {
	case 400:
		return (expects & EXPECT_400) != 0;
	case 404:
		return (expects & EXPECT_404) != 0;
	case 409:
		return (expects & EXPECT_409) != 0;
	case 500:
		return (expects & EXPECT_TAKEN) != 0 && is_name_taken(reply);
	default:
		return reply->http >= 200 && reply->http < 300;
	}
}

/* A clear no will not change: begin anew. */
static enum status status_of(const struct reply *reply)
{
	if (reply->status != STATUS_OK)
		return reply->status;
	switch (verdict_of(reply)) {
	case VERDICT_LOST:
	case VERDICT_REFUSED:
		return reply->http == 413 ? STATUS_TOO_LARGE : STATUS_CONFLICT;
	default:
		return STATUS_BAD_REPLY;
	}
}

static void end_by(struct copy *c, const struct reply *reply)
{
	char why[256];
	const char *name = instance_name(health_instance(c->ask.instance));
	const char *at = strrchr(text_string(&c->ask.target), '/');

	if (reply->status != STATUS_OK)
		snprintf(why, sizeof(why), "%s: %s (%s)", name,
		         status_text(reply->status), reply->detail);
	else
		snprintf(why, sizeof(why), "%s answered %d to %s %.60s", name,
		         reply->http, c->ask.method, at);
	copy_end(c, status_of(reply), why);
}

static void send_it(struct copy *c);

static void on_rested(void *arg)
{
	struct copy *c = arg;
	copy_step *next = c->next;

	next(c);
}

void copy_after(struct copy *c, msec wait, copy_step *next)
{
	c->next = next;
	timer_start(&c->rest, wait, on_rested, c);
}

static bool is_worth_another_try(const struct copy *c, const struct reply *reply)
{
	return reply->status == STATUS_OK && reply->http == 500 && reads(&c->ask) &&
	       c->ask.tries < TRIES;
}

static void on_reply(void *arg, const struct reply *reply)
{
	struct copy *c = arg;

	copy_call_ended(c->ask.instance);
	health_report(health_instance(c->ask.instance), health_signal_of(reply),
	              reply->detail);
	if (is_worth_another_try(c, reply))
		copy_after(c, TRY_AGAIN_MS, send_it);
	else if (is_expected(c->ask.expects, reply))
		c->then(c, reply);
	else
		end_by(c, reply);
}

static void send_it(struct copy *c)
{
	struct headers headers = {0};
	struct call call = {.method = c->ask.method,
	                    .target = c->ask.target.s,
	                    .headers = &headers,
	                    .body = c->ask.body,
	                    .timeout = TIMEOUT_MS +
	                               blob_len(c->ask.body) / TIMEOUT_BYTES_A_MS,
	                    .max_reply = c->ask.most > 0 ? c->ask.most : ANSWER_MOST,
	                    .repeatable = reads(&c->ask)};

	copy_call_begins(c->ask.instance);
	c->ask.tries++;
	if (c->ask.body != NULL)
		headers_add(&headers, "content-type", "application/json");
	upstream_call(instance_upstream(health_instance(c->ask.instance)), &call,
	              on_reply, c, &c->pending);
	headers_clear(&headers);
}

static void may_not(struct copy *c)
{
	copy_end(c, STATUS_DEPOSED, "it is not for this proxy to write now");
}

bool copy_is_writing(const struct copy *c)
{
	return c->pending != NULL && !reads(&c->ask);
}

void copy_ask(struct copy *c, struct ask *ask, answer_fn *then)
{
	ask_clear(&c->ask);
	c->ask = *ask;
	*ask = (struct ask){0};
	c->then = then;
	if (!reads(&c->ask) && c->spec.may_write != NULL && !c->spec.may_write())
		copy_after(c, 0, may_not);
	else
		send_it(c);
}

/* --- what is asked more than once ------------------------------------------------------
 */

void copy_ask_shape(struct copy *c, bool donor, answer_fn *then)
{
	struct ask ask = {.instance = donor ? c->spec.donor : c->spec.target,
	                  .method = "GET",
	                  .most = SHAPE_MOST};

	copy_path_collections(&ask.target, c);
	text_addf(&ask.target, "/by-id/%s",
	          donor ? c->spec.source.text : c->progress.made.text);
	copy_ask(c, &ask, then);
}

bool copy_shape_from(struct copy *c, const struct reply *reply, json_t **shape)
{
	*shape = json_loadb(blob_bytes(reply->body), blob_len(reply->body),
	                    JSON_ALLOW_NUL, NULL);
	if (json_is_object(*shape))
		return true;
	json_decref(*shape);
	*shape = NULL;
	copy_end(c, STATUS_BAD_REPLY, "a collection that is not understood");
	return false;
}

void copy_ask_count(struct copy *c, bool donor, answer_fn *then)
{
	struct ask ask = {.instance = donor ? c->spec.donor : c->spec.target,
	                  .method = "GET"};

	copy_path_of(&ask.target, c, donor ? &c->spec.source : &c->progress.made,
	             "/count");
	copy_ask(c, &ask, then);
}

bool copy_count_from(struct copy *c, const struct reply *reply, uint64_t *n)
{
	struct json_slice whole =
	        json_whole(blob_bytes(reply->body), blob_len(reply->body));
	int64_t count = json_int64(whole, -1);

	*n = (uint64_t)count;
	if (count >= 0)
		return true;
	copy_end(c, STATUS_BAD_REPLY, "a count that is not understood");
	return false;
}

/* --- the dimension --------------------------------------------------------------------
 */

#define DIMENSION_MOST 3000000 /* of which an item fits in a request */

static void on_dimension_set(struct copy *c, const struct reply *reply)
{
	(void)reply;
	c->after_dimension(c);
}

static void on_dimension_item(struct copy *c, const struct reply *reply)
{
	struct ask ask = {.instance = c->spec.target, .method = "POST"};
	struct text ids = {0};

	(void)reply;
	text_adds(&ids, "\"" RESERVED_PREFIX "dimension\"");
	copy_path_of(&ask.target, c, &c->progress.made, "/delete");
	ask.body = copy_ids(&ids);
	text_clear(&ids);
	copy_ask(c, &ask, on_dimension_set);
}

/* Somewhere, but not near everything: an index may not find again what was linked by way
 * of a point that is deleted (measured with 1,0,0,...: one item of 225). */
void copy_set_dimension(struct copy *c, int64_t dimension, copy_step *next)
{
	struct ask ask = {.instance = c->spec.target, .method = "POST"};
	struct text body = {0};

	if (dimension < 0 || dimension > DIMENSION_MOST) {
		copy_end(c, STATUS_TOO_LARGE, "a dimension that cannot be copied");
		return;
	}
	text_adds(&body,
	          "{\"ids\":[\"" RESERVED_PREFIX "dimension\"],\"embeddings\":[[1");
	for (uint32_t k = 1; k < (uint32_t)dimension; k++)
		text_addf(&body, ",%d", (int)(k * 2654435761u >> 24) - 127);
	text_adds(&body, "]]}");
	copy_path_of(&ask.target, c, &c->progress.made, "/add");
	ask.body = copy_text_blob(&body);
	c->after_dimension = next;
	copy_ask(c, &ask, on_dimension_item);
}

/* --- copy_check ------------------------------------------------------------------------
 */

static void checked(struct copy *c)
{
	copy_end(c, STATUS_OK, "");
}

static void on_target_shape(struct copy *c, const struct reply *reply)
{
	int64_t wanted = shape_dimension(c->shape), have;
	json_t *made;
	bool same;

	if (!copy_shape_from(c, reply, &made))
		return;
	same = shape_same_settings(c->shape, made) && shape_same_metadata(c->shape, made);
	have = shape_dimension(made);
	json_decref(made);
	if (!same)
		copy_end(c, STATUS_CONFLICT, "the collection itself is not the same");
	else if (have == wanted)
		copy_end(c, STATUS_OK, "");
	else if (have == 0)
		copy_set_dimension(c, wanted, checked);
	else
		copy_end(c, STATUS_CONFLICT, "another dimension");
}

static void on_donor_shape(struct copy *c, const struct reply *reply)
{
	if (copy_shape_from(c, reply, &c->shape))
		copy_ask_shape(c, false, on_target_shape);
}

static void on_target_count(struct copy *c, const struct reply *reply)
{
	char why[100];
	uint64_t n;

	if (!copy_count_from(c, reply, &n))
		return;
	if (n == c->progress.total) {
		copy_ask_shape(c, true, on_donor_shape);
		return;
	}
	snprintf(why, sizeof(why), "%" PRIu64 " items, the donor has %" PRIu64, n,
	         c->progress.total);
	copy_end(c, STATUS_CONFLICT, why);
}

static void on_donor_count(struct copy *c, const struct reply *reply)
{
	if (copy_count_from(c, reply, &c->progress.total))
		copy_ask_count(c, false, on_target_count);
}

void copy_check(struct copy *c, copy_fn *done, void *arg)
{
	copy_begin(c, done, arg);
	copy_ask_count(c, true, on_donor_count);
}
