/* http/drain_page.c - the instances, and an operator who takes one out or puts it back.
 *
 *	GET  /admin/instances
 *	POST /admin/instances/{name}/health   {"healthy": false, "duration_seconds": 60}
 *
 * Taken out means: for us it is down. What is under way there may end, nothing new is
 * sent, it is owed what is written meanwhile; probes do not bring it back. */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "http/access.h"
#include "http/admin.h"
#include "http/status.h"

#define SECONDS_MOST (365.0 * 86400)

void instances_page(struct exchange *ex)
{
	json_t *o = json_object();

	status_set(o, "instances", status_instances());
	status_set(o, "healthy_count", status_count(health_up_count()));
	status_set(o, "total_count", status_count(health_count()));
	status_send(ex, o);
}

/* What is asked for; it lives as long as the exchange waits (ex->wish). */
struct admin_wish {
	struct instance *in;
	bool healthy, was;
	double seconds; /* 0: until somebody says otherwise */
};

static void answer(struct exchange *ex, const struct admin_wish *w)
{
	const char *name = instance_name(w->in);
	json_t *o = json_object();
	struct text told = {0};

	if (w->healthy)
		text_addf(&told, "%s is put back: its next good probes bring it up",
		          name);
	else
		text_addf(&told, "%s is taken out%s", name,
		          health_up_count() == 0 ? "; no other instance is up" : "");
	status_set(o, "success", json_true());
	status_set(o, "instance", status_text_value(name));
	status_set(o, "health_set_to", json_boolean(w->healthy));
	status_set(o, "original_health", json_boolean(w->was));
	if (w->seconds > 0)
		status_set(o, "will_restore_in_seconds", json_real(w->seconds));
	else if (!w->healthy)
		status_set(o, "permanent", json_true());
	status_set(o, "message", json_string(text_string(&told)));
	text_clear(&told);
	status_send(ex, o);
}

static void on_noted(void *arg, enum status s)
{
	struct exchange *ex = arg;
	const struct admin_wish *w = ex->wish;

	if (s == STATUS_OK) {
		admin_event(ex, "instance %s %s%s", instance_name(w->in),
		            w->healthy ? "put back" : "taken out",
		            w->seconds > 0 ? " for a time" : "");
		answer(ex, w);
	} else {
		admin_no_answer(ex, s);
	}
}

/* False: it is no length of time. */
static bool read_seconds(const struct exchange *ex, double *out)
{
	struct json_slice v = json_member(write_body(ex), "duration_seconds");
	enum json_kind kind = json_kind(v);
	char *text;

	*out = 0;
	if (kind == JSON_ABSENT || kind == JSON_NULL_VALUE)
		return true;
	if (kind != JSON_NUMBER)
		return false;
	text = mem_substring(v.at, v.len);
	*out = strtod(text, NULL);
	free(text);
	return *out >= 0.001 && *out <= SECONDS_MOST;
}

static void carry_out(struct exchange *ex, struct admin_wish *w)
{
	char *by;

	w->was = instance_up(w->in);
	ex->wish = w;
	if (w->healthy) {
		w->seconds = 0;
		wal_put_back(w->in, on_noted, ex, &ex->pending);
		return;
	}
	by = mem_format("%s (%s)", ex->address, access_who(ex->head));
	wal_take_out(w->in, (msec)(w->seconds * 1000), by, on_noted, ex, &ex->pending);
	free(by);
}

void override_page(struct exchange *ex)
{
	struct json_slice healthy = json_member(write_body(ex), "healthy");
	struct admin_wish wish = {.in = admin_instance(ex->route.item)};
	struct admin_wish *kept;

	if (wish.in == NULL) {
		admin_no_instance(ex, ex->route.item);
	} else if (json_kind(healthy) != JSON_BOOL) {
		admin_bad(ex, "\"healthy\" is true or false");
	} else if (!read_seconds(ex, &wish.seconds)) {
		admin_bad(ex, "\"duration_seconds\" is a number of seconds, more than 0 "
		              "and at most a year");
	} else {
		wish.healthy = json_flag(healthy);
		kept = mem_new(struct admin_wish);
		*kept = wish;
		carry_out(ex, kept);
	}
}
