/* core/cli/verify.c - `chromatid verify`: has the instances compared, and says how they
 * were found. */
#include <string.h>

#include "core/cli/cli_private.h"

#define EVERY_MS 300u

/* --- what was found ---------------------------------------------------------------- */

static void add_differences(struct text *out, const json_t *found)
{
	const char *kind;
	json_t *n;

	json_object_foreach(json_object_get(found, "differences"), kind, n)
	{
		if (json_integer_value(n) > 0)
			text_addf(out, "%s%lld %s", out->len > 0 ? ", " : "",
			          (long long)json_integer_value(n), kind);
	}
	if (json_text_of(found, "error")[0] != '\0')
		text_addf(out, "%s%s", out->len > 0 ? ", " : "",
		          json_text_of(found, "error"));
	if (json_is_true(json_object_get(found, "made_anew")))
		text_addf(out, "%sit is made anew", out->len > 0 ? "; " : "");
}

static void add_names(struct text *out, const json_t *names)
{
	const json_t *name;
	size_t k;

	json_array_foreach(names, k, name)
	{
		text_addf(out, "%s%s", k > 0 ? " " : "", json_string_value(name));
	}
}

static void add_row(struct columns *t, const json_t *found)
{
	struct text differences = {0}, names = {0};

	add_differences(&differences, found);
	add_names(&names, json_object_get(found, "wrong_at"));
	columns_add(t, json_text_of(found, "collection"));
	columns_addf(t, "%lld", (long long)json_number_of(found, "items"));
	columns_add(t, json_text_of(found, "result"));
	columns_add(t, json_text_of(found, "at"));
	columns_add(t, text_string(&names));
	columns_add(t, text_string(&differences));
	text_clear(&differences);
	text_clear(&names);
}

/* Those of this job: what is left are those that were compared since it began. */
static json_t *results_of(const json_t *page)
{
	const char *since = json_text_of(page, "started_at");
	json_t *own = json_array();
	json_t *found;
	size_t k;

	json_array_foreach(json_object_get(page, "results"), k, found)
	{
		if (strcmp(json_text_of(found, "at"), since) >= 0)
			json_array_append(own, found);
	}
	return own;
}

static bool all_equal(const json_t *results)
{
	const json_t *found;
	size_t k;

	json_array_foreach(results, k, found)
	{
		if (strcmp(json_text_of(found, "result"), "equal") != 0)
			return false;
	}
	return true;
}

static int say_found(const struct cli *c, const json_t *page)
{
	static const char *const heads[] = {"COLLECTION", "ITEMS",       "RESULT", "AT",
	                                    "WRONG AT",   "DIFFERENCES", NULL};
	json_t *results = results_of(page);
	int code = all_equal(results) && json_number_of(page, "differing") == 0 &&
	                           json_number_of(page, "checked") ==
	                                   json_number_of(page, "collections")
	                   ? CLI_OK
	                   : CLI_NOT;

	if (cli_json(c)) {
		page_json(page);
	} else {
		page_list(results, heads, add_row);
		printf("%lld of %lld collections compared, %lld differ\n",
		       (long long)json_number_of(page, "checked"),
		       (long long)json_number_of(page, "collections"),
		       (long long)json_number_of(page, "differing"));
	}
	json_decref(results);
	return code;
}

/* --- how far it is ----------------------------------------------------------------- */

static void show(const json_t *page, bool first)
{
	const json_t *now = json_object_get(page, "now");
	double total = (double)json_number_of(page, "collections");
	struct text out = {0};

	print_bar(&out, total > 0 ? (double)json_number_of(page, "checked") / total : 0);
	text_adds(&out, "  ");
	print_clean(&out, json_text_of(now, "collection"));
	if (now != NULL && json_is_object(now))
		text_addf(&out, " (%lld of %lld items)",
		          (long long)json_number_of(now, "items"),
		          (long long)json_number_of(now, "total"));
	text_addc(&out, '\n');
	print_again(&out, first);
}

static int watch(struct cli *c, int64_t job)
{
	int code = CLI_OK;

	for (bool first = true; code == CLI_OK; first = false) {
		json_t *page = page_fetch(c, "/admin/verify", &code);
		bool done =
		        page != NULL && !json_is_true(json_object_get(page, "running"));

		if (page != NULL && json_number_of(page, "job") != job) {
			code = print_wrong(c, CLI_NOT,
			                   "another proxy leads now, ask again");
		} else if (done) {
			code = say_found(c, page);
		} else if (page != NULL && !cli_json(c)) {
			show(page, first);
		}
		json_decref(page);
		if (done)
			break;
		if (code == CLI_OK && !ask_sleep(EVERY_MS))
			code = print_wrong(c, CLI_NOT, "interrupted; it goes on");
	}
	return code;
}

/* --- to begin ---------------------------------------------------------------------- */

static void set(json_t *o, const char *key, const char *value)
{
	if (value != NULL)
		json_object_set_new(o, key, json_string(value));
}

static json_t *request(const struct cli *c)
{
	json_t *o = json_object();

	set(o, "collection", c->n_words > 0 ? c->words[0] : NULL);
	set(o, "tenant", cli_value(c, "tenant"));
	set(o, "database", cli_value(c, "database"));
	if (cli_flag(c, "report"))
		json_object_set_new(o, "repair", json_false());
	return o;
}

static int begin(struct cli *c)
{
	json_t *begun = NULL;
	struct answer a;
	int code = CLI_OK;

	if (!ask_json("POST", "/admin/verify", request(c), &a) ||
	    (begun = answer_json(&a)) == NULL)
		code = print_failure(c, &a);
	else if (cli_flag(c, "watch"))
		code = watch(c, json_number_of(begun, "job"));
	else if (cli_json(c))
		code = print_body(&a);
	else
		printf("job %lld has begun\n", (long long)json_number_of(begun, "job"));
	json_decref(begun);
	answer_clear(&a);
	return code;
}

int command_verify(struct cli *c)
{
	return page_run(c, begin);
}
