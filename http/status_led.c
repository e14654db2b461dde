/* http/status_led.c - what only the proxy that leads knows, as one document.
 *
 * The status of the leader is made of it, and, told by way of PostgreSQL (shown.c), that
 * of the others: so it says nothing that is true only of this process, and no "since" or
 * "ago", which would make it another one each second. */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "http/shown.h"
#include "http/status.h"

/* Lists of the document for the others: so long at most, and shorter until all of it can
 * be sent each second. */
#define LISTED_MOST 128u
#define LONG_ENOUGH (WAL_SHOWN_MOST / 2)

static json_t *instance_object(const struct status_facts *k, unsigned i)
{
	const struct wal_instance_figures *f = &k->wal.instances[i];
	json_t *o = json_object();

	status_set(o, "pending_writes", status_count(f->owed));
	status_set(o, "pending_bytes", status_count(f->owed_bytes));
	status_set(o, "oldest_ms", json_integer(f->oldest_wall_ms));
	status_set(o, "detached", json_boolean(wal_detached(health_instance(i))));
	status_set(o, "replaying", json_boolean(f->replaying));
	status_set(o, "last_error", status_text_or_null(f->last_error));
	return o;
}

static json_t *instances_object(const struct status_facts *k)
{
	json_t *o = json_object();

	for (unsigned i = 0; i < health_count(); i++)
		status_set(o, instance_name(health_instance(i)), instance_object(k, i));
	return o;
}

static bool is_replaying(const struct status_facts *k)
{
	for (unsigned i = 0; i < health_count(); i++)
		if (k->wal.instances[i].replaying)
			return true;
	return false;
}

static json_t *log_object(const struct status_facts *k)
{
	json_t *o = json_object();

	status_set(o, "pending_writes", status_count(k->wal.owed));
	status_set(o, "is_replaying", json_boolean(is_replaying(k)));
	status_set(o, "oldest_pending", status_time(k->wal.oldest_wall_ms));
	status_set(o, "total_replayed", status_count(k->wal.replayed));
	status_set(o, "failed_replays", status_count(k->wal.failures));
	status_set(o, "quarantined", status_count(wal_quarantined()));
	status_set(o, "last_seq", status_count((uint64_t)k->wal.seq));
	status_set(o, "undecided", status_count(k->wal.undecided));
	status_set(o, "decided", status_count(k->wal.decided));
	return o;
}

static json_t *collections_object(void)
{
	struct catalogue_counts n = catalogue_count(NULL);
	json_t *o = json_object();

	status_set(o, "live", status_count(n.live));
	status_set(o, "creating", status_count(n.creating));
	status_set(o, "complete", status_count(n.complete));
	status_set(o, "partial", status_count(n.live - n.complete));
	return o;
}

json_t *status_led(const struct status_facts *k, size_t most)
{
	json_t *o = json_object();

	status_set(o, "shape", json_integer(SHOWN_SHAPE));
	status_set(o, "proxy", status_proxy_name());
	status_set(o, "whole", json_true());
	status_set(o, "instances", instances_object(k));
	status_set(o, "wal", log_object(k));
	status_set(o, "collections", collections_object());
	status_set(o, "resync", status_resync(k->now_ms, most));
	status_set(o, "strangers", status_strangers());
	status_set(o, "verification", status_verification());
	status_set(o, "quarantine", status_quarantine(most));
	status_set(o, "export", status_export());
	status_set(o, "removed_instances", status_removed());
	return o;
}

/* --- for the others ----------------------------------------------------------------- */

static char *dump(json_t *document, size_t most)
{
	if (shown_cut(document, most))
		status_set(document, "whole", json_false());
	return json_dumps(document, STATUS_AS_TEXT);
}

void status_write_led(struct text *out)
{
	struct status_facts k = status_know(LISTED_MOST + 1); /* one more: is it all? */
	size_t most = LISTED_MOST;
	char *json = dump(k.led, most);

	while (strlen(json) > LONG_ENOUGH && most > 0) {
		free(json);
		most /= 2;
		json = dump(k.led, most);
	}
	text_adds(out, json);
	free(json);
	status_forget(&k);
}
