/* wal/schema_monitor.c - the tables of sample.c and chronicle.c, and how they stay small.
 *
 * Samples lie in a part for each week, events in one for each month; one that is too old
 * goes as a whole and gives its room back. What is too old in the next one is deleted, a
 * day of it at a time: the part follows within a week, or a month. */
#include "wal/lead.h"

/* Where we may not create a view in public, or a former system left a table of that name,
 * scripts go without. */
#define VIEW(name)                                                                       \
	"DO $$ BEGIN CREATE VIEW public." name " AS SELECT * FROM chromatid." name ";"   \
	" EXCEPTION WHEN insufficient_privilege OR duplicate_table THEN NULL; END $$"

const char *const monitor_schema[] = {
        "CREATE TABLE chromatid.performance_metrics ("
        " metric_timestamp timestamptz NOT NULL DEFAULT now(), proxy text NOT NULL,"
        " memory_usage_mb float8, memory_percent float8, cpu_percent float8,"
        " event_loop_lag_ms float8, pending_writes float8, behind_seconds float8,"
        " log_mb float8) PARTITION BY RANGE (metric_timestamp)",
        "CREATE INDEX performance_metrics_at"
        " ON chromatid.performance_metrics (metric_timestamp)",
        "CREATE TABLE chromatid.upgrade_recommendations ("
        " recommendation_type text NOT NULL, current_usage float8,"
        " recommended_tier text NOT NULL, reason text NOT NULL, urgency text NOT NULL,"
        " service_component text NOT NULL, proxy text NOT NULL,"
        " created_at timestamptz NOT NULL DEFAULT now())",
        VIEW("performance_metrics"),
        VIEW("upgrade_recommendations"),
        /* A table is made, then attached, which lets others go on; one that is read just
           now goes later. Nobody waits for longer than this may wait for a lock. */
        "CREATE FUNCTION chromatid.keep_samples(keep interval) RETURNS void"
        " LANGUAGE plpgsql SET lock_timeout = '80ms' SET timezone = 'UTC' AS $$"
        " DECLARE monday date; name text; oldest timestamptz; BEGIN"
        " IF NOT pg_try_advisory_xact_lock(4858, 3) THEN RETURN; END IF;"
        " FOR k IN 0..1 LOOP"
        "  monday := date_trunc('week', now())::date + 7 * k;"
        "  name := 'performance_metrics_' || to_char(monday, 'YYYYMMDD');"
        "  CONTINUE WHEN to_regclass('chromatid.' || name) IS NOT NULL;"
        "  EXECUTE format('CREATE TABLE chromatid.%I (LIKE"
        "   chromatid.performance_metrics INCLUDING ALL)', name);"
        "  EXECUTE format('ALTER TABLE chromatid.performance_metrics ATTACH PARTITION"
        "   chromatid.%I FOR VALUES FROM (%L) TO (%L)', name, monday, monday + 7);"
        " END LOOP;"
        " BEGIN"
        "  FOR name IN SELECT c.relname FROM pg_inherits i"
        "   JOIN pg_class c ON c.oid = i.inhrelid"
        "   WHERE i.inhparent = 'chromatid.performance_metrics'::regclass"
        "   AND to_date(right(c.relname, 8), 'YYYYMMDD') + 7 < now() - keep LOOP"
        "   EXECUTE format('DROP TABLE chromatid.%I', name);"
        "  END LOOP;"
        " EXCEPTION WHEN lock_not_available THEN NULL; END;"
        " SELECT min(metric_timestamp) INTO oldest FROM chromatid.performance_metrics;"
        " DELETE FROM chromatid.performance_metrics WHERE metric_timestamp <"
        "  least(now() - keep, oldest + interval '1 day');"
        " DELETE FROM chromatid.upgrade_recommendations"
        "  WHERE created_at < now() - keep;"
        " END $$",
        NULL,
};

/* By when PostgreSQL heard of it: a proxy's clock may be anywhere, and it may have had to
 * wait for days to tell. */
const char *const trace_schema[] = {
        "CREATE TABLE chromatid.event ("
        " noted timestamptz NOT NULL DEFAULT now(), at timestamptz NOT NULL,"
        " proxy text NOT NULL, event text NOT NULL, message text NOT NULL,"
        " times int NOT NULL DEFAULT 1) PARTITION BY RANGE (noted)",
        "CREATE INDEX event_at ON chromatid.event (at)",
        "CREATE FUNCTION chromatid.keep_events(keep interval) RETURNS void"
        " LANGUAGE plpgsql SET lock_timeout = '80ms' SET timezone = 'UTC' AS $$"
        " DECLARE month date; name text; oldest timestamptz; BEGIN"
        " IF NOT pg_try_advisory_xact_lock(4858, 4) THEN RETURN; END IF;"
        " FOR k IN 0..1 LOOP"
        "  month := date_trunc('month', now() + k * interval '1 month')::date;"
        "  name := 'event_' || to_char(month, 'YYYYMM');"
        "  CONTINUE WHEN to_regclass('chromatid.' || name) IS NOT NULL;"
        "  EXECUTE format('CREATE TABLE chromatid.%I (LIKE chromatid.event"
        "   INCLUDING ALL)', name);"
        "  EXECUTE format('ALTER TABLE chromatid.event ATTACH PARTITION chromatid.%I"
        "   FOR VALUES FROM (%L) TO (%L)', name, month,"
        "   (month + interval '1 month')::date);"
        " END LOOP;"
        " BEGIN"
        "  FOR name IN SELECT c.relname FROM pg_inherits i"
        "   JOIN pg_class c ON c.oid = i.inhrelid"
        "   WHERE i.inhparent = 'chromatid.event'::regclass"
        "   AND to_date(right(c.relname, 6), 'YYYYMM') + interval '1 month'"
        "    < now() - keep LOOP"
        "   EXECUTE format('DROP TABLE chromatid.%I', name);"
        "  END LOOP;"
        " EXCEPTION WHEN lock_not_available THEN NULL; END;"
        " SELECT min(noted) INTO oldest FROM chromatid.event;"
        " DELETE FROM chromatid.event WHERE noted <"
        "  least(now() - keep, oldest + interval '1 day');"
        " END $$",
        /* A write's place in its client's trace (core/trace.h). */
        "ALTER TABLE chromatid.log ADD COLUMN trace text",
        NULL,
};
