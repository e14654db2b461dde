/* http/status.h - what the files of the status document share.
 *
 *	status_page.c    the documents; instances, log, collections
 *	status_led.c     of these, what only the proxy that leads knows
 *	status_proxy.c   the proxy itself: limits, requests, memory, jobs, events
 *	status_value.c   single values */
#ifndef HTTP_STATUS_H
#define HTTP_STATUS_H

#include <jansson.h>

#include "core/lag.h"
#include "core/process.h"
#include "http/operator.h"

/* Gathered once for a document. */
struct status_facts {
	struct wal_figures wal;
	struct process_figures process;
	struct lag_figures lag;
	int64_t now_ms;
	json_t *led;  /* what whoever leads knows: status_led.c; NULL: it is not known ...
	               */
	msec led_age; /* ... by now */
};

/* An instance that has lost its disk has all its collections in such a list. How many
 * there are is told elsewhere. */
#define STATUS_LISTED 500u
#define STATUS_AS_TEXT (JSON_COMPACT | JSON_REAL_PRECISION(12))

/* --- status_value.c ---------------------------------------------------------------- */
void status_set(json_t *object, const char *key, json_t *value); /* takes it over */
json_t *status_text_value(const char *s);   /* what is not UTF-8 is replaced */
json_t *status_text_or_null(const char *s); /* null for "" */
json_t *status_time(int64_t wall_ms);       /* null for 0: never */
json_t *status_count(uint64_t n);
json_t *status_seconds(int64_t ms);
json_t *status_rounded(double value); /* to thousandths; not negative */
/* As it is in `from`, which may be NULL; null if it is not there. */
json_t *status_known(const json_t *from, const char *key);
void status_set_known(json_t *object, const json_t *from, const char *key);

/* --- status_page.c ----------------------------------------------------------------- */
void status_send(struct exchange *ex, json_t *document); /* takes it over */
json_t *status_instances(void);
json_t *status_performance_now(void);
/* Lists of what the leader knows are no longer than that. */
struct status_facts status_know(size_t most);
void status_forget(struct status_facts *k);

/* --- status_led.c ------------------------------------------------------------------ */
json_t *status_led(const struct status_facts *k, size_t most);
void status_write_led(struct text *out); /* for the others: bounded */

/* --- quarantine_page.c ------------------------------------------------------------- */
json_t *status_quarantine(size_t most); /* entries */

/* --- adopt_page.c ------------------------------------------------------------------ */
json_t *status_strangers(void);

/* --- rebuild_page.c ---------------------------------------------------------------- */
json_t *status_resync(int64_t now_ms, size_t most);

/* --- verify_page.c ----------------------------------------------------------------- */
json_t *status_verification(void);
/* --- export_page.c ----------------------------------------------------------------- */
json_t *status_export(void);
/* --- retention_page.c -------------------------------------------------------------- */
void status_set_log(json_t *o);
json_t *status_removed(void);

/* --- collections_page.c ------------------------------------------------------------ */
void collections_write(struct text *json); /* for the other proxies: bounded */
/* --- status_proxy.c ---------------------------------------------------------------- */
json_t *status_high_volume(const struct status_facts *k);
json_t *status_performance(const struct status_facts *k);
void status_set_proxy(json_t *o, const struct status_facts *k);
json_t *status_proxy_name(void);
void process_page(struct exchange *ex); /* GET /metrics, as JSON */

#endif
