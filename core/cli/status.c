/* core/cli/status.c - `chromatid status`: what someone who has just been woken up must
 * see. */
#include <string.h>

#include "core/cli/cli_private.h"

#define EVERY_MS 1000u

static void add_count(struct columns *t, const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	if (json_is_integer(value))
		columns_addf(t, "%lld", (long long)json_integer_value(value));
	else
		columns_add(t, "?"); /* nobody is known to lead */
}

static void add_instance(struct columns *t, const json_t *in)
{
	const json_t *lag = json_object_get(in, "lag_seconds");

	columns_add(t, json_text_of(in, "name"));
	columns_add(t, json_text_of(in, "state"));
	add_count(t, in, "pending_writes");
	if (json_is_number(lag))
		columns_addf(t, "%.0f s", json_number_value(lag));
	else
		columns_add(t, "?");
	columns_add(t, json_text_of(in, "success_rate"));
	columns_add(t, json_text_of(in, "url"));
	columns_add(t, json_text_of(in, "last_error"));
}

static void add_instances(struct text *out, const json_t *list)
{
	struct columns t = {.per_row = 7};
	const json_t *in;
	size_t k;

	columns_add(&t, "INSTANCE");
	columns_add(&t, "STATE");
	columns_add(&t, "PENDING");
	columns_add(&t, "BEHIND");
	columns_add(&t, "SUCCESS");
	columns_add(&t, "URL");
	columns_add(&t, "ERROR");
	json_array_foreach(list, k, in)
	{
		add_instance(&t, in);
	}
	columns_print(&t, out);
}

static void add_quarantine(struct text *out, const json_t *list)
{
	struct columns t = {.per_row = 4};
	const json_t *q;
	size_t k;

	if (json_array_size(list) == 0)
		return;
	text_addf(out, "\nNot kept up to date (%zu):\n", json_array_size(list));
	json_array_foreach(list, k, q)
	{
		columns_addf(&t, "  %s", json_text_of(q, "instance"));
		columns_add(&t, json_text_of(q, "collection"));
		columns_addf(&t, "record %lld", (long long)json_number_of(q, "seq"));
		columns_addf(&t, "%s: %s", json_text_of(q, "cause"),
		             json_text_of(q, "error"));
	}
	columns_print(&t, out);
}

static void add_resync(struct text *out, const json_t *list)
{
	const json_t *r;
	size_t k;

	if (json_array_size(list) == 0)
		return;
	text_addf(out, "\nMade anew (%zu):\n", json_array_size(list));
	json_array_foreach(list, k, r)
	{
		text_adds(out, "  ");
		print_bar(out, json_number_value(json_object_get(r, "progress")));
		text_addc(out, ' ');
		print_clean(out, json_text_of(r, "instance"));
		text_addc(out, ' ');
		print_clean(out, json_text_of(r, "collection"));
		text_addf(out, ", %s\n", json_text_of(r, "step"));
	}
}

static void add_export(struct text *out, const json_t *export)
{
	if (!json_is_object(export))
		return;
	text_adds(out, "\nAn export reads ");
	print_clean(out, json_text_of(export, "instance"));
	text_addf(out, ", which stands still at record %lld\n",
	          (long long)json_number_of(export, "position"));
}

/* Whom the reader looks at, and whose word it is. */
static void add_leader(struct text *out, const json_t *s)
{
	const json_t *from = json_object_get(s, "figures_from");

	if (json_is_true(json_object_get(s, "leader"))) {
		text_adds(out, ", leads");
	} else if (json_is_object(from)) {
		text_adds(out, ", follows ");
		print_clean(out, json_text_of(from, "proxy"));
	} else {
		text_adds(out, ", does not lead");
	}
}

static void add_head(struct text *out, const json_t *s)
{
	const json_t *wal = json_object_get(s, "wal");
	const json_t *pending = json_object_get(wal, "pending_writes");

	text_addf(out, "%s", json_text_of(s, "status"));
	add_leader(out, s);
	if (json_is_integer(pending))
		text_addf(out, ", %lld writes pending",
		          (long long)json_integer_value(pending));
	text_adds(out, json_is_true(json_object_get(json_object_get(s, "postgres"),
	                                            "connected"))
	                       ? ", log connected"
	                       : ", LOG NOT CONNECTED");
	text_addf(out, "  (%s, version %s)\n\n", json_text_of(s, "timestamp"),
	          json_text_of(s, "version"));
}

static void show(const json_t *s, bool first)
{
	struct text out = {0};

	add_head(&out, s);
	add_instances(&out, json_object_get(s, "instances"));
	add_quarantine(&out, json_object_get(s, "quarantine"));
	add_resync(&out, json_object_get(s, "resync"));
	add_export(&out, json_object_get(s, "export"));
	print_again(&out, first);
}

/* As the proxy sees it. */
static int verdict_of(const json_t *s)
{
	return strcmp(json_text_of(s, "status"), "healthy") == 0 ? CLI_OK : CLI_NOT;
}

static int look(struct cli *c, bool watch, bool first)
{
	struct answer a;
	json_t *s = NULL;
	int code;

	if (!ask("GET", "/status", NULL, &a) || (s = answer_json(&a)) == NULL) {
		code = print_failure(c, &a);
	} else {
		code = verdict_of(s);
		if (cli_json(c))
			print_body(&a);
		else if (watch)
			show(s, first);
		else
			show(s, false);
	}
	json_decref(s);
	answer_clear(&a);
	return code;
}

/* A proxy that is away may come back: it is waited for. */
static int stay(struct cli *c)
{
	for (bool first = true; !ask_is_interrupted(); first = false) {
		look(c, true, first);
		ask_sleep(EVERY_MS);
	}
	return CLI_OK;
}

int command_status(struct cli *c)
{
	int code = ask_start(c);

	if (code != CLI_OK)
		return code;
	code = cli_flag(c, "watch") ? stay(c) : look(c, false, true);
	ask_stop();
	return code;
}
