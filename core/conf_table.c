/* core/conf_table.c - the settings: a row each, and everything else follows from it:
 * parsing, checks, defaults, --help, --print-config, docs/CONFIGURATION.md. */
#include "core/conf_table.h"

#define SECOND 1e3
#define MINUTE 60e3
#define HOUR 3600e3
#define DAY 86400e3
#define MIB 1048576.0

#define AT(field) offsetof(struct conf, field)

static const char *const strategies[] = {"optimized_read_replica", "round_robin",
                                         "primary_only", NULL};
static const char *const stale_reads[] = {"allow", "refuse", NULL};
static const char *const both_down[] = {"journal", "reject", NULL};
static const char *const repairs[] = {"auto", "report", NULL};
static const char *const adopts[] = {"first", "always", "never", NULL};
static const char *const levels[] = {"debug", "info", "warn", "error", NULL};
static const char *const formats[] = {"auto", "json", "logfmt", NULL};

/* clang-format off */
const struct conf_setting conf_settings[] = {
	{"PORT", CONF_PORT, AT(port), "8000",
	 .what = "port clients connect to", .least = 1, .most = 65535},
	{"LISTEN", CONF_LISTEN, AT(listen), NULL,
	 .what = "address and port instead of PORT on every address: host:port or [v6]:port"},
	{"DATABASE_URL", CONF_DATABASE_URL, AT(database_url), NULL,
	 .what = "PostgreSQL that keeps the write-ahead log; required", .secret = true},
	{"PRIMARY_URL", CONF_SERVER_URL, AT(primary_url), NULL,
	 .what = "the first Chroma: host:port, http://host:port or https://host[:port]"},
	{"REPLICA_URL", CONF_SERVER_URL, AT(replica_url), NULL,
	 .what = "the second Chroma"},
	{"INSTANCES", CONF_INSTANCES, AT(instances_text), NULL,
	 .what = "name=url,name=url,... instead of PRIMARY_URL and REPLICA_URL"},
	{"UPSTREAM_TOKEN", CONF_TOKEN, AT(upstream_token), NULL,
	 .what = "sent to the instances as Authorization: Bearer", .secret = true},
	{"UPSTREAM_AUTH_HEADER", CONF_HEADER_NAME, AT(upstream_auth_header), NULL,
	 .what = "header that carries UPSTREAM_TOKEN, bare, instead of Authorization"},
	{"UPSTREAM_CA_FILE", CONF_TEXT, AT(upstream_ca_file), NULL,
	 .what = "PEM file of the authorities trusted for https instances; the system's if unset"},
	{"API_TOKEN", CONF_TOKEN, AT(api_token), NULL,
	 .what = "what clients must bear, as Authorization: Bearer or Basic, X-Chroma-Token or "
	         "X-Api-Key; open to everyone if neither this nor READ_TOKEN is set", .secret = true},
	{"READ_TOKEN", CONF_TOKEN, AT(read_token), NULL,
	 .what = "another one, which may only read", .secret = true},
	{"ADMIN_TOKEN", CONF_TOKEN, AT(admin_token), NULL,
	 .what = "for /admin/... and what else changes something there; it may do everything. If "
	         "unset that is taken from the machine of the proxy only", .secret = true},
	{"STATUS_AUTH", CONF_SWITCH, AT(status_auth), "off",
	 .what = "whether /status, /wal/status and /metrics need a token, too"},
	{"CORS_ALLOW_ORIGINS", CONF_ORIGINS, AT(cors_allow_origins), NULL,
	 .what = "origin,origin,... whose pages may use the API from a browser, as "
	         "https://host[:port]; * is any"},
	{"TRUSTED_PROXIES", CONF_NETWORKS, AT(trusted_proxies), NULL,
	 .what = "address,network/bits,... of proxies in front of this one: from them the client's "
	         "address is taken from X-Forwarded-For, and never counts as this machine"},
	{"PROTECTED_COLLECTIONS", CONF_TEXT, AT(protected_collections), NULL,
	 .what = "name,name,... of collections that cannot be deleted or renamed, alone or with "
	         "what they are in"},
	{"CHECK_INTERVAL", CONF_DURATION, AT(check_interval), "1s",
	 .what = "time between two probes of an instance", .least = 50, .most = HOUR},
	{"CHECK_TIMEOUT", CONF_DURATION, AT(check_timeout), "1s",
	 .what = "a probe without an answer after that has failed", .least = 10, .most = MINUTE},
	{"FAILURE_THRESHOLD", CONF_COUNT, AT(failure_threshold), "2",
	 .what = "failed probes in a row that take an instance down", .least = 1, .most = 100},
	{"RECOVERY_THRESHOLD", CONF_COUNT, AT(recovery_threshold), "2",
	 .what = "good probes in a row that bring it up again", .least = 1, .most = 100},
	{"READ_REPLICA_RATIO", CONF_SHARE, AT(read_replica_ratio), "0.8",
	 .what = "share that goes to a replica, of the reads that it and the primary are "
	         "both up to date for",
	 .least = 0, .most = 1},
	{"LOAD_BALANCE_STRATEGY", CONF_CHOICE, AT(strategy), "optimized_read_replica",
	 .what = "how the instance for a read is chosen", .choices = strategies},
	{"READ_AFFINITY", CONF_SWITCH, AT(read_affinity), "off",
	 .what = "whether reads of a collection all go to one instance as long as that is up to date: "
	         "two instances may rank what is nearly equally near differently"},
	{"MERGE_READS", CONF_SWITCH, AT(merge_reads), "on",
	 .what = "whether reads of a collection that would queue at an instance go to it in one call"},
	{"STALE_READS", CONF_CHOICE, AT(stale_reads), "allow",
	 .what = "when no instance that is up has caught up: allow a stale answer, or refuse",
	 .choices = stale_reads},
	{"BOTH_DOWN", CONF_CHOICE, AT(both_down), "journal",
	 .what = "writes while no instance is up: journal keeps them for later, reject refuses",
	 .choices = both_down},
	{"REPAIR", CONF_CHOICE, AT(repair), "auto",
	 .what = "a collection that an instance holds wrong, or has lost: auto makes it anew there "
	         "from another instance, report only says so",
	 .choices = repairs},
	{"ADOPT", CONF_CHOICE, AT(adopt), "first",
	 .what = "collections that an instance holds and nobody has made through the proxy: first "
	         "adopts what is there at the first start, always whenever some are found, never "
	         "none; what is not adopted is reported",
	 .choices = adopts},
	{"ADOPT_TENANTS", CONF_TEXT, AT(adopt_tenants), NULL,
	 .what = "tenant,tenant,... looked into besides those that are known: a Chroma lists none"},
	{"ADOPT_INTERVAL", CONF_DURATION, AT(adopt_interval), "5m",
	 .what = "how often the instances are looked through for such collections",
	 .least = 100, .most = DAY},
	{"VERIFY_INTERVAL", CONF_DURATION, AT(verify_interval), "24h",
	 .what = "time in which each collection is compared at all instances, with everything in "
	         "it; its ids 96 times as often (every 15 min), and search indexes also after an "
	         "instance was away; 0: only on request",
	 .least = 0, .most = 3650 * DAY},
	{"LATE_CHECK", CONF_DURATION, AT(late_check), "60s",
	 .what = "after a lost answer: when the ids it touched are compared, and again ten times later",
	 .least = 100, .most = DAY},
	{"REQUEST_TIMEOUT", CONF_DURATION, AT(request_timeout), "120s",
	 .what = "longest time for one request", .least = 100, .most = HOUR},
	{"CONNECT_TIMEOUT", CONF_DURATION, AT(connect_timeout), "2s",
	 .what = "longest time to connect to an instance", .least = 10, .most = MINUTE},
	{"IDLE_TIMEOUT", CONF_DURATION, AT(idle_timeout), "75s",
	 .what = "an unused client connection is closed after that", .least = SECOND, .most = HOUR},
	{"WRITE_WAIT", CONF_DURATION, AT(write_wait), "30s",
	 .what = "how long a write waits for an instance before its client is told to retry",
	 .least = 0, .most = HOUR},
	{"DRAIN_TIMEOUT", CONF_DURATION, AT(drain_timeout), "50s",
	 .what = "time for requests to finish after SIGTERM", .least = 0, .most = HOUR},
	{"MAX_CONCURRENT_REQUESTS", CONF_COUNT, AT(max_concurrent_requests), "256",
	 .what = "requests worked on at once; with REQUEST_QUEUE_SIZE the most there may be", .least = 1, .most = 100000},
	{"REQUEST_QUEUE_SIZE", CONF_COUNT, AT(request_queue_size), "1024",
	 .what = "and as many more; above both 429", .least = 0, .most = 1000000},
	{"CONNECTION_POOL_SIZE", CONF_COUNT, AT(connection_pool_size), "20",
	 .what = "connections to each instance", .least = 1, .most = 1000},
	{"MAX_WORKERS", CONF_COUNT, AT(max_workers), "8",
	 .what = "calls under way at once on each instance while they are slow; else two", .least = 1, .most = 64},
	{"DEFAULT_BATCH_SIZE", CONF_COUNT, AT(default_batch_size), "50",
	 .what = "writes of a collection merged into one call, at first", .least = 1, .most = 200},
	{"MAX_BATCH_SIZE", CONF_COUNT, AT(max_batch_size), "200",
	 .what = "and at most; 1: none are merged", .least = 1, .most = 200},
	{"MAX_BATCH_BYTES", CONF_BYTES, AT(max_batch_bytes), "30MiB",
	 .what = "largest body of a merged call", .least = 1024, .most = 1024 * MIB},
	{"MAX_BODY_SIZE", CONF_BYTES, AT(max_body_size), "40MiB",
	 .what = "largest body of a request", .least = 1024, .most = 1024 * MIB},
	{"MAX_MEMORY_MB", CONF_MEGABYTES, AT(max_memory_mb), "400",
	 .what = "memory the proxy stays within; a body may have an eighth of it",
	 .least = 64, .most = 1000000},
	{"WAL_RETENTION", CONF_DURATION, AT(wal_retention), "24h",
	 .what = "how long writes stay in the log once every instance has them",
	 .least = 0, .most = 3650 * DAY},
	{"LOG_MAX_BYTES", CONF_BYTES, AT(log_max_bytes), "2GiB",
	 .what = "room for the log in PostgreSQL; above it old writes go sooner, and an instance that is down for long is given up; 0: no limit",
	 .least = 0, .most = 1024 * 1024 * 1024 * MIB},
	{"METRICS_INTERVAL", CONF_DURATION, AT(metrics_interval), "1m",
	 .what = "how often memory, processor, delay and backlog are noted in PostgreSQL "
	         "(performance_metrics); 0: never",
	 .least = 0, .most = DAY},
	{"METRICS_RETENTION", CONF_DURATION, AT(metrics_retention), "30d",
	 .what = "how long that is kept there", .least = SECOND, .most = 3650 * DAY},
	{"EVENTS_RETENTION", CONF_DURATION, AT(events_retention), "180d",
	 .what = "how long changes of state, and what administrators did or were refused, are "
	         "kept in PostgreSQL (chromatid.event)",
	 .least = SECOND, .most = 3650 * DAY},
	{"METRICS_PER_COLLECTION", CONF_COUNT, AT(metrics_per_collection), "0",
	 .what = "so many collections, the oldest first, are named in /metrics, with what each "
	         "instance lacks of them",
	 .least = 0, .most = 1000},
	{"SLACK_WEBHOOK_URL", CONF_WEBHOOK_URL, AT(slack_webhook_url), NULL,
	 .what = "where messages for people go (https://hooks.slack.com/..., or what takes the same): "
	         "an instance down or back, PostgreSQL away, quarantine, differences, a machine "
	         "too small", .secret = true},
	{"ADOPT_CLUSTER", CONF_TEXT, AT(adopt_cluster), NULL,
	 .what = "id of another cluster whose servers are taken over, after their PostgreSQL was lost"},
	{"ALLOW_RESET", CONF_SWITCH, AT(allow_reset), "on",
	 .what = "whether POST /api/v2/reset may empty everything"},
	{"LOG_LEVEL", CONF_CHOICE, AT(log_level), "info",
	 .what = "the least important lines to log", .choices = levels},
	{"LOG_FORMAT", CONF_CHOICE, AT(log_format), "auto",
	 .what = "auto is logfmt on a terminal and JSON elsewhere", .choices = formats},
	{"ACCESS_LOG", CONF_SWITCH, AT(access_log), "on",
	 .what = "a line for each request"},
	{"UI", CONF_SWITCH, AT(ui), "on",
	 .what = "whether there is a page for people, GET /ui"},
};
/* clang-format on */

const size_t conf_settings_count = sizeof(conf_settings) / sizeof(conf_settings[0]);

_Static_assert(sizeof(conf_settings) / sizeof(conf_settings[0]) <= CONF_MAX_SETTINGS,
               "struct conf has room for the source of each setting");

bool conf_is_text(enum conf_kind kind)
{
	return kind >= CONF_TEXT;
}

const char *conf_source_name(unsigned source)
{
	static const char *const names[] = {"default", "environment", "file", "flag"};

	return names[source];
}
