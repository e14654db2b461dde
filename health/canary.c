/* health/canary.c - does an instance take writes? Write something small, judge, rest.
 *
 * A server with a full disk, a dead compactor or a locked database answers heartbeats,
 * and often reads, while every write fails. So each instance has a collection of our own,
 * under names that clients cannot use (they begin with "ctd-" and are in no catalogue),
 * where one item is written again and again.
 *
 * The leading proxy writes the instance's marker with it (marker.c); others an item of
 * no meaning.
 *
 * The happy path:
 *   canary_up    the instance has come up: the first one, at once
 *   begin        the collection is not known yet: create tenant, database, collection
 *   ask          look whether the marker is as it was left, then upsert the next
 *   judge        201: it takes writes
 *   job_rest     for PERIOD
 *
 * When it does not go well:
 *   - the marker is not as it was left: the instance has another disk than a moment ago.
 *     It is down, until its marker has been judged
 *   - 404: we have reset it: create everything anew, then upsert
 *   - 5xx, or the connection breaks: bad. Two in a row and it FAILS: nothing is sent
 * there to be executed; reads go on. It is asked on, and one good answer is enough for it
 * to take writes again: it has been through the one queue that all writes go through, and
 * what Chroma answers with 201 is on its disk.
 *   - no answer in time: bad as well, but not while a write of ours is under way that may
 *     itself take longer than that (thousands of items, many seconds): the queue is one.
 *     A small write that hangs with it is no excuse, so that hanging is noticed.
 *   - another 4xx or 501: it answers, and the reason is not the write path. Shows nothing
 *     bad.
 *   - nobody there, or stopped by ourselves: the probes' affair; asked again soon
 *   - a call of somebody else fails (canary_doubt): ask at once, every FAST_MS, with less
 *     patience, until a good answer settles it or the second bad one does. What reads or
 *     writes there need not be told apart: a canary more is cheap.
 *
 * An instance that was down is UNPROVEN when it comes up: it is sent no write before its
 * canary has been answered, which takes a few milliseconds on a server that is well, and
 * for ever on one that every write kills. At our own start there is no reason for such
 * doubt: it counts as well until the canary fails. */
#include <stdlib.h>
#include <string.h>

#include "core/headers.h"
#include "core/json_scan.h"
#include "core/mem.h"
#include "health/health_private.h"

#define PERIOD_MS 10000u
#define FAST_MS 500u
#define FAILING_MS 1000u /* each failed write makes Chroma go through its queue again */
#define FAILING_LATER_MS 5000u
#define FAILING_FAST_FOR 30000u
#define PATIENCE_MS 15000u
#define PATIENCE_IN_DOUBT_MS 3000u
#define SMALL_WRITE_MS 5000u /* a write with a time limit up to that is no big one */
#define BAD_MOST 2u
#define LOOK_LEAST_MS 2000u
#define REPLY_MOST 65536u

#define TENANT "ctd-chromatid"
#define DATABASE "ctd-canary"
#define COLLECTION "ctd-canary"
#define TENANTS "/api/v2/tenants"

static void on_reply(void *arg, const struct reply *reply);

enum canary_verdict canary_verdict(const struct reply *reply, msec silence, msec longest)
{
	switch (reply->status) {
	case STATUS_OK:
		if (reply->http >= 200 && reply->http < 300)
			return CANARY_GOOD;
		return reply->http >= 500 && reply->http != 501 ? CANARY_BAD
		                                                : CANARY_ANSWERED;
	case STATUS_BROKEN:
	case STATUS_BAD_REPLY:
		return CANARY_BAD;
	case STATUS_TIMED_OUT:
		return longest > SMALL_WRITE_MS && longest > silence ? CANARY_NOTHING
		                                                     : CANARY_BAD;
	default:
		return CANARY_NOTHING;
	}
}

/* --- what is asked ----------------------------------------------------------------- */

static void post(struct instance *in, const char *target, const char *json)
{
	struct canary *c = &in->canary;
	msec patience = c->suspect ? PATIENCE_IN_DOUBT_MS : PATIENCE_MS;
	msec took = clock_ms() - c->started;
	struct headers headers = {0};
	struct blob *body = blob_create(json, strlen(json));
	struct call call = {
	        .method = "POST",
	        .target = target,
	        .headers = &headers,
	        .body = body,
	        .timeout = took < patience ? patience - took : 1,
	        .max_reply = REPLY_MOST,
	        .alone = true,
	};

	headers_add(&headers, "content-type", "application/json");
	upstream_call(in->up, &call, on_reply, in, &c->call);
	headers_clear(&headers);
	blob_unref(&body);
}

static void post_to_collection(struct instance *in, const char *verb, const char *json)
{
	char *target =
	        mem_format(MARKER_COLLECTIONS "/%s/%s", in->canary.collection.text, verb);

	post(in, target, json);
	free(target);
}

static void write_marker(struct instance *in)
{
	struct canary *c = &in->canary;
	struct text body = {0};

	if (c->series == 0)
		c->series = c->marker.beat;
	marker_add_body(&body, &c->marker, c->series);
	post_to_collection(in, "upsert", text_string(&body));
	text_clear(&body);
}

/* No beat without a look at the one before, nor while somebody else is about to look: it
 * would make an older disk ours. */
static bool may_mark(const struct instance *in)
{
	const struct canary *c = &in->canary;

	return marker_is_judged() && (c->marking || (c->looked && instance_up(in)));
}

static void write_item(struct instance *in)
{
	struct canary *c = &in->canary;

	c->marker.there = may_mark(in) && marker_registrar->next(in, &c->marker);
	if (c->marker.there)
		write_marker(in);
	else
		post_to_collection(in, "upsert",
		                   "{\"ids\":[\"canary\"],\"embeddings\":[[1]]}");
}

static void sweep(struct instance *in)
{
	char *body = mem_format("{\"ids\":%s}", in->canary.old);

	free(in->canary.old);
	in->canary.old = NULL;
	post_to_collection(in, "delete", body);
	free(body);
}

static void ask(struct instance *in)
{
	switch (in->canary.step) {
	case CANARY_TENANT:
		post(in, TENANTS, "{\"name\":\"" TENANT "\"}");
		break;
	case CANARY_DATABASE:
		post(in, MARKER_DATABASES, "{\"name\":\"" DATABASE "\"}");
		break;
	case CANARY_COLLECTION:
		post(in, MARKER_COLLECTIONS,
		     "{\"name\":\"" COLLECTION "\",\"get_or_create\":true}");
		break;
	case CANARY_LOOK:
		post_to_collection(in, "get", MARKER_QUESTION);
		break;
	case CANARY_ITEM:
		write_item(in);
		break;
	case CANARY_SWEEP:
		sweep(in);
		break;
	}
}

/* While it is in doubt whether it takes writes, only that is asked. */
static bool is_to_be_looked_at(const struct instance *in)
{
	const struct canary *c = &in->canary;

	return marker_is_judged() && instance_up(in) && c->bad == 0 && !c->suspect &&
	       in->writing == WRITING_WELL;
}

static void begin(struct instance *in)
{
	struct canary *c = &in->canary;

	op_cancel(&c->call);
	c->started = clock_ms();
	if (c->silent_since == 0)
		c->silent_since = c->started;
	c->created = false;
	c->looked = c->judged;
	c->judged = false;
	if (uuid_none(&c->collection))
		c->step = CANARY_TENANT;
	else
		c->step = is_to_be_looked_at(in) ? CANARY_LOOK : CANARY_ITEM;
	ask(in);
}

/* Another run than this one decides what is written next. */
static void cut_off(struct canary *c)
{
	op_cancel(&c->call);
	c->series = 0;
}

static void run(struct job *job, void *arg)
{
	struct instance *in = arg;
	struct canary *c = &in->canary;
	msec since = clock_ms() - c->started;

	if (!instance_up(in))
		job_rest(job, PERIOD_MS); /* canary_up() is sooner */
	else if (c->started != 0 && since < FAST_MS)
		job_rest(job, FAST_MS - since);
	else
		begin(in);
}

/* --- what comes of it -------------------------------------------------------------- */

static void bad(struct instance *in, const char *why)
{
	struct canary *c = &in->canary;

	c->bad++;
	in->figures.canaries_bad++;
	log_debug("health", "instance %s: %s, %u in a row", in->name, why, c->bad);
	if (c->bad < BAD_MOST)
		return;
	if (in->writing != WRITING_FAILS)
		c->failing_since = clock_ms();
	c->suspect = false;
	set_writing(in, WRITING_FAILS, why);
}

static void good(struct instance *in, const char *why)
{
	if (in->canary.marker.there)
		marker_registrar->written(in, &in->canary.marker, true);
	in->canary.bad = 0;
	in->canary.suspect = false;
	in->figures.canaries_good++;
	set_writing(in, WRITING_WELL, why);
}

static void answered(struct instance *in, const char *why)
{
	in->canary.bad = 0;
	in->canary.suspect = false;
	log_debug("health", "instance %s: %s", in->name, why);
	if (in->writing == WRITING_UNPROVEN)
		set_writing(in, WRITING_WELL, why);
}

msec canary_wait(enum writing writing, bool settled, msec failing_for)
{
	if (writing == WRITING_FAILS)
		return failing_for < FAILING_FAST_FOR ? FAILING_MS : FAILING_LATER_MS;
	return settled && writing == WRITING_WELL ? PERIOD_MS : FAST_MS;
}

static void judge(struct instance *in, const struct reply *reply)
{
	struct canary *c = &in->canary;
	msec now = clock_ms();
	char why[sizeof(in->figures.write_reason)];
	enum canary_verdict v =
	        canary_verdict(reply, now - c->silent_since, upstream_patience(in->up));

	describe_end("canary", reply, why, sizeof(why));
	if (reply->status == STATUS_OK)
		c->silent_since = 0;
	if (v != CANARY_GOOD) /* it may yet arrive there */
		c->series = 0;
	if (v == CANARY_GOOD && c->step == CANARY_ITEM)
		good(in, why);
	else if (v == CANARY_BAD && !in->pardoned)
		bad(in, why);
	else if (v != CANARY_NOTHING)
		answered(in, why);
	job_rest(c->job, canary_wait(in->writing, c->bad == 0 && !c->suspect,
	                             now - c->failing_since));
}

static bool learn_id(struct canary *c, const struct blob *body)
{
	struct json_slice whole = json_whole(blob_bytes(body), blob_len(body));

	return uuid_parse_json(json_member(whole, "id"), &c->collection);
}

static bool is_there(const struct reply *reply)
{
	return reply->status == STATUS_OK &&
	       ((reply->http >= 200 && reply->http < 300) || reply->http == 409);
}

/* It has gone, and has not been made anew in this run. */
static bool is_to_be_made(struct canary *c, const struct reply *reply)
{
	if (reply->http != 404 || c->created)
		return false;
	c->collection = (struct uuid){{0}};
	c->created = true;
	c->step = CANARY_TENANT;
	return true;
}

/* Is there something more to ask in this run? */
static bool goes_on(struct canary *c, const struct reply *reply)
{
	static const enum canary_step next[] = {CANARY_DATABASE, CANARY_COLLECTION,
	                                        CANARY_ITEM};

	if (reply->status == STATUS_STOPPED)
		return false;
	c->looked |= c->step == CANARY_LOOK && reply->status == STATUS_OK &&
	             (reply->http == 200 || reply->http == 404);
	if (c->step == CANARY_LOOK || c->step == CANARY_ITEM) {
		if (is_to_be_made(c, reply))
			return true;
		if (c->step == CANARY_ITEM)
			return false;
		c->step = CANARY_ITEM;
		return true;
	}
	if (!is_there(reply) ||
	    (c->step == CANARY_COLLECTION && !learn_id(c, reply->body)))
		return false;
	c->step = next[c->step];
	return true;
}

/* What it bears is not what was left there. */
static bool is_another(struct instance *in, const struct reply *reply)
{
	struct canary *c = &in->canary;
	struct marker m = {0};
	size_t items;

	if (!marker_is_judged() || c->marking || reply->status != STATUS_OK ||
	    (c->step != CANARY_LOOK && c->step != CANARY_ITEM))
		return false;
	if (reply->http == 404)
		return !marker_registrar->trusts(in, &m);
	return c->step == CANARY_LOOK && reply->http == 200 &&
	       marker_parse(reply->body, &m, &items) && !marker_registrar->trusts(in, &m);
}

static void end_marking(struct instance *in, const struct reply *reply)
{
	struct canary *c = &in->canary;

	c->marking = false;
	c->silent_since = 0;
	marker_marked(in, c->step == CANARY_ITEM && reply->status == STATUS_OK &&
	                          reply->http >= 200 && reply->http < 300);
}

static bool is_to_be_swept(const struct canary *c, const struct reply *reply)
{
	return c->old != NULL && c->step == CANARY_ITEM && c->marker.there &&
	       reply->status == STATUS_OK && reply->http < 300;
}

static void on_reply(void *arg, const struct reply *reply)
{
	struct instance *in = arg;
	struct canary *c = &in->canary;

	if (is_another(in, reply)) {
		set_health(in, HEALTH_DOWN, "its marker is not the one that was left");
		job_rest(c->job, PERIOD_MS);
	} else if (c->step == CANARY_SWEEP) {
		return;
	} else if (goes_on(c, reply)) {
		ask(in);
	} else if (c->marking) {
		end_marking(in, reply);
	} else {
		judge(in, reply);
		if (is_to_be_swept(c, reply)) {
			c->step = CANARY_SWEEP;
			ask(in);
		}
	}
}

/* --- its life ---------------------------------------------------------------------- */

void canary_start(struct instance *in)
{
	in->canary.name = mem_format("canary %s", in->name);
	in->canary.job = job_create(in->canary.name, run, in);
}

void canary_stop(struct instance *in)
{
	op_cancel(&in->canary.call);
	job_destroy(&in->canary.job);
	free(in->canary.name);
	free(in->canary.old);
	in->canary.name = in->canary.old = NULL;
}

void canary_learn(struct instance *in, const struct uuid *collection)
{
	in->canary.collection = *collection;
}

void canary_outdate(struct instance *in, struct json_slice ids)
{
	free(in->canary.old);
	in->canary.old = mem_substring(ids.at, ids.len);
}

/* Whatever its state: the registrar has decided. */
void canary_mark(struct instance *in)
{
	struct canary *c = &in->canary;

	cut_off(c);
	c->marking = true;
	c->suspect = false;
	begin(in);
}

void canary_up(struct instance *in, enum health was)
{
	struct canary *c = &in->canary;

	c->suspect = c->marking = false;
	c->judged = marker_is_judged();
	c->silent_since = c->started = 0;
	c->series = 0;
	set_writing(in, was == HEALTH_UNKNOWN ? WRITING_WELL : WRITING_UNPROVEN,
	            "no canary yet");
	job_kick(c->job);
}

void instance_look(struct instance *in)
{
	if (instance_up(in) && clock_ms() - in->canary.started > LOOK_LEAST_MS)
		job_kick(in->canary.job);
}

/* One that is under way was asked with more patience than there is now. */
void canary_doubt(struct instance *in)
{
	struct canary *c = &in->canary;

	if (!instance_up(in) || in->writing == WRITING_FAILS || c->suspect)
		return;
	c->suspect = true;
	if (c->call == NULL) {
		job_kick(c->job);
		return;
	}
	cut_off(c);
	begin(in);
}
