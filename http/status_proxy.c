/* http/status_proxy.c - what the status document says of the proxy itself. */
#include <unistd.h>

#include "core/clock.h"
#include "core/events.h"
#include "core/job.h"
#include "core/version.h"
#include "http/status.h"

static double memory_percent(const struct status_facts *k)
{
	return (double)k->process.resident / (double)exchange_conf->max_memory_mb / 1e4;
}

static void set_limits(json_t *o)
{
	status_set(o, "max_concurrent_requests",
	           json_integer(exchange_conf->max_concurrent_requests));
	status_set(o, "request_queue_size",
	           json_integer(exchange_conf->request_queue_size));
	status_set(o, "request_timeout",
	           status_seconds((int64_t)exchange_conf->request_timeout));
}

json_t *status_high_volume(const struct status_facts *k)
{
	json_t *o = json_object();

	status_set(o, "max_memory_mb", json_integer(exchange_conf->max_memory_mb));
	status_set(o, "current_memory_percent", status_rounded(memory_percent(k)));
	status_set(o, "peak_memory_usage",
	           status_rounded((double)k->process.resident_peak / 1e6));
	status_set(o, "max_workers", json_integer(exchange_conf->max_workers));
	status_set(o, "default_batch_size",
	           json_integer(exchange_conf->default_batch_size));
	status_set(o, "max_batch_size", json_integer(exchange_conf->max_batch_size));
	set_limits(o);
	return o;
}

static void set_requests_served(json_t *o)
{
	const struct exchange_figures *f = &exchange_totals;

	status_set(o, "concurrent_requests_active", status_count(exchange_count()));
	status_set(o, "total_requests_processed",
	           status_count(f->total - exchange_count()));
	status_set(o, "timeout_requests", status_count(f->timeouts));
	status_set(o, "queue_full_rejections", status_count(f->rejected));
}

/* Executions on instances that follow, a second, since this proxy was started. */
static double throughput(const struct status_facts *k)
{
	int64_t up_ms = k->now_ms - k->process.started_wall_ms;

	return up_ms > 0 ? (double)k->wal.replayed * 1000 / (double)up_ms : 0;
}

json_t *status_performance(const struct status_facts *k)
{
	struct upstream_figures sum = {0}, f;
	json_t *o = json_object();

	for (unsigned i = 0; i < health_count(); i++) {
		f = upstream_figures(instance_upstream(health_instance(i)));
		sum.reused += f.reused;
		sum.connects += f.connects;
	}
	status_set(o, "memory_pressure_events", status_count(server_pressure_events()));
	status_set(o, "adaptive_batch_reductions", status_count(k->wal.reductions));
	status_set(o, "avg_sync_throughput", status_rounded(throughput(k)));
	status_set(o, "connection_pool_hits", status_count(sum.reused));
	status_set(o, "connection_pool_misses", status_count(sum.connects));
	status_set(o, "lock_contention_avoided",
	           json_integer(0)); /* there are no locks */
	set_requests_served(o);
	status_set(o, "mapping_failures", json_integer(0));
	return o;
}

static json_t *concurrency_object(void)
{
	json_t *o = json_object();

	set_limits(o);
	set_requests_served(o);
	status_set(o, "client_connections", status_count(server_connections()));
	return o;
}

json_t *status_proxy_name(void)
{
	char host[64] = "chromatid";

	gethostname(host, sizeof(host) - 1);
	return status_text_value(host);
}

/* The others are not known to this one; who leads is said beside (figures_from). */
static json_t *proxy_list(const struct status_facts *k)
{
	return json_pack("[{s:o, s:s, s:b, s:b, s:b, s:o}]", "name", status_proxy_name(),
	                 "version", CHROMATID_VERSION, "leader", k->wal.leads ? 1 : 0,
	                 "ready", operator_ready() ? 1 : 0, "draining",
	                 http_draining() ? 1 : 0, "started_at",
	                 status_time(k->process.started_wall_ms));
}

static json_t *memory_object(const struct status_facts *k)
{
	return json_pack("{s:o, s:o, s:o, s:o}", "resident_mb",
	                 status_rounded((double)k->process.resident / 1e6), "peak_mb",
	                 status_rounded((double)k->process.resident_peak / 1e6),
	                 "percent", status_rounded(memory_percent(k)), "bodies_bytes",
	                 status_count(blob_total()));
}

/* --- jobs, events ------------------------------------------------------------------ */

static void add_job(const struct job *job, void *arg)
{
	struct job_figures f = job_figures(job);
	json_t *o = json_object();

	status_set(o, "name", status_text_value(f.name));
	status_set(o, "running", json_boolean(f.running));
	status_set(o, "runs", status_count(f.runs));
	status_set(o, "failures_in_a_row", status_count(f.failures_in_a_row));
	status_set(o, "last_run", status_time(f.last_run_wall_ms));
	status_set(o, "last_duration_ms", status_count(f.last_duration));
	json_array_append_new(arg, o);
}

static json_t *job_list(void)
{
	json_t *list = json_array();

	job_each(add_job, list);
	return list;
}

static json_t *event_object(const struct kept_event *e)
{
	json_t *o = json_pack("{s:o, s:s, s:o, s:i}", "time", status_time(e->wall_ms),
	                      "event", e->event, "text", status_text_value(e->text),
	                      "times", (int)e->times);

	if (e->proxy[0] != '\0')
		status_set(o, "proxy", status_text_value(e->proxy));
	return o;
}

static json_t *event_list(void)
{
	json_t *list = json_array();
	const struct kept_event *e;

	for (unsigned i = 0; (e = events_get(i)) != NULL; i++)
		json_array_append_new(list, event_object(e));
	return list;
}

/* --- all of it --------------------------------------------------------------------- */

void status_set_proxy(json_t *o, const struct status_facts *k)
{
	status_set(o, "high_volume_config", status_high_volume(k));
	status_set(o, "performance_stats", status_performance(k));
	status_set(o, "concurrency_limit",
	           json_integer(exchange_conf->max_concurrent_requests));
	status_set(o, "concurrency_details", concurrency_object());
	status_set(o, "memory", memory_object(k));
	status_set(o, "event_loop_lag_ms", status_rounded((double)k->lag.last_us / 1000));
	status_set(o, "event_loop_lag_max_ms",
	           status_rounded((double)k->lag.max_us / 1000));
	status_set(o, "proxies", proxy_list(k));
	status_set(o, "jobs", job_list());
	status_set(o, "recent_events", event_list());
}

/* Five numbers, as older scripts read them. */
void process_page(struct exchange *ex)
{
	struct process_figures f;
	char now[CLOCK_ISO_BYTES];

	process_figures(&f);
	exchange_json(ex, 200,
	              "{\"memory_usage_mb\":%.1f,\"memory_percent\":%.1f,"
	              "\"cpu_percent\":%.1f,\"timestamp\":\"%s\","
	              "\"peak_memory_usage\":%.1f}",
	              (double)f.resident / 1e6,
	              (double)f.resident / (double)exchange_conf->max_memory_mb / 1e4,
	              f.cpu_percent, clock_iso(clock_wall_ms(), now),
	              (double)f.resident_peak / 1e6);
}
