/* wal/verify_round.c - the same question to several instances, at the same time.
 *
 * Clients go on meanwhile, and answers that are equal are equal whenever they were given.
 * That they differ means nothing before it is seen at rest: new records of the collection
 * wait, the instances do what they have begun, and when all have come equally far they
 * are asked again. That may take a second; if it takes longer, clients go first. */
#include <stdlib.h>

#include "wal/append.h"
#include "wal/calls.h"
#include "wal/copy.h"
#include "wal/engine.h"
#include "wal/record.h"
#include "wal/scope.h"
#include "wal/verify_private.h"

#define LOOK_EVERY_MS 3u
#define REST_MOST_MS 1000u
#define ANSWER_MOST_MS 15000u
#define BEHIND_MOST 200u

struct verify_sizes verify_sizes = {.window = (size_t)32 * 1024 * 1024,
                                    .alone = (size_t)64 * 1024 * 1024};

static bool has(unsigned who, unsigned i)
{
	return (who >> i & 1) != 0;
}

bool round_may_ask(const struct collection *c, unsigned i)
{
	return i < health_count() && instance_writable(health_instance(i)) &&
	       wal_readable(health_instance(i), c) &&
	       (c->scope == NULL || c->scope->lanes[i].behind <= BEHIND_MOST);
}

/* --- the end ------------------------------------------------------------------------ */

static bool let_go(struct round *r)
{
	bool held = r->held;

	timer_stop(&r->timer);
	r->held = r->rests = false;
	if (held)
		r->collection->scope->holds--;
	return held;
}

void round_release(struct round *r)
{
	if (let_go(r))
		engine_kick_scope(r->collection->scope);
}

static void forget_answers(struct round *r)
{
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++) {
		if (r->questions[i].call != NULL)
			copy_call_ended(i);
		op_cancel(&r->questions[i].call);
		blob_unref(&r->answers[i]);
		r->http[i] = 0;
	}
}

void round_clear(struct round *r)
{
	forget_answers(r);
	let_go(r);
}

static void end(struct round *r, enum status s)
{
	r->done(r->arg, s);
}

/* --- asking ------------------------------------------------------------------------- */

static void on_answer(void *arg, const struct reply *reply)
{
	struct round_question *q = arg;
	struct round *r = q->round;
	unsigned i = q->instance;

	copy_call_ended(i);
	r->left--;
	r->http[i] = reply->status == STATUS_OK ? reply->http : 0;
	r->answers[i] = blob_ref(reply->body);
	if (reply->status == STATUS_TOO_LARGE)
		r->status = STATUS_TOO_LARGE;
	else if (r->status == STATUS_OK && r->http[i] != 200)
		r->status = STATUS_BAD_REPLY;
	if (r->left == 0)
		end(r, r->status);
}

static msec time_left(const struct round *r)
{
	msec now = clock_ms();

	if (!r->rests)
		return ANSWER_MOST_MS;
	return r->until > now ? r->until - now : 1;
}

static void ask(struct round *r, unsigned i, const char *verb, struct blob *body,
                size_t most)
{
	struct round_question *q = &r->questions[i];
	struct prepared p;
	struct headers headers = {0};
	struct call call = {.headers = &headers,
	                    .timeout = time_left(r),
	                    .max_reply = most,
	                    .repeatable = true};

	if (verb == NULL)
		prepare_shape(&p, r->collection, i);
	else
		prepare_question_about(&p, r->collection, i, verb, body);
	call.method = p.method;
	call.target = p.target.s;
	call.body = p.body;
	if (body != NULL)
		headers_add(&headers, "content-type", "application/json");
	q->round = r;
	q->instance = i;
	copy_call_begins(i);
	upstream_call(instance_upstream(health_instance(i)), &call, on_answer, q,
	              &q->call);
	headers_clear(&headers);
	prepared_clear(&p);
}

static void ask_all(struct round *r, unsigned who, const char *verb, struct blob *body,
                    size_t most)
{
	forget_answers(r);
	r->who = who;
	r->status = STATUS_OK;
	r->began = clock_ms();
	r->left = (unsigned)__builtin_popcount(who);
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++)
		if (has(who, i))
			ask(r, i, verb, body, most);
}

void round_ask(struct round *r, unsigned who, const char *verb, struct blob *body,
               void (*done)(void *arg, enum status s), void *arg)
{
	r->done = done;
	r->arg = arg;
	ask_all(r, who, verb, body, verify_sizes.window);
}

void round_ask_much(struct round *r, unsigned who, const char *verb, struct blob *body,
                    void (*done)(void *arg, enum status s), void *arg)
{
	r->done = done;
	r->arg = arg;
	ask_all(r, who, verb, body, verify_sizes.alone);
}

/* --- at rest ------------------------------------------------------------------------ */

static void on_too_long(void *arg)
{
	struct round *r = arg;

	forget_answers(r);
	round_release(r);
	end(r, STATUS_BUSY);
}

/* Nothing is under way there, and nothing may have been executed that is not counted. */
static bool is_at_rest(const struct lane *lane, unsigned i)
{
	const struct record *r = lane->head != NULL ? lane->head->record : NULL;

	if (lane->cold != NULL)
		return false;
	return r == NULL || (r->turns[i].state == TURN_QUEUED && !r->turns[i].doubt &&
	                     r->executor != (int)i);
}

/* The same record is next for all: what came before it is what they hold. */
static bool are_equally_far(const struct round *r)
{
	const struct lane *lanes = r->collection->scope->lanes;
	const struct member *next = lanes[__builtin_ctz(r->who)].head;

	for (unsigned i = 0; i < health_count(); i++)
		if (has(r->who, i) &&
		    (lanes[i].head != next || !is_at_rest(&lanes[i], i)))
			return false;
	return true;
}

static bool may_all_be_asked(const struct round *r)
{
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++)
		if (has(r->who, i) && !round_may_ask(r->collection, i))
			return false;
	return true;
}

/* Everything that was logged of it by now is done; or that of which a record waits. */
static wal_seq position(const struct round *r)
{
	const struct lane *lane = &r->collection->scope->lanes[__builtin_ctz(r->who)];

	return lane->head != NULL ? lane->head->record->seq - 1 : append_last_seq();
}

static void on_look(void *arg)
{
	struct round *r = arg;
	msec now = clock_ms();

	if (now >= r->until || r->collection->life == LIFE_GONE || !may_all_be_asked(r)) {
		on_too_long(r);
	} else if (!are_equally_far(r)) {
		timer_start(&r->timer, LOOK_EVERY_MS, on_look, r);
	} else {
		r->rests = true;
		r->at = position(r);
		timer_start(&r->timer, r->until - now, on_too_long, r);
		end(r, STATUS_OK);
	}
}

void round_rest(struct round *r, unsigned who, void (*done)(void *arg, enum status s),
                void *arg)
{
	r->who = who;
	r->done = done;
	r->arg = arg;
	r->began = clock_ms();
	r->until = r->began + REST_MOST_MS;
	if (!r->held)
		scope_of_collection(r->collection)->holds++;
	r->held = true;
	timer_start(&r->timer, 0, on_look, r);
}
