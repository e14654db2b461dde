/* core/cli/resync.c - `chromatid resync`: has collections made anew, and shows how far it
 * is.
 */
#include <string.h>

#include "core/cli/cli_private.h"

#define EVERY_MS 500u
#define LINES_MOST 20u

/* --- how far it is ----------------------------------------------------------------- */

static void add_line(struct text *out, const json_t *r)
{
	const json_t *eta = json_object_get(r, "eta_seconds");

	print_bar(out, json_number_value(json_object_get(r, "progress")));
	text_adds(out, "  ");
	print_clean(out, json_text_of(r, "instance"));
	text_addc(out, ' ');
	print_clean(out, json_text_of(r, "collection"));
	text_addf(out, "  %lld of %lld, %s", (long long)json_number_of(r, "items"),
	          (long long)json_number_of(r, "total"), json_text_of(r, "step"));
	if (json_is_number(json_object_get(r, "items_per_second")))
		text_addf(out, ", %.0f a second",
		          json_number_value(json_object_get(r, "items_per_second")));
	if (json_text_of(r, "worker")[0] != '\0') {
		text_adds(out, " by ");
		print_clean(out, json_text_of(r, "worker"));
	}
	if (json_is_number(eta))
		text_addf(out, ", %.0f s left", json_number_value(eta));
	if (json_text_of(r, "error")[0] != '\0') {
		text_adds(out, ", ");
		print_clean(out, json_text_of(r, "error"));
	}
	text_addc(out, '\n');
}

static void show(const json_t *resync, size_t parked, bool first)
{
	struct text out = {0};
	const json_t *r;
	size_t k;

	json_array_foreach(resync, k, r)
	{
		if (k < LINES_MOST)
			add_line(&out, r);
	}
	if (json_array_size(resync) > LINES_MOST)
		text_addf(&out, "and %zu more\n", json_array_size(resync) - LINES_MOST);
	text_addf(&out, "%zu under way, %zu in quarantine\n", json_array_size(resync),
	          parked);
	print_again(&out, first);
}

/* --- whether it is done ------------------------------------------------------------ */

static bool is_among(const json_t *list, const json_t *one)
{
	const json_t *other;
	size_t k;

	json_array_foreach(list, k, other)
	{
		if (json_equal(json_object_get(one, "instance"),
		               json_object_get(other, "instance")) &&
		    json_equal(json_object_get(one, "collection_id"),
		               json_object_get(other, "collection_id")))
			return true;
	}
	return false;
}

/* Of those that were begun; without any, of all. */
static bool is_done(const json_t *begun, const json_t *status)
{
	const json_t *resync = json_object_get(status, "resync");
	const json_t *parked = json_object_get(status, "quarantine");
	const json_t *one;
	size_t k;

	if (begun == NULL)
		return json_array_size(resync) == 0;
	json_array_foreach(begun, k, one)
	{
		if (is_among(resync, one) || is_among(parked, one))
			return false;
	}
	return true;
}

/* Who has begun something may ask the one that leads, through any proxy. Who only looks
 * may not, and asks this one. */
static const char *page_of(const json_t *begun)
{
	return begun != NULL ? "/admin/resync" : "/status";
}

static int watch(struct cli *c, const json_t *begun)
{
	bool done = false, first = true;
	int code = CLI_OK;

	while (!done && code == CLI_OK) {
		struct answer a;
		json_t *s = NULL;

		if (!ask("GET", page_of(begun), NULL, &a) ||
		    (s = answer_json(&a)) == NULL) {
			code = print_failure(c, &a);
		} else if (!json_is_array(json_object_get(s, "resync"))) {
			code = print_wrong(c, CLI_NOT,
			                   "another proxy leads: ask that one");
		} else {
			done = is_done(begun, s);
			if (!cli_json(c))
				show(json_object_get(s, "resync"),
				     json_array_size(json_object_get(s, "quarantine")),
				     first);
		}
		first = false;
		json_decref(s);
		answer_clear(&a);
		if (!done && code == CLI_OK && !ask_sleep(EVERY_MS))
			code = print_wrong(c, CLI_NOT, "interrupted; it goes on");
	}
	return code;
}

/* --- to begin ---------------------------------------------------------------------- */

static bool is_instance(const json_t *status, const char *word)
{
	const json_t *in;
	size_t k;

	json_array_foreach(json_object_get(status, "instances"), k, in)
	{
		if (strcmp(json_text_of(in, "name"), word) == 0)
			return true;
	}
	return false;
}

static void set(json_t *o, const char *key, const char *value)
{
	if (value != NULL)
		json_object_set_new(o, key, json_string(value));
}

/* What the word means depends on which instances there are. NULL: *code. */
static json_t *request(struct cli *c, int *code)
{
	json_t *o = NULL, *status = NULL;
	struct answer a;

	if (!ask("GET", "/status", NULL, &a) || (status = answer_json(&a)) == NULL) {
		*code = print_failure(c, &a);
	} else {
		o = json_object();
		if (is_instance(status, c->words[0])) {
			set(o, "instance", c->words[0]);
			set(o, "collection", cli_value(c, "collection"));
		} else {
			set(o, "collection", c->words[0]);
		}
		set(o, "tenant", cli_value(c, "tenant"));
		set(o, "database", cli_value(c, "database"));
	}
	json_decref(status);
	answer_clear(&a);
	return o;
}

static void say_begun(const struct cli *c, const struct answer *a, const json_t *begun)
{
	if (cli_json(c))
		print_body(a);
	else
		printf("%lld collections will be made anew, %lld cannot be now\n",
		       (long long)json_number_of(begun, "begun"),
		       (long long)json_number_of(begun, "not_begun"));
	fflush(stdout);
}

static int begin(struct cli *c)
{
	json_t *begun = NULL, *body;
	struct answer a;
	int code = CLI_OK;

	body = request(c, &code);
	if (body == NULL)
		return code;
	if (!ask_json("POST", "/admin/resync", body, &a) ||
	    (begun = answer_json(&a)) == NULL) {
		code = print_failure(c, &a);
	} else {
		say_begun(c, &a, begun);
		if (cli_flag(c, "watch"))
			code = watch(c, json_object_get(begun, "collections"));
		if (code == CLI_OK && json_number_of(begun, "not_begun") > 0)
			code = CLI_NOT;
	}
	json_decref(begun);
	answer_clear(&a);
	return code;
}

int command_resync(struct cli *c)
{
	int code;

	if (c->n_words == 0 && !cli_flag(c, "watch"))
		return print_wrong(c, CLI_USAGE,
		                   "name an instance or a collection, or --watch");
	code = ask_start(c);
	if (code != CLI_OK)
		return code;
	code = c->n_words == 0 ? watch(c, NULL) : begin(c);
	ask_stop();
	return code;
}
