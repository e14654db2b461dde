/* core/conf.h - the settings, one table (core/conf.c), read-only after start. */
#ifndef CORE_CONF_H
#define CORE_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/text.h"

#define CONF_MAX_INSTANCES 8u
#define CONF_MAX_SETTINGS 64u

enum conf_strategy {
	STRATEGY_OPTIMIZED_READ_REPLICA,
	STRATEGY_ROUND_ROBIN,
	STRATEGY_PRIMARY_ONLY
};
enum conf_both_down { BOTH_DOWN_JOURNAL, BOTH_DOWN_REJECT };
enum conf_repair { REPAIR_AUTO, REPAIR_REPORT };
enum conf_adopt { ADOPT_FIRST, ADOPT_ALWAYS, ADOPT_NEVER };
enum conf_stale_reads { STALE_READS_ALLOW, STALE_READS_REFUSE };

struct conf_instance {
	char *name; /* "primary", "replica", or as in INSTANCES */
	char *url;
};

struct conf {
	int port;
	char *listen; /* NULL: [::]:PORT and 0.0.0.0:PORT */
	char *database_url;
	char *primary_url, *replica_url, *instances_text;
	struct conf_instance instances[CONF_MAX_INSTANCES]; /* in order of preference */
	size_t n_instances;
	char *upstream_token, *upstream_auth_header, *upstream_ca_file;
	char *api_token, *read_token, *admin_token;
	bool status_auth;
	char *cors_allow_origins, *trusted_proxies, *protected_collections;
	msec check_interval, check_timeout;
	int64_t failure_threshold, recovery_threshold;
	double read_replica_ratio;
	int strategy;    /* enum conf_strategy */
	int stale_reads; /* enum conf_stale_reads */
	int both_down;   /* enum conf_both_down */
	int repair;      /* enum conf_repair */
	int adopt;       /* enum conf_adopt */
	char *adopt_tenants;
	msec adopt_interval;
	msec verify_interval; /* 0: not by itself */
	msec late_check;
	msec request_timeout, connect_timeout, idle_timeout, write_wait, drain_timeout;
	int64_t max_concurrent_requests, request_queue_size, connection_pool_size,
	        max_workers, default_batch_size, max_batch_size;
	int64_t max_batch_bytes;
	int64_t max_body_size; /* bytes */
	int64_t max_memory_mb;
	msec wal_retention;
	int64_t log_max_bytes;
	msec metrics_interval, metrics_retention; /* interval 0: no samples */
	msec events_retention;
	int64_t metrics_per_collection;
	char *slack_webhook_url;
	bool read_affinity, merge_reads;
	char *adopt_cluster;
	bool allow_reset;
	int log_level;  /* enum log_level */
	int log_format; /* enum log_format */
	bool access_log;
	bool ui;
	uint8_t sources[CONF_MAX_SETTINGS]; /* enum conf_source, in the table's order */
};

/* Reads flags (--name value, --name=value; e.g. --read-replica-ratio) over environment
 * (NAME, and NAME_FILE for secrets) over defaults. An empty value counts as unset. Every
 * mistake is added to `errors`, a line each; returns false if there was one. Unknown
 * CHROMATID_* names and such are added to `warnings`. argv[0] is skipped, and so are the
 * words that are main's: --help, --version, --check-config, --print-config. `conf` is to
 * be cleared afterwards in any case. */
bool conf_load(struct conf *conf, int argc, char **argv, char **envp, struct text *errors,
               struct text *warnings);
void conf_clear(struct conf *conf);
/* name=value and where it came from, secrets masked; for --print-config */
void conf_print(const struct conf *conf, struct text *out);
/* name=value, ... of those that are not as by default, secrets masked; for the log */
void conf_print_changed(const struct conf *conf, struct text *out);
/* the table as --help text, and as docs/CONFIGURATION.md */
void conf_help(struct text *out);
void conf_document(struct text *out);
/* Is it in a list with commas between? NULL is an empty one. */
bool conf_lists(const char *list, const char *name);
/* A URL fit for logs: without user, password and query. Freed by the caller. */
char *conf_redact_url(const char *url);

#endif
