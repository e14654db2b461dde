/* http/timeline_page.c - takes a sample every five seconds, and shows them.
 *
 *	GET /status/timeline           the last hour
 *	GET /status/timeline?after=N   what is newer than sample N
 *
 * An outage shorter than the interval is seen, too: of an instance's states since the
 * sample before the worst one counts. */
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "http/exchange.h"
#include "http/shown.h"
#include "http/timeline.h"

static struct {
	struct timer timer;
	msec before; /* when the last sample was taken */
	uint64_t total, errors;
	uint64_t requests[CONF_MAX_INSTANCES];
	enum timeline_state worst[CONF_MAX_INSTANCES];
} sampler;

/* --- taking them ------------------------------------------------------------------- */

static enum timeline_state state_of(const struct instance *in)
{
	switch (instance_health(in)) {
	case HEALTH_UP:
		return instance_writable(in) ? TIMELINE_STATE_UP
		                             : TIMELINE_STATE_READ_ONLY;
	case HEALTH_DOWN:
		return TIMELINE_STATE_DOWN;
	default:
		return TIMELINE_STATE_UNKNOWN;
	}
}

/* Not being known is no state to remember: it is so for a moment, when we begin to lead.
 */
static void on_change(struct instance *in, enum health was, void *arg)
{
	enum timeline_state *worst = &sampler.worst[instance_index(in)];
	enum timeline_state now = state_of(in);

	(void)was;
	(void)arg;
	if (now != TIMELINE_STATE_UNKNOWN && now < *worst)
		*worst = now;
}

/* How much it has grown, a second. */
static float rate(uint64_t *before, uint64_t now, msec took)
{
	double grown = (double)(now - *before);

	*before = now;
	return took > 0 ? (float)(grown * 1000 / (double)took) : 0;
}

static uint32_t pending_of(const struct wal_figures *wal, unsigned i)
{
	uint64_t owed = wal->instances[i].owed;

	if (!shown_is_ours() && !shown_pending_at(health_instance(i), &owed))
		return TIMELINE_UNKNOWN;
	return owed < TIMELINE_UNKNOWN ? (uint32_t)owed : TIMELINE_UNKNOWN - 1;
}

static void sample_instance(struct timeline_instance *to, const struct wal_figures *wal,
                            unsigned i, msec took)
{
	const struct instance *in = health_instance(i);
	enum timeline_state now = state_of(in);

	to->state = now < sampler.worst[i] ? now : sampler.worst[i];
	sampler.worst[i] = now;
	to->pending = pending_of(wal, i);
	to->requests = rate(&sampler.requests[i], instance_figures(in).requests, took);
}

static void take(void)
{
	struct timeline_sample s = {.wall_ms = clock_wall_ms()};
	struct wal_figures wal;
	msec now = clock_ms(), took = now - sampler.before;

	sampler.before = now;
	wal_figures(&wal);
	s.requests = rate(&sampler.total, exchange_totals.total, took);
	s.errors = rate(&sampler.errors, exchange_totals.classes[5], took);
	for (unsigned i = 0; i < health_count(); i++)
		sample_instance(&s.instances[i], &wal, i, took);
	timeline_add(&s);
}

static void on_time(void *arg)
{
	(void)arg;
	take();
	timer_start(&sampler.timer, TIMELINE_INTERVAL_MS, on_time, NULL);
}

void timeline_start(void)
{
	sampler.before = clock_ms();
	for (unsigned i = 0; i < health_count(); i++)
		sampler.worst[i] = TIMELINE_STATE_UP;
	health_on_change(on_change, NULL);
	timer_start(&sampler.timer, TIMELINE_INTERVAL_MS, on_time, NULL);
}

void timeline_stop(void)
{
	timer_stop(&sampler.timer);
	timeline_clear();
}

/* --- showing them ------------------------------------------------------------------ */

static uint64_t wanted_after(const struct exchange *ex)
{
	const char *query = ex->route.query;

	if (query == NULL || strncmp(query, "after=", 6) != 0)
		return 0;
	return strtoull(query + 6, NULL, 10);
}

void timeline_page(struct exchange *ex)
{
	const char *names[CONF_MAX_INSTANCES];
	struct text json = {0};

	for (unsigned i = 0; i < health_count(); i++)
		names[i] = instance_name(health_instance(i));
	text_addf(&json, "{\"now_ms\":%lld,\"interval_ms\":%u,\"kept\":%u,",
	          (long long)clock_wall_ms(), TIMELINE_INTERVAL_MS, TIMELINE_KEPT);
	timeline_add_json(&json, wanted_after(ex), health_count(), names);
	text_addc(&json, '}');
	exchange_json_text(ex, 200, &json);
}
