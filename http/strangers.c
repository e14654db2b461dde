/* http/strangers.c - collections on an instance that the catalogue does not know.
 *
 * Instances begin empty. What one holds besides is shown to nobody and is on no other
 * instance, and its names are in the way of new ones; who has put a proxy in front of
 * servers with data must hear of it before clients miss them. So each instance is asked,
 * once, how many collections it has in each database that we know:
 *
 *   run         nothing is owed, so what we know is what there should be: the next
 *               instance that was not asked
 *   ask         the next of its databases
 *   on_counted  add up what is more than ours
 *   tell        say so, if there are any; the next instance. After the last: no more
 *
 * If anything is written meanwhile the numbers say nothing: the instance is asked anew.
 */
#include "core/job.h"
#include "core/log.h"
#include "http/exchange.h"

#define LOOK_MS 250u
#define ANSWER_MS 5000u
#define ANSWER_MOST 65536u

static struct {
	struct job *job;
	struct op *pending;
	bool asked[CONF_MAX_INSTANCES];
	unsigned instance;   /* the one that is asked ... */
	struct database *db; /* ... about this one; held */
	wal_seq seq;         /* the log, when we began ... */
	int64_t epoch;       /* ... under which leadership */
	int64_t found;
} strangers;

static void later(void)
{
	database_release(&strangers.db);
	job_rest(strangers.job, LOOK_MS);
}

static bool is_at_rest(void)
{
	return wal_leads() && wal_owed() == 0 && !http_draining();
}

static bool nothing_has_happened(void)
{
	struct wal_figures now;

	wal_figures(&now);
	return is_at_rest() && now.seq == strangers.seq && now.epoch == strangers.epoch;
}

static int64_t ours(const struct database *db, unsigned i)
{
	const struct collection *c;
	int64_t n = 0;

	TAILQ_FOREACH (c, &db->collections, link)
		n += c->life == LIFE_LIVE && !uuid_none(&c->local[i]);
	return n;
}

static void tell(void)
{
	if (strangers.found > 0)
		log_warn("strangers",
		         "instance %s holds %lld collections that were not made through "
		         "this proxy: they are neither shown nor replicated",
		         instance_name(health_instance(strangers.instance)),
		         (long long)strangers.found);
	strangers.asked[strangers.instance] = true;
	later();
}

static void ask_next(void);

static void on_counted(void *arg, const struct reply *reply)
{
	struct json_slice number = {blob_bytes(reply->body), blob_len(reply->body)};
	int64_t more;

	(void)arg;
	if (reply->status != STATUS_OK || !nothing_has_happened()) {
		later();
		return;
	}
	more = json_int64(number, 0) - ours(strangers.db, strangers.instance);
	strangers.found += reply->http == 200 && more > 0 ? more : 0;
	ask_next();
}

static void ask(void)
{
	struct text target = {0};
	struct call call = {.method = "GET",
	                    .timeout = ANSWER_MS,
	                    .max_reply = ANSWER_MOST,
	                    .repeatable = true};
	const struct instance *in = health_instance(strangers.instance);

	text_adds(&target, "/api/v2/tenants/");
	rewrite_add_segment(&target, strangers.db->tenant);
	text_adds(&target, "/databases/");
	rewrite_add_segment(&target, strangers.db->name);
	text_adds(&target, "/collections_count");
	call.target = target.s;
	upstream_call(instance_upstream(in), &call, on_counted, NULL, &strangers.pending);
	text_clear(&target);
}

static void ask_next(void)
{
	struct database *next = catalogue_next_database(strangers.db);

	database_release(&strangers.db);
	if (next == NULL) {
		tell();
		return;
	}
	strangers.db = database_hold(next);
	ask();
}

static void begin(unsigned i)
{
	struct wal_figures now;

	wal_figures(&now);
	strangers.seq = now.seq;
	strangers.epoch = now.epoch;
	strangers.instance = i;
	strangers.found = 0;
	ask_next();
}

static void run(struct job *job, void *arg)
{
	bool all_asked = true;

	(void)arg;
	for (unsigned i = 0; i < health_count(); i++) {
		if (strangers.asked[i])
			continue;
		all_asked = false;
		if (!instance_up(health_instance(i)) || !is_at_rest())
			continue;
		begin(i);
		return;
	}
	if (all_asked)
		strangers_stop();
	else
		job_rest(job, LOOK_MS);
}

void strangers_start(void)
{
	strangers.job = job_create("strangers", run, NULL);
	job_kick(strangers.job);
}

void strangers_stop(void)
{
	op_cancel(&strangers.pending);
	database_release(&strangers.db);
	job_destroy(&strangers.job);
}
