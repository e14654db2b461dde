/* http/tally.c - every request counted by what it was, how it ended and who answered, and
 * timed. The sets of labels are closed: what is asked for (route.c), a class of codes, an
 * instance or none. All are there from the first scrape, at 0. */
#include <string.h>

#include "core/clock.h"
#include "core/metrics.h"
#include "core/table.h"
#include "http/operator.h"

#define OPS_MOST 96u
#define CODES 5u

static const char *const codes[CODES] = {"2xx", "3xx", "4xx", "5xx", "cut"};

struct tally {
	const char *op;
	bool ours; /* for operators */
	bool asks; /* an instance may have answered it */
	uint64_t answers[CONF_MAX_INSTANCES + 1][CODES]; /* the last: we did */
	struct metric_histogram seconds;
};

static struct tally tallies[OPS_MOST];
static unsigned n_tallies;
static struct table by_op;                       /* the same */
static struct metric_histogram operator_seconds; /* of all that is ours, together */
static struct metric_histogram instance_seconds[CONF_MAX_INSTANCES];

static struct tally *add_op(const char *op)
{
	struct tally *t = &tallies[n_tallies++];

	t->op = op;
	table_put(&by_op, op, t);
	return t;
}

static void add_route(const char *op, enum route_kind kind)
{
	struct tally *t = add_op(op);

	t->ours = route_is_ours(kind);
	t->asks = !t->ours && !route_is_answered_here(kind);
}

/* The first one, "unknown", is for everything that no route matches. */
static void list_ops(void)
{
	const char *method, *path, *op;
	enum route_kind kind;

	if (n_tallies > 0)
		return;
	add_op("unknown");
	for (size_t i = 0; route_row(i, &method, &path, &kind, &op) != 0; i++) {
		if (table_get(&by_op, op) != NULL || n_tallies == OPS_MOST)
			continue;
		add_route(op, kind);
	}
}

static unsigned instance_of(const struct exchange *ex)
{
	for (unsigned i = 0; ex->instance != NULL && i < health_count(); i++)
		if (strcmp(ex->instance, instance_name(health_instance(i))) == 0)
			return i;
	return CONF_MAX_INSTANCES;
}

static unsigned code_of(int http)
{
	return http >= 200 && http < 600 ? (unsigned)http / 100 - 2 : CODES - 1;
}

void tally_answer(const struct exchange *ex)
{
	unsigned i = instance_of(ex);
	struct tally *t;

	list_ops();
	t = table_get(&by_op, ex->route.op);
	if (t == NULL)
		t = &tallies[0];
	t->answers[i][code_of(ex->http)]++;
	metrics_observe(t->ours ? &operator_seconds : &t->seconds,
	                (double)(clock_us() - ex->started_us) / 1e6);
	if (i < CONF_MAX_INSTANCES && ex->upstream_us > 0)
		metrics_observe(&instance_seconds[i], (double)ex->upstream_us / 1e6);
}

/* --- as metrics -------------------------------------------------------------------- */

static void add_answers(struct text *page, const struct tally *t, unsigned i)
{
	struct text labels = {0};

	for (unsigned k = 0; k < CODES; k++) {
		text_reset(&labels);
		metrics_label(&labels, "op", t->op);
		metrics_label(&labels, "code", codes[k]);
		metrics_label(&labels, "instance",
		              i < health_count() ? instance_name(health_instance(i))
		                                 : "");
		metrics_value(page, "chromatid_http_requests_total", text_string(&labels),
		              (double)t->answers[i][k]);
	}
	text_clear(&labels);
}

static void add_durations(struct text *page, const char *op,
                          const struct metric_histogram *seconds)
{
	struct text labels = {0};

	metrics_label(&labels, "op", op);
	metrics_histogram(page, "chromatid_http_request_duration_seconds",
	                  text_string(&labels), seconds);
	text_clear(&labels);
}

static void add_instance_durations(struct text *page)
{
	struct text labels = {0};

	for (unsigned i = 0; i < health_count(); i++) {
		text_reset(&labels);
		metrics_label(&labels, "instance", instance_name(health_instance(i)));
		metrics_histogram(page, "chromatid_instance_request_duration_seconds",
		                  text_string(&labels), &instance_seconds[i]);
	}
	text_clear(&labels);
}

void tally_add_metrics(struct text *page)
{
	list_ops();
	metrics_family(page, "chromatid_http_requests_total", "counter",
	               "Requests by what was asked, class of the answer and the instance "
	               "that gave it (none: the proxy itself).");
	for (unsigned k = 0; k < n_tallies; k++) {
		for (unsigned i = 0; tallies[k].asks && i < health_count(); i++)
			add_answers(page, &tallies[k], i);
		add_answers(page, &tallies[k], CONF_MAX_INSTANCES);
	}
	metrics_family(page, "chromatid_http_request_duration_seconds", "histogram",
	               "From the end of a request's body to the end of its answer.");
	for (unsigned k = 0; k < n_tallies; k++)
		if (!tallies[k].ours)
			add_durations(page, tallies[k].op, &tallies[k].seconds);
	add_durations(page, "operator", &operator_seconds);
	metrics_family(page, "chromatid_instance_request_duration_seconds", "histogram",
	               "Of that, the time spent at the instance that answered.");
	add_instance_durations(page);
}
