/* http/timeline.c - pure: the samples of the last hour, and how they are written down.
 *
 * Columns, not objects: a sample of two instances takes some forty bytes. */
#include "http/timeline.h"

#include <assert.h>
#include <string.h>

#include "core/json_scan.h"

static struct {
	struct timeline_sample ring[TIMELINE_KEPT];
	uint64_t last;
} timeline;

static struct timeline_sample *place(uint64_t number)
{
	return &timeline.ring[number % TIMELINE_KEPT];
}

void timeline_add(const struct timeline_sample *s)
{
	*place(++timeline.last) = *s;
}

uint64_t timeline_last(void)
{
	return timeline.last;
}

uint64_t timeline_first(void)
{
	return timeline.last > TIMELINE_KEPT ? timeline.last - TIMELINE_KEPT + 1 : 1;
}

const struct timeline_sample *timeline_get(uint64_t number)
{
	assert(number >= timeline_first() && number <= timeline.last);
	return place(number);
}

void timeline_clear(void)
{
	timeline.last = 0;
}

/* --- written down ------------------------------------------------------------------ */

static void add_at(struct text *json, const struct timeline_sample *s, unsigned i)
{
	(void)i;
	text_add_number(json, s->wall_ms);
}

static void add_requests(struct text *json, const struct timeline_sample *s, unsigned i)
{
	(void)i;
	text_addf(json, "%.1f", (double)s->requests);
}

static void add_errors(struct text *json, const struct timeline_sample *s, unsigned i)
{
	(void)i;
	text_addf(json, "%.1f", (double)s->errors);
}

static void add_state(struct text *json, const struct timeline_sample *s, unsigned i)
{
	static const char *const names[] = {"\"unknown\"", "\"down\"", "\"read_only\"",
	                                    "\"up\""};

	text_adds(json, names[s->instances[i].state]);
}

static void add_pending(struct text *json, const struct timeline_sample *s, unsigned i)
{
	if (s->instances[i].pending == TIMELINE_UNKNOWN)
		text_adds(json, "null");
	else
		text_add_number(json, s->instances[i].pending);
}

static void add_load(struct text *json, const struct timeline_sample *s, unsigned i)
{
	text_addf(json, "%.1f", (double)s->instances[i].requests);
}

typedef void(value_fn)(struct text *json, const struct timeline_sample *s, unsigned i);

static void add_column(struct text *json, const char *key, uint64_t from, value_fn *value,
                       unsigned i)
{
	text_addf(json, "\"%s\":[", key);
	for (uint64_t n = from; n <= timeline.last; n++) {
		if (n > from)
			text_addc(json, ',');
		value(json, place(n), i);
	}
	text_addc(json, ']');
}

static void add_instance(struct text *json, uint64_t from, unsigned i, const char *name)
{
	text_adds(json, i > 0 ? ",{\"name\":" : "{\"name\":");
	json_add_quoted(json, name, strlen(name));
	text_addc(json, ',');
	add_column(json, "state", from, add_state, i);
	text_addc(json, ',');
	add_column(json, "pending_writes", from, add_pending, i);
	text_addc(json, ',');
	add_column(json, "requests_per_second", from, add_load, i);
	text_addc(json, '}');
}

/* After a restart of ours somebody may know later ones than there are. */
static uint64_t first_behind(uint64_t after)
{
	if (after > timeline.last || after < timeline_first())
		return timeline_first();
	return after + 1;
}

void timeline_add_json(struct text *json, uint64_t after, unsigned instances,
                       const char *const *names)
{
	uint64_t from = first_behind(after);

	text_addf(json, "\"first\":%llu,\"last\":%llu,", (unsigned long long)from,
	          (unsigned long long)timeline.last);
	add_column(json, "at_ms", from, add_at, 0);
	text_addc(json, ',');
	add_column(json, "requests_per_second", from, add_requests, 0);
	text_addc(json, ',');
	add_column(json, "errors_per_second", from, add_errors, 0);
	text_adds(json, ",\"instances\":[");
	for (unsigned i = 0; i < instances; i++)
		add_instance(json, from, i, names[i]);
	text_addc(json, ']');
}
