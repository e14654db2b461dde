/* http/status_page.c - GET /status and /wal/status: all that is known, as one document.
 *
 * Scripts of years read these keys, so none may go and each must be true. What only the
 * proxy that leads can know (what is owed, which collections there are) is null while
 * this one does not lead: a 0 would be a lie. What this version does not do yet counts
 * as 0 or is an empty list. docs/status.schema.json says what each key means. */
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/version.h"
#include "http/status.h"

#define SCHEMA 1
#define DIGITS 12

/* --- instances --------------------------------------------------------------------- */

/* Rounded down: with one failure it is not 100 %. */
static json_t *success_rate(const struct instance_figures *f)
{
	uint64_t tenths = f->requests > 0 ? f->successes * 1000 / f->requests : 1000;

	return json_sprintf("%u.%u%%", (unsigned)(tenths / 10), (unsigned)(tenths % 10));
}

static int64_t lag_ms(const struct status_facts *k, unsigned i)
{
	int64_t since = k->wal.instances[i].oldest_wall_ms;

	return since > 0 && k->now_ms > since ? k->now_ms - since : 0;
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

static void set_owed(json_t *o, const struct status_facts *k, unsigned i)
{
	const struct wal_instance_figures *f = &k->wal.instances[i];
	bool detached = wal_detached(health_instance(i));

	status_set(o, "pending_writes", status_if_led(k, status_count(f->owed)));
	status_set(o, "pending_bytes", status_if_led(k, status_count(f->owed_bytes)));
	status_set(o, "caught_up",
	           status_if_led(k, json_boolean(f->owed == 0 && !detached)));
	status_set(o, "detached", status_if_led(k, json_boolean(detached)));
	status_set(o, "lag_seconds", status_if_led(k, status_seconds(lag_ms(k, i))));
	status_set(o, "replaying", json_boolean(f->replaying));
	status_set(o, "last_error", status_text_or_null(f->last_error));
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
	set_owed(o, k, i);
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

static bool is_replaying(const struct status_facts *k)
{
	for (unsigned i = 0; i < health_count(); i++)
		if (k->wal.instances[i].replaying)
			return true;
	return false;
}

static json_t *wal_object(const struct status_facts *k)
{
	json_t *o = json_object();

	status_set(o, "pending_writes", status_if_led(k, status_count(k->wal.owed)));
	status_set(o, "is_replaying", json_boolean(is_replaying(k)));
	status_set(o, "oldest_pending",
	           status_if_led(k, status_time(k->wal.oldest_wall_ms)));
	status_set(o, "total_replayed", status_count(k->wal.replayed));
	status_set(o, "failed_replays", status_count(k->wal.failures));
	status_set(o, "quarantined", status_if_led(k, status_count(wal_quarantined())));
	status_set(o, "last_seq", status_if_led(k, status_count((uint64_t)k->wal.seq)));
	status_set(o, "undecided", status_if_led(k, status_count(k->wal.undecided)));
	status_set(o, "appended", status_count(k->wal.appended));
	status_set(o, "decided", status_count(k->wal.decided));
	status_set_log(o);
	return o;
}

static json_t *unified_object(const struct status_facts *k)
{
	json_t *o = json_object();

	status_set(o, "pending_writes", status_if_led(k, status_count(k->wal.owed)));
	status_set(o, "is_syncing", json_boolean(is_replaying(k)));
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
	struct catalogue_counts n = catalogue_count(NULL);
	json_t *o = json_object();

	status_set(o, "live", status_if_led(k, status_count(n.live)));
	status_set(o, "creating", status_if_led(k, status_count(n.creating)));
	status_set(o, "complete", status_if_led(k, status_count(n.complete)));
	status_set(o, "partial", status_if_led(k, status_count(n.live - n.complete)));
	return o;
}

/* --- the documents ----------------------------------------------------------------- */

static struct status_facts know(void)
{
	struct status_facts k = {.now_ms = clock_wall_ms()};

	json_set_alloc_funcs(mem_alloc, free);
	wal_figures(&k.wal);
	process_figures(&k.process);
	lag_figures(&k.lag);
	return k;
}

void status_send(struct exchange *ex, json_t *document)
{
	char *json = json_dumps(document, JSON_COMPACT | JSON_REAL_PRECISION(DIGITS));
	struct text text = {0};

	json_decref(document);
	text_adds(&text, json);
	free(json);
	exchange_json_text(ex, 200, &text);
}

json_t *status_instances(void)
{
	struct status_facts k = know();

	return instance_list(&k);
}

json_t *status_performance_now(void)
{
	struct status_facts k = know();

	return status_performance(&k);
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
	status_set(o, "write_ahead_log", wal_object(k));
	status_set(o, "wal", wal_object(k));
	status_set(o, "unified_wal", unified_object(k));
	status_set(o, "postgres", postgres_object(k));
	status_set(o, "collections", collections_object(k));
	status_set(o, "resync", status_if_led(k, status_resync(k->now_ms)));
	status_set(o, "strangers", status_if_led(k, status_strangers()));
	status_set(o, "verification", status_if_led(k, status_verification()));
	status_set(o, "quarantine", status_if_led(k, status_quarantine()));
	status_set(o, "export", status_export());
	status_set(o, "removed_instances", status_if_led(k, status_removed()));
}

void status_page(struct exchange *ex)
{
	struct status_facts k = know();
	json_t *o = json_object();

	set_head(o, &k);
	set_instances(o, &k);
	set_log(o, &k);
	status_set_proxy(o, &k);
	status_send(ex, o);
}

void wal_status_page(struct exchange *ex)
{
	struct status_facts k = know();
	json_t *o = json_object(), *both = unified_object(&k), *wal = wal_object(&k);

	json_object_update(both, wal);
	json_decref(wal);
	status_set(o, "wal_system", both);
	status_set(o, "performance_stats", status_performance(&k));
	status_set(o, "high_volume_config", status_high_volume(&k));
	status_set(o, "pending_writes", status_if_led(&k, status_count(k.wal.owed)));
	status_set(o, "pending", status_if_led(&k, status_count(k.wal.owed)));
	status_set(o, "failed_syncs", status_count(k.wal.failures));
	status_set(o, "successful_syncs", status_count(k.wal.replayed));
	status_set(o, "successful", status_count(k.wal.replayed));
	status_set(o, "is_syncing", json_boolean(is_replaying(&k)));
	status_send(ex, o);
}
