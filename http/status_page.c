/* http/status_page.c - GET /status and /wal/status: all that is known, as one document.
 *
 * Scripts of years read these keys, so none may go and each must be true. What only the
 * proxy that leads can know (what is owed, which collections there are) is what that has
 * told last, and null when it tells nothing: a 0 would be a lie. What concerns this
 * process, or is seen as well from here, is its own. docs/status.schema.json says what
 * each key means. */
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/version.h"
#include "http/shown.h"
#include "http/status.h"

#define SCHEMA 1

/* --- instances --------------------------------------------------------------------- */

/* Rounded down: with one failure it is not 100 %. */
static json_t *success_rate(const struct instance_figures *f)
{
	uint64_t tenths = f->requests > 0 ? f->successes * 1000 / f->requests : 1000;

	return json_sprintf("%u.%u%%", (unsigned)(tenths / 10), (unsigned)(tenths % 10));
}

static void set_health(json_t *o, const struct instance *in,
                       const struct instance_figures *f)
{
	bool reads_only = instance_up(in) && !instance_writable(in);
	struct instance_out out = instance_out(in);
	const char *state = out.is ? "taken_out" : health_text(instance_health(in));

	status_set(o, "healthy", json_boolean(instance_up(in)));
	status_set(o, "state", json_string(reads_only ? "read_only" : state));
	status_set(o, "reason",
	           status_text_value(reads_only ? f->write_reason : f->reason));
	status_set(o, "taken_out", json_boolean(out.is));
	status_set(o, "taken_out_until", status_time(out.until_wall_ms));
	status_set(o, "identity", json_string(f->identity));
	status_set(o, "since", status_time(f->since_wall_ms));
	status_set(o, "consecutive_failures", status_count(f->consecutive_failures));
	status_set(o, "last_health_check", status_time(f->last_check_wall_ms));
	status_set(o, "probe_ms", status_rounded((double)f->probe_us / 1000));
}

static void set_requests(json_t *o, const struct instance_figures *f)
{
	status_set(o, "request_count", status_count(f->requests));
	status_set(o, "total_requests", status_count(f->requests));
	status_set(o, "successful_requests", status_count(f->successes));
	status_set(o, "success_rate", success_rate(f));
	status_set(o, "reads", status_count(f->reads));
	status_set(o, "writes", status_count(f->writes));
}

/* By our own clock: it grows while the instance stays where it is. */
static json_t *lag(const struct status_facts *k, const json_t *of)
{
	const json_t *oldest = json_object_get(of, "oldest_ms");
	int64_t since = json_integer_value(oldest);

	if (oldest == NULL)
		return json_null();
	return status_seconds(since > 0 && k->now_ms > since ? k->now_ms - since : 0);
}

static json_t *caught_up(const json_t *of)
{
	const json_t *owed = json_object_get(of, "pending_writes");
	const json_t *detached = json_object_get(of, "detached");

	if (owed == NULL || detached == NULL)
		return json_null();
	return json_boolean(json_integer_value(owed) == 0 && !json_is_true(detached));
}

static void set_owed(json_t *o, const struct status_facts *k, const char *name)
{
	static const char *const keys[] = {"pending_writes", "pending_bytes", "detached",
	                                   "replaying", "last_error"};
	const json_t *of = json_object_get(json_object_get(k->led, "instances"), name);

	for (size_t n = 0; n < sizeof(keys) / sizeof(keys[0]); n++)
		status_set_known(o, of, keys[n]);
	status_set(o, "caught_up", caught_up(of));
	status_set(o, "lag_seconds", lag(k, of));
}

static json_t *instance_object(const struct status_facts *k, unsigned i)
{
	const struct instance *in = health_instance(i);
	struct instance_figures f = instance_figures(in);
	json_t *o = json_object();

	status_set(o, "name", status_text_value(instance_name(in)));
	status_set(o, "url", status_text_value(upstream_url(instance_upstream(in))));
	status_set(o, "role", json_string(i == 0 ? "primary" : "replica"));
	status_set(o, "priority", json_integer(i == 0 ? 100 : 90 - 10 * (json_int_t)i));
	set_health(o, in, &f);
	set_requests(o, &f);
	set_owed(o, k, instance_name(in));
	return o;
}

static json_t *instance_list(const struct status_facts *k)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < health_count(); i++)
		json_array_append_new(list, instance_object(k, i));
	return list;
}

/* --- the log ----------------------------------------------------------------------- */

static json_t *wal_object(const struct status_facts *k)
{
	static const char *const keys[] = {
	        "pending_writes", "is_replaying",   "oldest_pending",
	        "total_replayed", "failed_replays", "quarantined",
	        "last_seq",       "undecided",      "decided"};
	const json_t *wal = json_object_get(k->led, "wal");
	json_t *o = json_object();

	for (size_t n = 0; n < sizeof(keys) / sizeof(keys[0]); n++)
		status_set_known(o, wal, keys[n]);
	status_set(o, "appended", status_count(k->wal.appended));
	status_set_log(o);
	return o;
}

static json_t *of_wal(const struct status_facts *k, const char *key)
{
	return status_known(json_object_get(k->led, "wal"), key);
}

static json_t *unified_object(const struct status_facts *k)
{
	json_t *o = json_object();

	status_set(o, "pending_writes", of_wal(k, "pending_writes"));
	status_set(o, "is_syncing", of_wal(k, "is_replaying"));
	status_set(o, "sync_interval_seconds", json_integer(0)); /* at once */
	status_set(o, "database", json_string("PostgreSQL"));
	status_set(o, "approach",
	           json_string("logged first, then executed in the order of the log "
	                       "by every instance"));
	return o;
}

static json_t *postgres_object(const struct status_facts *k)
{
	const struct pg_figures *f = &k->wal.postgres;
	json_t *o = json_object();

	status_set(o, "connected", json_boolean(k->wal.connected));
	status_set(o, "last_error", status_text_or_null(k->wal.last_error));
	status_set(o, "connects", status_count(f->connects));
	status_set(o, "losses", status_count(f->lost));
	status_set(o, "commits", status_count(f->groups));
	status_set(o, "waiting", status_count(f->waiting_units));
	status_set(o, "average_commit_ms",
	           status_rounded(f->groups > 0 ? (double)f->round_trip_us_sum / 1000 /
	                                                  (double)f->groups
	                                        : 0));
	return o;
}

/* --- collections ------------------------------------------------------------------- */

static json_t *collections_object(const struct status_facts *k)
{
	static const char *const keys[] = {"live", "creating", "complete", "partial"};
	const json_t *counts = json_object_get(k->led, "collections");
	json_t *o = json_object();

	for (size_t n = 0; n < sizeof(keys) / sizeof(keys[0]); n++)
		status_set_known(o, counts, keys[n]);
	return o;
}

/* --- the documents ----------------------------------------------------------------- */

struct status_facts status_know(size_t most)
{
	struct status_facts k = {.now_ms = clock_wall_ms()};

	json_set_alloc_funcs(mem_alloc, free);
	wal_figures(&k.wal);
	process_figures(&k.process);
	lag_figures(&k.lag);
	k.led = shown_is_ours() ? status_led(&k, most)
	                        : json_incref(shown_told(WAL_SHOWN_FIGURES, &k.led_age));
	return k;
}

void status_forget(struct status_facts *k)
{
	json_decref(k->led);
	k->led = NULL;
}

void status_send(struct exchange *ex, json_t *document)
{
	char *json = json_dumps(document, STATUS_AS_TEXT);
	struct text text = {0};

	json_decref(document);
	text_adds(&text, json);
	free(json);
	exchange_json_text(ex, 200, &text);
}

json_t *status_instances(void)
{
	struct status_facts k = status_know(0);
	json_t *list = instance_list(&k);

	status_forget(&k);
	return list;
}

json_t *status_performance_now(void)
{
	struct status_facts k = status_know(0);
	json_t *o = status_performance(&k);

	status_forget(&k);
	return o;
}

/* Whose word it is what only a leader knows. */
static json_t *figures_from(const struct status_facts *k)
{
	json_t *o;

	if (k->led == NULL)
		return json_null();
	o = json_object();
	status_set_known(o, k->led, "proxy");
	status_set(o, "age_seconds", status_seconds((int64_t)k->led_age));
	status_set_known(o, k->led, "whole");
	return o;
}

static void set_head(json_t *o, const struct status_facts *k)
{
	status_set(o, "schema", json_integer(SCHEMA));
	status_set(o, "service", json_string(OPERATOR_SERVICE));
	status_set(o, "architecture", json_string(OPERATOR_ARCHITECTURE));
	status_set(o, "version", json_string(CHROMATID_VERSION));
	status_set(o, "timestamp", status_time(k->now_ms));
	status_set(o, "status", json_string(operator_state()));
	status_set(o, "ready", json_boolean(operator_ready()));
	status_set(o, "uptime_seconds",
	           status_seconds(k->now_ms - k->process.started_wall_ms));
	status_set(o, "leader", json_boolean(k->wal.leads));
	status_set(o, "epoch", status_count((uint64_t)k->wal.epoch));
	status_set(o, "figures_from", figures_from(k));
}

static const char *strategy(void)
{
	static const char *const names[] = {"optimized_read_replica", "round_robin",
	                                    "primary_only"};

	return names[exchange_conf->strategy];
}

static void set_instances(json_t *o, const struct status_facts *k)
{
	status_set(o, "healthy_instances", status_count(health_up_count()));
	status_set(o, "total_instances", status_count(health_count()));
	status_set(o, "instances", instance_list(k));
	status_set(o, "summary",
	           json_pack("{s:o, s:o}", "healthy_instances",
	                     status_count(health_up_count()), "total_instances",
	                     status_count(health_count())));
	status_set(o, "load_balancer",
	           json_pack("{s:s, s:f}", "strategy", strategy(), "read_replica_ratio",
	                     exchange_conf->read_replica_ratio));
}

static void set_log(json_t *o, const struct status_facts *k)
{
	static const char *const led[] = {"resync",     "strangers", "verification",
	                                  "quarantine", "export",    "removed_instances"};

	status_set(o, "write_ahead_log", wal_object(k));
	status_set(o, "wal", wal_object(k));
	status_set(o, "unified_wal", unified_object(k));
	status_set(o, "postgres", postgres_object(k));
	status_set(o, "collections", collections_object(k));
	for (size_t n = 0; n < sizeof(led) / sizeof(led[0]); n++)
		status_set_known(o, k->led, led[n]);
}

void status_page(struct exchange *ex)
{
	struct status_facts k = status_know(STATUS_LISTED);
	json_t *o = json_object();

	set_head(o, &k);
	set_instances(o, &k);
	set_log(o, &k);
	status_set_proxy(o, &k);
	status_forget(&k);
	status_send(ex, o);
}

void wal_status_page(struct exchange *ex)
{
	struct status_facts k = status_know(0);
	json_t *o = json_object(), *both = unified_object(&k), *wal = wal_object(&k);

	json_object_update(both, wal);
	json_decref(wal);
	status_set(o, "wal_system", both);
	status_set(o, "performance_stats", status_performance(&k));
	status_set(o, "high_volume_config", status_high_volume(&k));
	status_set(o, "pending_writes", of_wal(&k, "pending_writes"));
	status_set(o, "pending", of_wal(&k, "pending_writes"));
	status_set(o, "failed_syncs", of_wal(&k, "failed_replays"));
	status_set(o, "successful_syncs", of_wal(&k, "total_replayed"));
	status_set(o, "successful", of_wal(&k, "total_replayed"));
	status_set(o, "is_syncing", of_wal(&k, "is_replaying"));
	status_set(o, "figures_from", figures_from(&k));
	status_forget(&k);
	status_send(ex, o);
}
