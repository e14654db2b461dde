/* core/cli/health.c - `chromatid healthcheck`: 0 if all is well, 1 if not, and why not.
 *
 * That is for monitors and scripts. A container is another matter: whoever restarts the
 * proxy because a Chroma is down makes it worse. `--alive` asks for no more than whether
 * the process answers (core/healthcheck.h).
 *
 *   ask the status   no answer: that is the reason
 *   add_*            each thing that is not as it should be adds a reason
 *   say              the reasons, or in a line what is well */
#include <string.h>

#include "core/cli/cli_private.h"
#include "core/healthcheck.h"

#define PATIENCE_MS 10000u
#define BEHIND_SECONDS 60.0

/* --- pure: what is wrong ----------------------------------------------------------- */

static void add_reason(json_t *reasons, struct text *t)
{
	json_array_append_new(reasons, json_string(text_string(t)));
	text_clear(t);
}

static void add_health(json_t *reasons, const json_t *in)
{
	struct text t = {0};
	const char *why = json_text_of(in, "reason"), *state = json_text_of(in, "state");

	if (json_is_true(json_object_get(in, "healthy")) && strcmp(state, "up") == 0)
		return;
	text_addf(&t, "instance %s is %s", json_text_of(in, "name"),
	          strcmp(state, "taken_out") == 0   ? "taken out by hand"
	          : strcmp(state, "read_only") == 0 ? "failing its writes"
	                                            : state);
	if (why[0] != '\0')
		text_addf(&t, ": %s", why);
	add_reason(reasons, &t);
}

static void add_lag(json_t *reasons, const json_t *in)
{
	double lag = json_number_value(json_object_get(in, "lag_seconds"));
	struct text t = {0};

	if (json_is_true(json_object_get(in, "detached"))) {
		text_addf(&t, "the log is not kept for instance %s any more",
		          json_text_of(in, "name"));
		add_reason(reasons, &t);
	} else if (lag > BEHIND_SECONDS) {
		text_addf(&t, "instance %s is %.0f s behind: %lld writes are pending",
		          json_text_of(in, "name"), lag,
		          (long long)json_number_of(in, "pending_writes"));
		add_reason(reasons, &t);
	}
}

static void add_instances(json_t *reasons, const json_t *status)
{
	const json_t *in;
	size_t k;

	json_array_foreach(json_object_get(status, "instances"), k, in)
	{
		add_health(reasons, in);
		add_lag(reasons, in);
	}
}

static void add_log(json_t *reasons, const json_t *status)
{
	const json_t *postgres = json_object_get(status, "postgres");
	long long parked =
	        (long long)json_number_of(json_object_get(status, "wal"), "quarantined");
	struct text t = {0};

	if (!json_is_true(json_object_get(postgres, "connected"))) {
		text_adds(&t, "PostgreSQL is not connected: writes are refused");
		add_reason(reasons, &t);
	}
	if (parked > 0) {
		text_addf(&t,
		          "%lld collections are not kept up to date: `chromatid "
		          "quarantine`",
		          parked);
		add_reason(reasons, &t);
	}
	if (json_is_null(json_object_get(status, "figures_from"))) {
		text_adds(&t, "nobody is known to lead: what is pending, or in "
		              "quarantine, is not known");
		add_reason(reasons, &t);
	}
}

json_t *health_reasons(const json_t *status)
{
	json_t *reasons = json_array();
	struct text t = {0};

	add_instances(reasons, status);
	add_log(reasons, status);
	if (json_array_size(reasons) == 0 &&
	    strcmp(json_text_of(status, "status"), "healthy") != 0) {
		text_addf(&t, "the proxy is %s",
		          json_text_of(status, "status")[0] != '\0'
		                  ? json_text_of(status, "status")
		                  : "not one of ours");
		add_reason(reasons, &t);
	}
	return reasons;
}

/* --- said -------------------------------------------------------------------------- */

static void say_well(const json_t *status)
{
	const json_t *pending =
	        json_object_get(json_object_get(status, "wal"), "pending_writes");
	struct text out = {0};

	text_addf(&out, "healthy: %lld of %lld instances",
	          (long long)json_number_of(status, "healthy_instances"),
	          (long long)json_number_of(status, "total_instances"));
	if (json_is_integer(pending))
		text_addf(&out, ", %lld writes pending\n",
		          (long long)json_integer_value(pending));
	else
		text_adds(&out, "\n"); /* an older one, that does not lead */
	print_text(&out);
}

static void say_reasons(const json_t *reasons)
{
	struct text out = {0};
	const json_t *reason;
	size_t k;

	json_array_foreach(reasons, k, reason)
	{
		print_clean(&out, json_string_value(reason));
		text_addc(&out, '\n');
	}
	print_text(&out);
}

static int say(const struct cli *c, const json_t *status, json_t *reasons)
{
	bool well = json_array_size(reasons) == 0;

	if (cli_json(c)) {
		json_t *o = json_pack("{s:b, s:O}", "healthy", well, "reasons", reasons);

		page_json(o);
		json_decref(o);
	} else if (well) {
		say_well(status);
	} else {
		say_reasons(reasons);
	}
	return well ? CLI_OK : CLI_NOT;
}

/* --- asked ------------------------------------------------------------------------- */

static json_t *no_answer(const struct answer *a)
{
	json_t *reasons = json_array();
	struct text t = {0};

	if (a->status != STATUS_OK)
		text_addf(&t, "the proxy does not answer: %s%s%s", status_text(a->status),
		          a->detail != NULL ? ": " : "",
		          a->detail != NULL ? a->detail : "");
	else
		text_addf(&t, "the proxy does not show its status: HTTP %d", a->http);
	add_reason(reasons, &t);
	return reasons;
}

static int check(struct cli *c)
{
	json_t *status = NULL, *reasons;
	struct answer a;
	int code;

	ask_patience(PATIENCE_MS);
	if (ask("GET", "/status", NULL, &a) && (status = answer_json(&a)) != NULL)
		reasons = health_reasons(status);
	else
		reasons = no_answer(&a);
	code = say(c, status, reasons);
	json_decref(reasons);
	json_decref(status);
	answer_clear(&a);
	return code;
}

int command_healthcheck(struct cli *c)
{
	return cli_flag(c, "alive") ? healthcheck_run() : page_run(c, check);
}
