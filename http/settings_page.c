/* http/settings_page.c - what this proxy was told, and how it is laid out.
 *
 *	GET /admin/config              the settings in force, and where each comes from
 *	GET /admin/scalability_status  as older scripts ask: pools, locks, load */
#include <string.h>

#include "core/clock.h"
#include "core/conf_table.h"
#include "core/version.h"
#include "http/admin.h"
#include "http/status.h"

static json_t *setting(size_t k)
{
	const struct conf_setting *s = &conf_settings[k];
	struct text value = {0};
	json_t *o = json_object();

	conf_show(exchange_conf, s, &value);
	status_set(o, "name", json_string(s->name));
	status_set(o, "value", status_text_or_null(text_string(&value)));
	status_set(o, "source", json_string(conf_source_name(exchange_conf->sources[k])));
	status_set(o, "default",
	           s->initial != NULL ? json_string(s->initial) : json_null());
	status_set(o, "secret", json_boolean(s->secret));
	status_set(o, "what", json_string(s->what));
	text_clear(&value);
	return o;
}

void config_page(struct exchange *ex)
{
	json_t *o = json_object(), *list = json_array();

	for (size_t k = 0; k < conf_settings_count; k++)
		json_array_append_new(list, setting(k));
	status_set(o, "version", json_string(CHROMATID_VERSION));
	status_set(o, "settings", list);
	status_send(ex, o);
}

/* Nothing is locked: what must keep its order waits in a queue of its own. */
static json_t *features(void)
{
	json_t *pool = json_object(), *locks = json_object();

	status_set(pool, "available", json_true());
	status_set(pool, "enabled", json_true());
	status_set(pool, "min_connections", json_integer(0));
	status_set(pool, "max_connections",
	           json_integer(exchange_conf->connection_pool_size));
	status_set(locks, "available", json_true());
	status_set(locks, "enabled", json_true());
	status_set(locks, "lock_types",
	           json_pack("[s, s, s]", "collection", "database", "everything"));
	return json_pack("{s:o, s:o}", "connection_pooling", pool, "granular_locking",
	                 locks);
}

static json_t *impact(void)
{
	struct upstream_figures sum = {0}, f;
	uint64_t calls;

	for (unsigned i = 0; i < health_count(); i++) {
		f = upstream_figures(instance_upstream(health_instance(i)));
		sum.reused += f.reused;
		sum.connects += f.connects;
	}
	calls = sum.reused + sum.connects;
	return json_pack("{s:o, s:s}", "connection_pool_hit_rate",
	                 calls > 0 ? json_sprintf("%.1f%%", 100.0 * (double)sum.reused /
	                                                            (double)calls)
	                           : json_null(),
	                 "lock_contention",
	                 "none: one loop, a queue for each collection");
}

static json_t *load(void)
{
	const struct exchange_figures *f = &exchange_totals;
	json_t *o = json_object();

	status_set(o, "concurrent_requests", status_count(exchange_count()));
	status_set(o, "total_requests_processed",
	           status_count(f->total - exchange_count()));
	status_set(o, "timeout_requests", status_count(f->timeouts));
	status_set(o, "queue_full_rejections", status_count(f->rejected));
	return o;
}

void scalability_page(struct exchange *ex)
{
	json_t *o = json_object();

	status_set(o, "timestamp", status_time(clock_wall_ms()));
	status_set(o, "scalability_features", features());
	status_set(o, "performance_stats", status_performance_now());
	status_set(o, "performance_impact", impact());
	status_set(o, "current_load", load());
	status_send(ex, o);
}
