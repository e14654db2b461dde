/* http/metrics_page.c - GET /metrics: Prometheus text, or with Accept: application/json
 * the five numbers that older scripts read.
 *
 * Everything is read where it is counted already. What only the leader knows is on its
 * page alone, though the others show it elsewhere (shown.c): who scrapes all of them and
 * adds up is to count it once. A family of which nothing is known has no samples. */
#include <math.h>
#include <string.h>

#include "core/lag.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/process.h"
#include "core/version.h"
#include "http/access.h"
#include "http/operator.h"
#include "http/shown.h"
#include "http/status.h"

struct sheet {
	struct text text;
	struct wal_figures wal;
	struct process_figures process;
	struct lag_figures lag;
	bool led; /* what only the leader knows is ours to tell */
};

static void one(struct sheet *s, const char *name, const char *type, const char *help,
                double value)
{
	metrics_family(&s->text, name, type, help);
	metrics_value(&s->text, name, "", value);
}

static void labelled(struct sheet *s, const char *name, const char *key,
                     const char *label, double value)
{
	struct text labels = {0};

	metrics_label(&labels, key, label);
	metrics_value(&s->text, name, text_string(&labels), value);
	text_clear(&labels);
}

/* --- the proxy and its clients ----------------------------------------------------- */

static double figures_age(const struct sheet *s)
{
	msec age = 0;

	if (!s->led && shown_told(WAL_SHOWN_FIGURES, &age) == NULL)
		return (double)NAN;
	return (double)age / 1000;
}

static void add_proxy(struct sheet *s)
{
	metrics_family(&s->text, "chromatid_build_info", "gauge", "Always 1.");
	labelled(s, "chromatid_build_info", "version", CHROMATID_VERSION, 1);
	one(s, "chromatid_ready", "gauge", "1 while a write can be taken: as /ready.",
	    operator_ready());
	one(s, "chromatid_leader", "gauge", "1 while this proxy executes writes.",
	    s->wal.leads);
	one(s, "chromatid_leader_changes_total", "counter",
	    "How often this proxy began to lead, or ceased to.",
	    (double)s->wal.leader_changes);
	one(s, "chromatid_figures_age_seconds", "gauge",
	    "How old what this proxy shows of the leader's figures is; 0: it leads "
	    "itself; NaN: it knows none, and shows null.",
	    figures_age(s));
	one(s, "chromatid_leader_epoch", "gauge",
	    "Which leadership this is, counted over all proxies; 0: not led by this one.",
	    (double)s->wal.epoch);
}

static void add_clients(struct sheet *s)
{
	static const char name[] = "chromatid_http_requests_rejected_total";
	const struct exchange_figures *f = &exchange_totals;

	one(s, "chromatid_client_connections", "gauge", "Open connections of clients.",
	    server_connections());
	one(s, "chromatid_http_requests_in_flight", "gauge",
	    "Requests whose answer is not complete, this one among them.",
	    exchange_count());
	metrics_family(&s->text, name, "counter",
	               "Requests refused before anybody looked at what they ask.");
	labelled(s, name, "reason", "limit", (double)f->rejected);
	labelled(s, name, "reason", "too_large", (double)f->too_large);
	labelled(s, name, "reason", "malformed", (double)f->malformed);
	one(s, "chromatid_auth_failures_total", "counter",
	    "Requests refused for the token they bear, or where they come from.",
	    (double)access_failures());
	one(s, "chromatid_read_merged_calls_total", "counter",
	    "Calls to instances that carried more than one read.",
	    (double)together_totals.calls);
	one(s, "chromatid_read_merged_reads_total", "counter", "The reads they carried.",
	    (double)together_totals.reads);
	one(s, "chromatid_http_requests_timed_out_total", "counter",
	    "Requests that ended 504, their outcome not known in time.",
	    (double)f->timeouts);
	tally_add_metrics(&s->text);
}

/* --- instances --------------------------------------------------------------------- */

typedef double(instance_value_fn)(const struct sheet *s, unsigned i);

static void per_instance(struct sheet *s, const char *name, const char *type,
                         const char *help, instance_value_fn *value)
{
	metrics_family(&s->text, name, type, help);
	for (unsigned i = 0; i < health_count(); i++)
		labelled(s, name, "instance", instance_name(health_instance(i)),
		         value(s, i));
}

/* As far as the leader knows. */
static void per_instance_led(struct sheet *s, const char *name, const char *help,
                             instance_value_fn *value)
{
	if (s->led)
		per_instance(s, name, "gauge", help, value);
	else
		metrics_family(&s->text, name, "gauge", help);
}

/* One label besides the instance. */
static void pair(struct sheet *s, const char *name, unsigned i, const char *key,
                 const char *label, double value)
{
	struct text labels = {0};

	metrics_label(&labels, "instance", instance_name(health_instance(i)));
	metrics_label(&labels, key, label);
	metrics_value(&s->text, name, text_string(&labels), value);
	text_clear(&labels);
}

static double is_up(const struct sheet *s, unsigned i)
{
	(void)s;
	return instance_up(health_instance(i));
}

static double is_writable(const struct sheet *s, unsigned i)
{
	(void)s;
	return instance_writable(health_instance(i));
}

static double probe_seconds(const struct sheet *s, unsigned i)
{
	(void)s;
	return (double)instance_figures(health_instance(i)).probe_us / 1e6;
}

static double waiting_calls(const struct sheet *s, unsigned i)
{
	(void)s;
	return upstream_figures(instance_upstream(health_instance(i))).waiting;
}

static void add_states(struct sheet *s)
{
	static const char name[] = "chromatid_instance_state";

	metrics_family(&s->text, name, "gauge", "1 for the state it is in.");
	for (unsigned i = 0; i < health_count(); i++)
		for (enum health h = HEALTH_UNKNOWN; h <= HEALTH_UP; h++)
			pair(s, name, i, "state", health_text(h),
			     instance_health(health_instance(i)) == h);
}

static void add_request(struct sheet *s, unsigned i, const char *kind, const char *code,
                        uint64_t count)
{
	struct text labels = {0};

	metrics_label(&labels, "instance", instance_name(health_instance(i)));
	metrics_label(&labels, "kind", kind);
	metrics_label(&labels, "code", code);
	metrics_value(&s->text, "chromatid_instance_requests_total", text_string(&labels),
	              (double)count);
	text_clear(&labels);
}

static void add_requests(struct sheet *s)
{
	metrics_family(&s->text, "chromatid_instance_requests_total", "counter",
	               "Requests of clients served by it; failed: 5xx or no answer.");
	for (unsigned i = 0; i < health_count(); i++) {
		struct instance_figures f = instance_figures(health_instance(i));
		uint64_t read_failures = f.failures - f.write_failures;

		add_request(s, i, "read", "ok", f.reads - read_failures);
		add_request(s, i, "read", "failed", read_failures);
		add_request(s, i, "write", "ok", f.writes - f.write_failures);
		add_request(s, i, "write", "failed", f.write_failures);
	}
}

static void add_errors(struct sheet *s)
{
	static const char name[] = "chromatid_instance_errors_total";
	static const char *const reasons[] = {[SIGNAL_ERROR_5XX] = "5xx",
	                                      [SIGNAL_REFUSED] = "refused",
	                                      [SIGNAL_BROKEN] = "broken",
	                                      [SIGNAL_TIMED_OUT] = "timeout"};

	metrics_family(&s->text, name, "counter",
	               "Calls to it that went wrong, and how.");
	for (unsigned i = 0; i < health_count(); i++) {
		struct instance_figures f = instance_figures(health_instance(i));

		for (unsigned k = SIGNAL_ERROR_5XX; k <= SIGNAL_TIMED_OUT; k++)
			pair(s, name, i, "reason", reasons[k], (double)f.signals[k]);
	}
}

static void add_probes(struct sheet *s)
{
	static const char name[] = "chromatid_probes_total";

	metrics_family(&s->text, name, "counter", "Questions for its health.");
	for (unsigned i = 0; i < health_count(); i++) {
		struct instance_figures f = instance_figures(health_instance(i));

		pair(s, name, i, "result", "good", (double)f.probes_good);
		pair(s, name, i, "result", "bad", (double)f.probes_bad);
	}
}

static void add_connections(struct sheet *s)
{
	static const char name[] = "chromatid_instance_connections";

	metrics_family(&s->text, name, "gauge", "Connections to it.");
	for (unsigned i = 0; i < health_count(); i++) {
		struct upstream_figures f =
		        upstream_figures(instance_upstream(health_instance(i)));

		pair(s, name, i, "state", "busy", (double)(f.open - f.idle));
		pair(s, name, i, "state", "idle", f.idle);
	}
}

static void add_failovers(struct sheet *s)
{
	static const char name[] = "chromatid_failovers_total";
	struct text labels = {0};

	metrics_family(&s->text, name, "counter",
	               "How often writes began to go to another instance first.");
	for (unsigned from = 0; from < health_count(); from++)
		for (unsigned to = 0; to < health_count(); to++) {
			if (from == to)
				continue;
			text_reset(&labels);
			metrics_label(&labels, "from",
			              instance_name(health_instance(from)));
			metrics_label(&labels, "to", instance_name(health_instance(to)));
			metrics_value(&s->text, name, text_string(&labels),
			              (double)wal_failovers(from, to));
		}
	text_clear(&labels);
}

static void add_instances(struct sheet *s)
{
	per_instance(s, "chromatid_instance_up", "gauge", "1 while it answers.", is_up);
	per_instance(s, "chromatid_instance_writable", "gauge",
	             "1 while it answers and takes writes.", is_writable);
	add_states(s);
	add_requests(s);
	add_errors(s);
	add_probes(s);
	add_failovers(s);
	per_instance(s, "chromatid_instance_probe_seconds", "gauge",
	             "How long the last good probe took.", probe_seconds);
	add_connections(s);
	per_instance(s, "chromatid_instance_calls_waiting", "gauge",
	             "Calls that wait for a connection to it.", waiting_calls);
}

/* --- the log ----------------------------------------------------------------------- */

static double owed(const struct sheet *s, unsigned i)
{
	return (double)s->wal.instances[i].owed;
}

static double owed_bytes(const struct sheet *s, unsigned i)
{
	return (double)s->wal.instances[i].owed_bytes;
}

static double oldest_owed(const struct sheet *s, unsigned i)
{
	return (double)s->wal.instances[i].oldest_wall_ms / 1000;
}

static double in_flight(const struct sheet *s, unsigned i)
{
	return s->wal.instances[i].in_flight;
}

static void add_appends(struct sheet *s)
{
	static const char name[] = "chromatid_wal_appends_total";

	metrics_family(&s->text, name, "counter", "Writes made durable, by kind.");
	for (enum record_kind k = RECORD_ADD; k <= RECORD_RESET; k++)
		if (strcmp(record_kind_name(k), record_kind_name(RECORD_NONE)) != 0)
			labelled(s, name, "op", record_kind_name(k),
			         (double)wal_appended_count(k));
	metrics_family(&s->text, "chromatid_wal_append_duration_seconds", "histogram",
	               "Until a write was durable.");
	metrics_histogram(&s->text, "chromatid_wal_append_duration_seconds", "",
	                  s->wal.append_seconds);
}

static void add_applied(struct sheet *s)
{
	static const char name[] = "chromatid_wal_applied_total";

	metrics_family(&s->text, name, "counter",
	               "Executions at an instance, by verdict, since this proxy leads.");
	for (unsigned i = 0; i < health_count(); i++) {
		const struct wal_instance_figures *f = &s->wal.instances[i];

		pair(s, name, i, "result", "applied", (double)f->executed);
		pair(s, name, i, "result", "refused", (double)f->refused);
		pair(s, name, i, "result", "unknown", (double)f->unknown);
	}
}

static void add_merged(struct sheet *s)
{
	one(s, "chromatid_wal_merged_calls_total", "counter",
	    "Calls to instances that carried more than one write.",
	    (double)s->wal.merged_calls);
	one(s, "chromatid_wal_merged_entries_total", "counter",
	    "The writes they carried.", (double)s->wal.merged);
}

static void add_verified(struct sheet *s)
{
	static const char name[] = "chromatid_verify_total";
	struct wal_verify_figures f = wal_verify_figures();

	metrics_family(&s->text, name, "counter",
	               "Collections compared at all instances, and how they were found.");
	for (unsigned k = 0; k < VERIFIED_RESULTS; k++)
		labelled(s, name, "result", wal_verified_name((enum wal_verified)k),
		         (double)f.results[k]);
}

static void add_rebuilt(struct sheet *s)
{
	uint64_t collections, items;

	wal_rebuilt(&collections, &items);
	one(s, "chromatid_resync_collections_total", "counter",
	    "Collections made anew at an instance from another.", (double)collections);
	one(s, "chromatid_resync_records_total", "counter",
	    "Records copied from one instance to another for that.", (double)items);
}

static double strange(const struct sheet *s, unsigned i)
{
	(void)s;
	return wal_strangers(i);
}

static void add_log(struct sheet *s)
{
	struct wal_log_figures f;

	wal_log_figures(&f);
	one(s, "chromatid_wal_log_bytes", "gauge", "What the log takes in PostgreSQL.",
	    f.known ? (double)f.bytes : (double)NAN);
	one(s, "chromatid_wal_log_limit_bytes", "gauge", "LOG_MAX_BYTES; 0: no limit.",
	    (double)f.limit);
}

static double is_detached(const struct sheet *s, unsigned i)
{
	(void)s;
	return wal_detached(health_instance(i));
}

static double quarantined(const struct sheet *s, unsigned i)
{
	return s->wal.instances[i].quarantined;
}

static double unproven(const struct sheet *s, unsigned i)
{
	(void)s;
	return wal_unproven(health_instance(i));
}

static void add_wal(struct sheet *s)
{
	add_appends(s);
	add_applied(s);
	add_merged(s);
	add_rebuilt(s);
	add_verified(s);
	add_log(s);
	per_instance_led(s, "chromatid_instance_detached",
	                 "1 while the log is not kept for it: it must be made anew.",
	                 is_detached);
	metrics_family(&s->text, "chromatid_wal_undecided_entries", "gauge",
	               "Writes no instance has answered yet.");
	if (s->led)
		metrics_value(&s->text, "chromatid_wal_undecided_entries", "",
		              (double)s->wal.undecided);
	per_instance_led(s, "chromatid_wal_pending_entries",
	                 "Writes it has not durably executed.", owed);
	per_instance_led(s, "chromatid_wal_pending_bytes", "The bytes of those.",
	                 owed_bytes);
	per_instance_led(s, "chromatid_wal_oldest_pending_timestamp_seconds",
	                 "When the oldest of those was logged; 0: there is none.",
	                 oldest_owed);
	per_instance_led(s, "chromatid_strangers",
	                 "Collections there that nobody made through the proxy.",
	                 strange);
	per_instance_led(s, "chromatid_quarantined_entries",
	                 "Collections whose lane there cannot go on.", quarantined);
	per_instance_led(
	        s, "chromatid_unproven_collections",
	        "Collections that were made anew there and are not compared yet.",
	        unproven);
	per_instance(s, "chromatid_wal_executions_in_flight", "gauge",
	             "Writes it is at work on.", in_flight);
}

static void add_collections(struct sheet *s)
{
	static const char name[] = "chromatid_collections";
	struct catalogue_counts n = catalogue_count(NULL);

	metrics_family(&s->text, name, "gauge", "Collections in the catalogue.");
	if (!s->led)
		return;
	labelled(s, name, "state", "live", n.live);
	labelled(s, name, "state", "creating", n.creating);
}

/* Of all sessions: nobody who looks at a graph cares which. */
static void add_queries(struct sheet *s)
{
	static const char name[] = "chromatid_postgres_query_duration_seconds";
	static const char *const works[PG_WORKS] = {[PG_OTHER] = "other",
	                                            [PG_APPEND] = "append",
	                                            [PG_OUTCOME] = "outcome",
	                                            [PG_LEASE] = "lease"};

	metrics_family(&s->text, name, "histogram",
	               "From sending a unit of work to its commit, by what it is for.");
	for (unsigned k = 0; k < PG_WORKS; k++) {
		struct metric_histogram all = s->wal.postgres.seconds[k];
		struct text labels = {0};

		for (unsigned i = 0; i < WAL_SESSIONS_BESIDE; i++)
			metrics_merge(&all, &s->wal.beside[i].seconds[k]);
		metrics_label(&labels, "query", works[k]);
		metrics_histogram(&s->text, name, text_string(&labels), &all);
		text_clear(&labels);
	}
	metrics_family(&s->text, "chromatid_wal_commit_batch_entries", "histogram",
	               "Writes that became durable in one commit.");
	metrics_histogram_of_counts(&s->text, "chromatid_wal_commit_batch_entries", "",
	                            &s->wal.postgres.appends);
}

static void add_postgres(struct sheet *s)
{
	const struct pg_figures *f = &s->wal.postgres;

	one(s, "chromatid_postgres_up", "gauge", "1 while connected.", s->wal.connected);
	one(s, "chromatid_postgres_round_trips_total", "counter",
	    "Groups of statements committed together.", (double)f->groups);
	one(s, "chromatid_postgres_round_trip_seconds_total", "counter",
	    "How long those took, together.", (double)f->round_trip_us_sum / 1e6);
	add_queries(s);
	one(s, "chromatid_postgres_waiting_units", "gauge",
	    "Units of work that wait for the next group.", (double)f->waiting_units);
	metrics_family(&s->text, "chromatid_postgres_errors_total", "counter",
	               "Statements refused, and connections lost.");
	labelled(s, "chromatid_postgres_errors_total", "class", "refused",
	         (double)f->refused);
	labelled(s, "chromatid_postgres_errors_total", "class", "lost", (double)f->lost);
}

/* --- the process ------------------------------------------------------------------- */

static void add_loop(struct sheet *s)
{
	static const char name[] = "chromatid_log_messages_total";
	static const char *const levels[] = {"debug", "info", "warn", "error"};

	one(s, "chromatid_event_loop_lag_seconds", "gauge",
	    "How late the loop was when it was last measured (every 100 ms).",
	    (double)s->lag.last_us / 1e6);
	one(s, "chromatid_event_loop_lag_max_seconds", "gauge",
	    "The most of the last ten seconds.", (double)s->lag.max_us / 1e6);
	one(s, "chromatid_event_loop_late_seconds_total", "counter",
	    "All lateness that was measured.", (double)s->lag.sum_us / 1e6);
	one(s, "chromatid_buffered_bytes", "gauge", "Bodies held in memory.",
	    (double)blob_total());
	one(s, "chromatid_memory_limit_bytes", "gauge", "MAX_MEMORY_MB.",
	    (double)exchange_conf->max_memory_mb * 1e6);
	metrics_family(&s->text, name, "counter", "Lines written to standard error.");
	for (unsigned k = LOG_DEBUG; k <= LOG_ERROR; k++)
		labelled(s, name, "level", levels[k],
		         (double)log_count((enum log_level)k));
	one(s, "chromatid_log_messages_dropped_total", "counter",
	    "Lines that nobody was there to read.", (double)log_dropped());
}

static void add_messages(struct sheet *s)
{
	static const char name[] = "chromatid_webhook_messages_total";
	struct wal_told told = wal_told();

	metrics_family(
	        &s->text, name, "counter",
	        "Messages to SLACK_WEBHOOK_URL; failed: tries, dropped: given up.");
	labelled(s, name, "result", "sent", (double)told.sent);
	labelled(s, name, "result", "failed", (double)told.failed);
	labelled(s, name, "result", "dropped", (double)told.dropped);
}

static void add_events(struct sheet *s)
{
	static const char name[] = "chromatid_events_total";
	struct wal_event_figures f = wal_event_figures();

	metrics_family(&s->text, name, "counter",
	               "Changes of state, by what became of them: noted in PostgreSQL, "
	               "or lost.");
	labelled(s, name, "result", "noted", (double)f.noted);
	labelled(s, name, "result", "lost", (double)f.lost);
}

static void add_process(struct sheet *s)
{
	const struct process_figures *f = &s->process;

	one(s, "process_cpu_seconds_total", "counter", "User and system time.",
	    f->cpu_seconds);
	one(s, "process_resident_memory_bytes", "gauge", "Memory in use.",
	    (double)f->resident);
	one(s, "process_resident_memory_peak_bytes", "gauge", "The most it ever was.",
	    (double)f->resident_peak);
	one(s, "process_virtual_memory_bytes", "gauge", "Address space.",
	    (double)f->virtual);
	one(s, "process_open_fds", "gauge", "Open descriptors.", (double)f->open_files);
	one(s, "process_max_fds", "gauge", "How many there may be.",
	    (double)f->most_files);
	one(s, "process_start_time_seconds", "gauge", "When it was started.",
	    (double)f->started_wall_ms / 1000);
}

/* --- the page ---------------------------------------------------------------------- */

static void send_page(struct exchange *ex, struct text *page)
{
	struct headers h = {0};
	size_t len = page->len;
	struct blob *body = blob_adopt(text_detach(page), len);

	headers_add(&h, "content-type", "text/plain; version=0.0.4; charset=utf-8");
	exchange_reply(ex, 200, &h, body);
	headers_clear(&h);
	blob_unref(&body);
}

void metrics_page(struct exchange *ex)
{
	const char *accept = headers_get(&ex->head->headers, "accept");
	struct sheet s = {.text = {0}};

	if (accept != NULL && strcasestr(accept, "application/json") != NULL) {
		process_page(ex);
		return;
	}
	wal_figures(&s.wal);
	s.led = shown_is_ours();
	process_figures(&s.process);
	lag_figures(&s.lag);
	add_proxy(&s);
	add_clients(&s);
	add_instances(&s);
	add_wal(&s);
	add_collections(&s);
	collection_metrics(&s.text);
	add_postgres(&s);
	add_loop(&s);
	add_messages(&s);
	add_events(&s);
	add_process(&s);
	send_page(ex, &s.text);
}
