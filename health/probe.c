/* health/probe.c - does an instance answer on its data path? Ask, judge, rest, ask again.
 *
 * The happy path:
 *   run          ask for the default tenant: that reads SQLite, as a heartbeat does not
 *   on_probed    200 or 404: it answers
 *   judge        count good and bad in a row, and say so if its health follows; up it is
 *                when its marker has been judged, too (marker.c)
 *   job_rest     for CHECK_INTERVAL
 *
 * When it does not go well:
 *   - a probe fails, or a call did (probe_doubt): ask every FAST_MS until a good probe
 *     settles the doubt, or enough bad ones take the instance down
 *   - nobody accepts connections there: down at once, no second opinion is needed
 *   - it is down: ask every DOWN_MS at least for the first DOWN_FAST_FOR, since a restart
 *     takes seconds; one good answer and the next questions come fast
 *   - the call was stopped by ourselves (the instance went down meanwhile): no verdict
 *
 * A probe has a connection of its own: it never waits behind traffic. */
#include <stdlib.h>

#include "core/mem.h"
#include "health/health_private.h"

#define TARGET "/api/v2/tenants/default_tenant"
#define FAST_MS 250u
#define CLOSEST_MS 200u /* probes begin no closer, whoever asks for them */
#define DOWN_MS 500u
#define DOWN_FAST_FOR 30000u
#define REPLY_MOST 65536u

static struct probe_rules rules; /* the same for all */

static void on_probed(void *arg, const struct reply *reply);

static msec at_most(msec limit, msec wait)
{
	return wait < limit ? wait : limit;
}

enum health probe_verdict(enum health now, unsigned good, unsigned bad,
                          const struct probe_rules *r)
{
	unsigned rises = now == HEALTH_UNKNOWN ? 1 : r->recoveries;
	unsigned falls = now == HEALTH_UNKNOWN ? 1 : r->failures;

	if (bad >= falls)
		return HEALTH_DOWN;
	if (now != HEALTH_UP && good >= rises)
		return HEALTH_UP;
	return now;
}

msec probe_wait(enum health now, bool settled, msec down_for, msec took, msec interval)
{
	if (!settled)
		return took < FAST_MS ? at_most(interval, FAST_MS - took) : 0;
	if (now == HEALTH_DOWN && down_for < DOWN_FAST_FOR)
		return at_most(DOWN_MS, interval);
	return interval;
}

static void ask(struct instance *in)
{
	struct call call = {
	        .method = "GET",
	        .target = TARGET,
	        .timeout = rules.timeout,
	        .max_reply = REPLY_MOST,
	        .repeatable = true,
	        .alone = true,
	};

	in->probe.stale = false;
	in->probe.started = clock_ms();
	in->probe.started_us = clock_us();
	upstream_call(in->up, &call, on_probed, in, &in->probe.call);
}

static void run(struct job *job, void *arg)
{
	struct instance *in = arg;
	msec since = clock_ms() - in->probe.started;
	msec closest = at_most(CLOSEST_MS, rules.interval);

	if (in->probe.started != 0 && since < closest)
		job_rest(job, closest - since);
	else
		ask(in);
}

void probe_start(struct instance *in, const struct probe_rules *r)
{
	rules = *r;
	in->probe.name = mem_format("probe %s", in->name);
	in->probe.job = job_create(in->probe.name, run, in);
	job_kick(in->probe.job);
}

void probe_stop(struct instance *in)
{
	op_cancel(&in->probe.call);
	job_destroy(&in->probe.job);
	free(in->probe.name);
	in->probe.name = NULL;
}

void probe_hurry(struct instance *in)
{
	if (in->probe.call == NULL)
		job_kick(in->probe.job);
}

/* A probe under way began before the doubt and cannot settle it. */
void probe_doubt(struct instance *in)
{
	if (in->probe.call != NULL)
		in->probe.stale = true;
	else if (!in->probe.suspect)
		job_kick(in->probe.job);
	in->probe.suspect = true;
}

void probe_forget(struct instance *in)
{
	in->probe.good = 0;
	in->probe.suspect = false;
}

bool probe_is_fresh(const struct instance *in)
{
	return in->probe.ended != 0 && in->probe.call == NULL &&
	       clock_ms() - in->probe.ended < CLOSEST_MS;
}

static bool is_good(const struct instance *in, const struct reply *reply)
{
	return reply->status == STATUS_OK &&
	       (reply->http == 200 || reply->http == 404 || in->pardoned);
}

static void count(struct instance *in, bool good)
{
	struct probe *p = &in->probe;

	p->good = good ? p->good + 1 : 0;
	p->bad = good ? 0 : p->bad + 1;
	p->suspect = !good || p->stale;
	in->figures.probes_good += good ? 1 : 0;
	in->figures.probes_bad += good ? 0 : 1;
	in->figures.last_check_wall_ms = clock_wall_ms();
	in->figures.consecutive_failures = p->bad;
	if (good)
		in->figures.probe_us = clock_us() - p->started_us;
}

/* It counts as down; but does what is still under way there have a chance? */
static void judge_out(struct instance *in, const char *why)
{
	if (in->probe.bad == rules.failures)
		upstream_abort(in->up, why);
}

static void judge(struct instance *in, const struct reply *reply)
{
	struct probe *p = &in->probe;
	enum health now;
	char why[sizeof(in->figures.reason)];

	describe_end("probe", reply, why, sizeof(why));
	in->answers = reply->status == STATUS_OK;
	count(in, is_good(in, reply));
	if (reply->status == STATUS_REFUSED)
		now = HEALTH_DOWN;
	else
		now = probe_verdict(in->health, p->good, p->bad, &rules);
	if (p->bad > 0)
		log_debug("health", "instance %s: %s, %u in a row", in->name, why,
		          p->bad);
	if (in->out.is)
		judge_out(in, why);
	else if (now == HEALTH_UP && in->health != HEALTH_UP)
		marker_answers(in, why);
	else
		set_health(in, now, why);
	if (p->bad > 0 && in->health != HEALTH_UP && !in->out.is)
		marker_forget(in, why);
}

static void on_probed(void *arg, const struct reply *reply)
{
	struct instance *in = arg;
	struct probe *p = &in->probe;
	msec now = clock_ms();
	bool settled;

	if (reply->status != STATUS_STOPPED)
		judge(in, reply);
	p->ended = now;
	settled = in->health == HEALTH_DOWN ? p->good == 0 || marker_rests(in)
	                                    : !p->suspect;
	job_rest(p->job, probe_wait(in->health, settled, now - in->down_since,
	                            now - p->started, rules.interval));
	now_probed(in);
}
