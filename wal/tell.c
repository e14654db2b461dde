/* wal/tell.c - tells people what somebody should know who does not look: an instance went
 * down or came back and where writes go now, PostgreSQL is away, a collection is in
 * quarantine, the instances differ, the machine is too small.
 *
 * It looks once a second, and at once when an instance changes; alarm.c says whether that
 * is worth a message, core/webhook.c brings it there. Of several proxies the one that
 * leads speaks for what they share; each speaks for itself. Nothing waits for this. */
#include "wal/tell.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/job.h"
#include "core/mem.h"
#include "core/webhook.h"
#include "wal/alarm.h"
#include "wal/engine.h"
#include "wal/heal.h"
#include "wal/lead.h"

#define LOOK_MS 1000u
#define LOG_HOLD_MS 2000u /* a PostgreSQL that fails over is away for a moment */

enum condition { WELL, READ_ONLY, DOWN, DETACHED };

static struct {
	struct webhook *hook;
	struct job *job;
	char proxy[64];
	struct alarm instances[CONF_MAX_INSTANCES];
	struct alarm log, quarantine, differing, advice;
	unsigned advised;
} teller;

/* --- a message --------------------------------------------------------------------- */

/* What has a meaning of its own in a message: a name could call everybody. */
static char *plain(const char *s)
{
	struct text out = {0};

	for (; *s != '\0'; s++) {
		if (*s == '&')
			text_adds(&out, "&amp;");
		else if (*s == '<')
			text_adds(&out, "&lt;");
		else if (*s == '>')
			text_adds(&out, "&gt;");
		else
			text_addc(&out, *s);
	}
	return out.s != NULL ? text_detach(&out) : mem_string("");
}

/* Takes `what` over. */
static void say(const char *sign, char *what, unsigned changes)
{
	char *safe = plain(what), *proxy = plain(teller.proxy), *more, *message;

	more = changes > 1 ? mem_format(" (%u changes since the last message)", changes)
	                   : mem_string("");
	message = mem_format(":%s: %s%s [Chromatid, %s]", sign, safe, more, proxy);
	webhook_send(teller.hook, message);
	free(message);
	free(more);
	free(proxy);
	free(safe);
	free(what);
}

/* --- instances --------------------------------------------------------------------- */

static enum condition condition_of(const struct instance *in)
{
	if (instance_health(in) == HEALTH_DOWN)
		return DOWN;
	if (wal_detached(in))
		return DETACHED;
	return instance_writable(in) ? WELL : READ_ONLY;
}

/* Says where clients are served instead. */
static char *instead(void)
{
	int to = failover_target();

	if (to >= 0)
		return mem_format("writes go to %s",
		                  instance_name(health_instance((unsigned)to)));
	if (health_up_count() > 0)
		return mem_string(
		        "no instance takes writes: they are logged, reads go on");
	return mem_string("no instance is up: writes are logged, reads are answered 503");
}

static char *word_instance(const struct instance *in, enum condition now)
{
	struct instance_figures f = instance_figures(in);
	const char *name = instance_name(in);
	char *where = instead(), *what;

	switch (now) {
	case DOWN:
		what = mem_format("instance %s is down (%s); %s", name, f.reason, where);
		break;
	case READ_ONLY:
		what = mem_format("instance %s answers and takes no writes (%s); %s",
		                  name, f.write_reason, where);
		break;
	case DETACHED:
		what = mem_format("instance %s is up; the log was not kept for it, so it "
		                  "is made anew; %s",
		                  name, where);
		break;
	default:
		what = mem_format("instance %s is up again, %" PRIu64
		                  " writes are still to be executed there; %s",
		                  name, engine_counts(instance_index(in))->owed, where);
	}
	free(where);
	return what;
}

static void look_at_instance(unsigned i)
{
	const struct instance *in = health_instance(i);
	enum condition now = condition_of(in);
	unsigned changes;

	if (!failover_settled(in))
		return;
	changes = alarm_see(&teller.instances[i], now, 0, clock_ms());
	if (changes > 0)
		say(now == WELL ? "white_check_mark" : "rotating_light",
		    word_instance(in, now), changes);
}

/* --- the log, quarantine, differences ---------------------------------------------- */

static void look_at_log(void)
{
	bool away = !wal_connected();
	unsigned changes =
	        alarm_see(&teller.log, away, away ? LOG_HOLD_MS : 0, clock_ms());

	if (changes > 0 && away)
		say("rotating_light",
		    mem_format("PostgreSQL is not connected (%s): writes are answered "
		               "503, reads go on",
		               pg_last_error(wal_pg())),
		    changes);
	else if (changes > 0)
		say("white_check_mark", mem_string("PostgreSQL is connected again"),
		    changes);
}

/* The first one is named. */
static void on_quarantine(void *arg, const struct wal_quarantine *q)
{
	char **what = arg;

	if (*what == NULL)
		*what = mem_format("%s at %s: %s", q->collection->name,
		                   instance_name(q->in), quarantine_cause_name(q->cause));
}

/* Also told of, if not named: one that was mended between two looks. */
static void look_at_quarantine(void)
{
	unsigned n = wal_quarantined();
	uint64_t begun = quarantine_begun();
	int64_t value = (int64_t)(2 * begun) + (n > 0 ? 1 : 0);
	unsigned changes = alarm_see(&teller.quarantine, value, 0, clock_ms());
	char *first = NULL;

	if (changes == 0)
		return;
	if (n == 0) {
		say("white_check_mark",
		    mem_format("no collection is in quarantine any more; %" PRIu64
		               " were since the start of this proxy",
		               begun),
		    changes);
		return;
	}
	wal_each_quarantine(on_quarantine, &first);
	say("warning",
	    mem_format("collections in quarantine: %u (%s); clients are served by the "
	               "other instances",
	               n, first != NULL ? first : ""),
	    changes);
	free(first);
}

static void look_at_differences(void)
{
	struct wal_verify_figures f = wal_verify_figures();
	uint64_t n = f.results[VERIFIED_DIFFERS] + f.results[VERIFIED_LOST] +
	             f.results[VERIFIED_INDEX];
	unsigned changes = alarm_see(&teller.differing, (int64_t)n, 0, clock_ms());

	if (changes > 0)
		say("warning",
		    mem_format("the instances were compared and are not equal; found so "
		               "often: %" PRIu64 ", differences that stand now: %" PRIu64
		               " (verification in /status)",
		               n, f.differences),
		    changes);
}

static void look(void)
{
	if (wal_another_leads())
		return;
	if (wal_leads())
		for (unsigned i = 0; i < health_count(); i++)
			look_at_instance(i);
	if (wal_migrated() || pg_last_error(wal_pg())[0] != '\0')
		look_at_log();
	if (wal_ready())
		look_at_quarantine();
	look_at_differences();
}

void tell_advice(const struct advice *a)
{
	if (teller.hook != NULL &&
	    alarm_see(&teller.advice, ++teller.advised, 0, clock_ms()) > 0)
		say("chart_with_upwards_trend",
		    mem_format("%s: %s; what helps: %s", a->urgency, a->reason, a->tier),
		    1);
}

/* --- running ----------------------------------------------------------------------- */

static void on_change(struct instance *in, enum health was, void *arg)
{
	(void)in;
	(void)was;
	(void)arg;
	if (teller.job != NULL)
		job_kick(teller.job);
}

static void run(struct job *job, void *arg)
{
	(void)arg;
	look();
	job_rest(job, LOOK_MS);
}

void tell_start(const struct conf *conf)
{
	memset(&teller, 0, sizeof(teller));
	if (conf->slack_webhook_url == NULL)
		return;
	if (gethostname(teller.proxy, sizeof(teller.proxy) - 1) != 0)
		strcpy(teller.proxy, "chromatid");
	teller.hook = webhook_create(conf->slack_webhook_url);
	teller.job = job_create("tell", run, NULL);
	health_on_change(on_change, NULL);
	job_rest(teller.job, LOOK_MS);
}

void tell_stop(void)
{
	job_destroy(&teller.job);
	webhook_destroy(&teller.hook);
}

struct wal_told wal_told(void)
{
	struct webhook_figures f = webhook_figures(teller.hook);

	return (struct wal_told){f.sent, f.failed, f.dropped};
}
