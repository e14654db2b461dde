/* health/marker.c - who is it that answers there? An instance that answers its probes may
 * have lost its disk, may have come back with an older copy of it, may be another server
 * altogether. An empty Chroma is in perfect health. So each bears a marker, in an item of
 * the collection that the canary writes to, and is let in only when that is right.
 *
 * The happy path:
 *   marker_answers   its probes are good: ask for the collection of the marker
 *   on_collection    there: ask for its items; not there: it bears none
 *   on_items         the youngest of them is its marker: the registrar judges
 *   instance_let_in  it is up
 * From then on the canary writes the marker, each time with a higher beat, and looks
 * before: for a server that was restarted so fast that nobody has seen it down.
 *
 * When it does not go well:
 *   - nobody judges (this proxy does not lead): let in; nothing is read from it, nor
 *     written to it, before somebody does
 *   - it cannot be asked: not let in. A hole that is read is worse than one instance less
 *   - it is refused: it stays down, with the reason, and is asked again, for somebody may
 *     set it right
 *   - it is to be marked first: the canary writes, then the registrar is told
 *
 * A marker that was held up somewhere on its way must not take the place of a younger
 * one. So items are written in series: a writer begins a new item when it takes over,
 * when the instance comes up, and when an answer was lost; the highest beat of all items
 * counts. Those of former series are removed now and then. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "health/health_private.h"

#define PATIENCE_MS 5000u
#define SOON_MS 250u
#define LATER_MS 3000u
#define ITEMS_MANY 20u

const struct registrar *marker_registrar;

/* --- pure: what it looks like ------------------------------------------------------ */

static bool take_uuid(struct json_slice metadata, const char *key, struct uuid *out)
{
	return uuid_parse_json(json_member(metadata, key), out);
}

static void take_item(struct json_slice metadata, struct marker *out)
{
	struct marker m = {.there = true};

	m.beat = json_int64(json_member(metadata, "beat"), -1);
	if (m.beat < 0 || (out->there && m.beat <= out->beat) ||
	    !take_uuid(metadata, "cluster", &m.cluster) ||
	    !take_uuid(metadata, "instance", &m.instance))
		return;
	*out = m;
}

bool marker_parse(const struct blob *answer, struct marker *out, size_t *items)
{
	struct json_slice whole = json_whole(blob_bytes(answer), blob_len(answer));
	struct json_slice list = json_member(whole, "metadatas");
	struct json_walk w = json_walk(list);

	*out = (struct marker){0};
	*items = json_count(list);
	while (json_step(&w))
		take_item(w.value, out);
	return json_kind(list) == JSON_LIST;
}

void marker_add_body(struct text *body, const struct marker *m, int64_t series)
{
	text_addf(body,
	          "{\"ids\":[\"marker.%lld\"],\"embeddings\":[[1]],\"metadatas\":[{"
	          "\"cluster\":\"%s\",\"instance\":\"%s\",\"beat\":%lld}]}",
	          (long long)series, m->cluster.text, m->instance.text,
	          (long long)m->beat);
}

/* --- what becomes of it ------------------------------------------------------------ */

bool marker_is_judged(void)
{
	return marker_registrar != NULL && marker_registrar->judges();
}

bool marker_rests(const struct instance *in)
{
	return in->asked.state == ASKING_RESTS;
}

static void ask(struct instance *in);

static void on_again(void *arg)
{
	ask(arg);
}

static void rest(struct instance *in, msec wait)
{
	in->asked.state = ASKING_RESTS;
	timer_start(&in->asked.again, wait, on_again, in);
}

/* Once, not every time it is asked. */
static void tell(struct instance *in, const char *as, const char *why)
{
	struct log_field fields[] = {{"instance", in->name, 0}, {0}};

	in->figures.identity = as;
	if (in->asked.as != as || strcmp(in->asked.why, why) != 0)
		log_line(LOG_ERROR, "health", fields, "instance %s is not let in: %s",
		         in->name, why);
	in->asked.as = as;
	snprintf(in->asked.why, sizeof(in->asked.why), "%s", why);
	snprintf(in->figures.reason, sizeof(in->figures.reason), "%s", why);
}

void instance_refuse(struct instance *in, const char *as, const char *why)
{
	tell(in, as, why);
	in->asked.state = ASKING_RESTS; /* so that going down does not forget it */
	set_health(in, HEALTH_DOWN, why);
	rest(in, LATER_MS);
}

void instance_ask_again(struct instance *in)
{
	rest(in, SOON_MS);
}

void instance_let_in(struct instance *in, const char *as)
{
	in->asked.state = ASKING_DONE;
	in->asked.as = as;
	in->asked.why[0] = '\0';
	in->figures.identity = as;
	set_health(in, HEALTH_UP, "it answers, and its marker is right");
}

void instance_mark(struct instance *in)
{
	canary_mark(in);
}

void marker_marked(struct instance *in, bool good)
{
	if (in->asked.state == ASKING_JUDGED)
		marker_registrar->written(in, &in->canary.marker, good);
}

/* --- asking ------------------------------------------------------------------------ */

static void cannot_be_asked(struct instance *in, const struct reply *reply)
{
	char end[120], why[160];

	describe_end("marker", reply, end, sizeof(end));
	snprintf(why, sizeof(why), "its marker cannot be read (%s)", end);
	if (reply->status == STATUS_STOPPED) { /* it went down, or we do */
		rest(in, SOON_MS);
		return;
	}
	instance_refuse(in, "unreadable", why);
	rest(in, SOON_MS);
}

static void found(struct instance *in, const struct marker *m)
{
	in->asked.state = ASKING_JUDGED;
	marker_registrar->judge(in, m);
}

static bool is_not_there(const struct reply *reply)
{
	return reply->status == STATUS_OK && reply->http == 404;
}

static void on_items(void *arg, const struct reply *reply)
{
	struct instance *in = arg;
	struct marker m = {0};
	size_t items = 0;
	bool good = reply->status == STATUS_OK && reply->http == 200 &&
	            marker_parse(reply->body, &m, &items);

	if (!good && !is_not_there(reply)) {
		cannot_be_asked(in, reply);
		return;
	}
	if (items > ITEMS_MANY)
		canary_outdate(in, json_member(json_whole(blob_bytes(reply->body),
		                                          blob_len(reply->body)),
		                               "ids"));
	found(in, &m);
}

static void call(struct instance *in, const char *method, const char *target,
                 struct blob *body, upstream_fn *done)
{
	struct headers headers = {0};
	struct call c = {
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
	upstream_call(in->up, &c, done, in, &in->asked.call);
	headers_clear(&headers);
}

static void ask_items(struct instance *in, const struct uuid *collection)
{
	char *target = mem_format(MARKER_COLLECTIONS "/%s/get", collection->text);
	struct blob *body = blob_create(MARKER_QUESTION, strlen(MARKER_QUESTION));

	in->asked.state = ASKING_ITEMS;
	call(in, "POST", target, body, on_items);
	blob_unref(&body);
	free(target);
}

static void on_collection(void *arg, const struct reply *reply)
{
	struct instance *in = arg;
	struct json_slice whole =
	        json_whole(blob_bytes(reply->body), blob_len(reply->body));
	struct uuid id = {{0}};

	if (is_not_there(reply)) {
		canary_learn(in, &id);
		found(in, &(struct marker){0});
	} else if (reply->http == 200 && uuid_parse_json(json_member(whole, "id"), &id)) {
		canary_learn(in, &id);
		ask_items(in, &id);
	} else {
		cannot_be_asked(in, reply);
	}
}

static void ask(struct instance *in)
{
	if (!marker_is_judged()) {
		instance_let_in(in, "unknown");
		return;
	}
	in->asked.state = ASKING_COLLECTION;
	call(in, "GET", MARKER_COLLECTION, NULL, on_collection);
}

/* --- its life ---------------------------------------------------------------------- */

void marker_answers(struct instance *in, const char *why)
{
	if (!marker_is_judged()) {
		marker_forget(in, why);
		set_health(in, HEALTH_UP, why);
	} else if (in->asked.state == ASKING_NOT) {
		ask(in);
	}
}

static void forget(struct instance *in)
{
	bool judged = in->asked.state == ASKING_JUDGED;

	op_cancel(&in->asked.call);
	timer_stop(&in->asked.again);
	in->asked.state = ASKING_NOT;
	if (judged && marker_registrar != NULL)
		marker_registrar->forget(in);
}

void marker_forget(struct instance *in, const char *why)
{
	if (in->health != HEALTH_UP && in->asked.state != ASKING_NOT)
		snprintf(in->figures.reason, sizeof(in->figures.reason), "%s", why);
	forget(in);
}

void marker_stop(struct instance *in)
{
	op_cancel(&in->asked.call);
	timer_stop(&in->asked.again);
}

void health_identified_by(const struct registrar *registrar)
{
	marker_registrar = registrar;
}

void health_identify_all(void)
{
	for (unsigned i = 0; i < health_count(); i++) {
		struct instance *in = health_instance(i);
		bool up = instance_up(in);

		forget(in);
		if (!up)
			continue; /* its next good probe */
		set_health(in, HEALTH_UNKNOWN, "its marker is to be read");
		ask(in);
	}
}
