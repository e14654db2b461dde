/* core/cli/wal.c - `chromatid wal list`, `wal show`: the log, without bodies.
 *
 * The proxy answers in pages, each of which looks at so many entries at most: they are
 * asked for one after the other until there are as many as are wanted, or no more. */
#include <stdlib.h>
#include <string.h>

#include "core/cli/cli_private.h"
#include "core/mem.h"

#define USUAL_LIMIT 50
#define PAGE_MOST 500

/* --- a list ------------------------------------------------------------------------ */

static char *page_after(const struct cli *c, int64_t limit, int64_t after)
{
	char *most =
	        mem_format("%lld", (long long)(limit < PAGE_MOST ? limit : PAGE_MOST));
	char *from = after > 0 ? mem_format("%lld", (long long)after) : NULL;
	struct text target = {0};

	text_adds(&target, "/admin/wal");
	page_add_query(&target, "limit", most);
	page_add_query(&target, "after", from);
	page_add_query(&target, "state", cli_value(c, "state"));
	page_add_query(&target, "collection", cli_value(c, "collection"));
	free(most);
	free(from);
	return text_detach(&target);
}

/* NULL: *code. */
static json_t *entries(const struct cli *c, int64_t limit, int *code)
{
	json_t *all = json_array(), *page;
	int64_t after = 0, before;

	do {
		char *target =
		        page_after(c, limit - (int64_t)json_array_size(all), after);

		page = page_fetch(c, target, code);
		free(target);
		json_array_extend(all, json_object_get(page, "entries"));
		before = after;
		after = json_number_of(page, "next");
		json_decref(page);
	} while (*code == CLI_OK && after > 0 && (before == 0 || after < before) &&
	         (int64_t)json_array_size(all) < limit);
	if (*code != CLI_OK) {
		json_decref(all);
		return NULL;
	}
	return all;
}

static void add_instances(struct text *out, const json_t *instances)
{
	const char *name;
	json_t *in;

	json_object_foreach((json_t *)(uintptr_t)instances, name, in)
	{
		text_addf(out, "%s%s=%s", out->len > 0 ? " " : "", name,
		          json_text_of(in, "state"));
	}
}

static void add_entry(struct columns *t, const json_t *e)
{
	struct text places = {0};

	add_instances(&places, json_object_get(e, "instances"));
	columns_addf(t, "%lld", (long long)json_number_of(e, "seq"));
	columns_add(t, json_text_of(e, "at"));
	columns_add(t, json_text_of(e, "operation"));
	columns_add(t, json_text_of(e, "collection"));
	columns_add(t, json_text_of(e, "state"));
	columns_addf(t, "%s %lld", json_text_of(e, "decision"),
	             (long long)json_number_of(e, "http"));
	columns_add(t, text_string(&places));
	text_clear(&places);
}

static int list(struct cli *c)
{
	static const char *const heads[] = {"SEQ",        "AT",    "OPERATION",
	                                    "COLLECTION", "STATE", "DECISION",
	                                    "INSTANCES",  NULL};
	int64_t limit = USUAL_LIMIT;
	int code = CLI_OK;
	json_t *found;

	cli_count(c, "limit", &limit, &code); /* is good: command_wal_list() */
	found = entries(c, limit, &code);
	if (found != NULL && cli_json(c))
		page_json(found);
	else if (found != NULL)
		page_list(found, heads, add_entry);
	json_decref(found);
	return code;
}

int command_wal_list(struct cli *c)
{
	int64_t limit;
	int code;

	if (!cli_count(c, "limit", &limit, &code))
		return code;
	return page_run(c, list);
}

/* --- one of them ------------------------------------------------------------------- */

static void add_value(struct columns *t, const char *key, const json_t *value)
{
	char *json = json_is_string(value) ? mem_string(json_string_value(value))
	                                   : json_dumps(value, JSON_ENCODE_ANY);

	columns_add(t, key);
	columns_add(t, json_is_null(value) ? "" : json);
	free(json);
}

static void show_entry(json_t *e)
{
	struct columns t = {.per_row = 2};
	struct text out = {0}, key = {0};
	const char *name;
	json_t *value;

	json_object_foreach(e, name, value)
	{
		if (!json_is_object(value))
			add_value(&t, name, value);
	}
	json_object_foreach(json_object_get(e, "instances"), name, value)
	{
		text_reset(&key);
		text_addf(&key, "at %s", name);
		add_value(&t, text_string(&key), value);
	}
	columns_print(&t, &out);
	print_text(&out);
	text_clear(&key);
}

static int show(struct cli *c)
{
	char *target = mem_format("/admin/wal/%s", c->words[0]);
	int code = CLI_OK;
	json_t *e = page_fetch(c, target, &code);

	if (e != NULL && cli_json(c))
		page_json(e);
	else if (e != NULL)
		show_entry(e);
	json_decref(e);
	free(target);
	return code;
}

int command_wal_show(struct cli *c)
{
	if (!cli_is_seq(c->words[0]))
		return print_wrong(c, CLI_USAGE, "`%s` is no record's number",
		                   c->words[0]);
	return page_run(c, show);
}
