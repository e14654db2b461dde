/* http/trip.c - one call to an instance that several reads share.
 *
 * The happy path:
 *   trip_set_out   their bodies as one (alike.c), to where one of them would be asked
 *   on_reply       the answer is taken apart, and each hears its own
 * When it does not go well:
 *   - it ends with anything but a 200 that can be taken apart: each is asked alone, as if
 *     nothing had been; if it was too large, fewer share the next one
 *   - it does not end for three seconds, and another instance may be asked: likewise, and
 *     there first
 *   - a client leaves: the call goes on for the others; after the last it is cancelled */
#include <stdlib.h>

#include "core/clock.h"
#include "core/mem.h"
#include "http/together.h"

#define ANSWER_MOST 2097152u /* bytes */

struct rider {
	struct exchange *ex; /* NULL: it has left */
	struct blob *body;
	struct alike alike; /* of that body */
};

/* A call that several share. */
struct trip {
	struct op *pending;
	struct line *line;
	struct instance *in;
	struct timer patience;
	uint64_t sent_us;
	size_t n, left; /* riders; those that are still there */
	struct rider riders[];
};

/* --- getting off ----------------------------------------------------------------- */

static void trip_free(struct trip *trip)
{
	struct line *l = trip->line;

	timer_stop(&trip->patience);
	op_cancel(&trip->pending);
	for (size_t k = 0; k < trip->n; k++)
		blob_unref(&trip->riders[k].body);
	free(trip);
	line_call_over(l);
}

/* NULL: it has left. From now on it is on its own. */
static struct exchange *get_off(struct rider *r)
{
	struct exchange *ex = r->ex;

	r->ex = NULL;
	if (ex != NULL) {
		ex->company.trip = NULL;
		ex->company.line = NULL;
		ex->company.state = COMPANY_NONE;
	}
	return ex;
}

void trip_leave(struct exchange *ex)
{
	struct trip *trip = ex->company.trip;

	for (size_t k = 0; k < trip->n; k++)
		if (trip->riders[k].ex == ex)
			get_off(&trip->riders[k]);
	if (--trip->left == 0)
		trip_free(trip);
}

/* --- how it ends ----------------------------------------------------------------- */

/* Each is asked alone; `not_here`: elsewhere first. */
static void part(struct trip *trip, bool not_here)
{
	unsigned bit = 1u << instance_index(trip->in);

	line_apart(trip->line);
	for (size_t k = 0; k < trip->n; k++) {
		struct exchange *ex = get_off(&trip->riders[k]);

		if (ex == NULL)
			continue;
		ex->company.refused = true;
		ex->tried |= not_here ? bit : 0;
		together_go_on(ex);
	}
	trip_free(trip);
}

static void answer(struct trip *trip, const struct reply *reply, struct blob *parts[])
{
	uint64_t us = clock_us() - trip->sent_us;
	size_t bytes = 0;

	for (size_t k = 0; k < trip->n; k++) {
		struct exchange *ex = get_off(&trip->riders[k]);

		bytes += blob_len(parts[k]);
		if (ex != NULL) {
			ex->upstream_us = us;
			instance_count(trip->in, true, true);
			exchange_reply(ex, reply->http, reply->headers, parts[k]);
		}
		blob_unref(&parts[k]);
	}
	line_learn(trip->line, us, bytes, trip->n);
	trip_free(trip);
}

static void list_reads(const struct trip *trip, const struct alike *reads[])
{
	for (size_t k = 0; k < trip->n; k++)
		reads[k] = &trip->riders[k].alike;
}

static void on_reply(void *arg, const struct reply *reply)
{
	struct trip *trip = arg;
	const struct alike *reads[ALIKE_MOST];
	struct blob *parts[ALIKE_MOST];

	health_report(trip->in, health_signal_of(reply), reply->detail);
	if (reply->status == STATUS_TOO_LARGE)
		line_learn(trip->line, clock_us() - trip->sent_us, ANSWER_MOST, trip->n);
	list_reads(trip, reads);
	if (reply->status == STATUS_OK && reply->http == 200 &&
	    alike_split(reads, trip->n, reply->body, parts))
		answer(trip, reply, parts);
	else
		part(trip, false);
}

static bool another_may(const struct trip *trip, const struct collection *c)
{
	for (unsigned i = 0; i < health_count(); i++) {
		struct instance *in = health_instance(i);

		if (in != trip->in && instance_up(in) && wal_current(in, c))
			return true;
	}
	return false;
}

static const struct exchange *somebody(const struct trip *trip)
{
	for (size_t k = 0; k < trip->n; k++)
		if (trip->riders[k].ex != NULL)
			return trip->riders[k].ex;
	return NULL;
}

static void on_no_patience(void *arg)
{
	struct trip *trip = arg;

	if (!another_may(trip, somebody(trip)->collection)) {
		timer_start(&trip->patience, READ_PATIENCE_MS, on_no_patience, trip);
		return;
	}
	health_report(trip->in, SIGNAL_TIMED_OUT, "no answer to reads");
	part(trip, true);
}

/* --- setting out ----------------------------------------------------------------- */

struct trip *trip_create(struct line *l, size_t seats)
{
	struct trip *trip = mem_alloc(sizeof(*trip) + seats * sizeof(trip->riders[0]));

	trip->line = l;
	trip->in = health_instance(instance_index(l->in));
	return trip;
}

void trip_board(struct trip *trip, struct exchange *ex)
{
	struct rider *r = &trip->riders[trip->n++];

	ex->company.state = COMPANY_RIDING;
	ex->company.trip = trip;
	ex->instance = instance_name(trip->in);
	r->ex = ex;
	r->body = blob_ref(ex->body);
	r->alike = ex->company.alike;
	trip->left++;
}

static msec time_left(const struct trip *trip)
{
	msec least = exchange_left(trip->riders[0].ex);

	for (size_t k = 1; k < trip->n; k++)
		if (exchange_left(trip->riders[k].ex) < least)
			least = exchange_left(trip->riders[k].ex);
	return least;
}

void trip_set_out(struct trip *trip)
{
	const struct exchange *first = trip->riders[0].ex;
	const struct alike *reads[ALIKE_MOST];
	struct headers headers = {0};
	struct text target = {0};
	char trace[TRACE_BYTES];
	struct blob *body;
	struct call call;

	together_totals.calls++;
	together_totals.reads += trip->n;
	list_reads(trip, reads);
	body = alike_body(reads, trip->n);
	read_aim(first, trip->in, &target);
	if (body != NULL)
		headers_add(&headers, "content-type", "application/json");
	headers_add(&headers, "traceparent", trace_text(&first->trace, trace));
	call = (struct call){.method = first->head->method,
	                     .target = text_string(&target),
	                     .headers = &headers,
	                     .body = body,
	                     .timeout = time_left(trip),
	                     .max_reply = ANSWER_MOST,
	                     .repeatable = true};
	trip->sent_us = clock_us();
	timer_start(&trip->patience, READ_PATIENCE_MS, on_no_patience, trip);
	upstream_call(instance_upstream(trip->in), &call, on_reply, trip, &trip->pending);
	headers_clear(&headers);
	text_clear(&target);
	blob_unref(&body);
}
