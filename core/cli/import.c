/* core/cli/import.c - `chromatid import`: what is in the file of an export, restored.
 *
 *   contents_read   the file is whole and unchanged (contents.c)
 *   look_for_others nothing has its names or ids
 *   make_places     tenants and databases
 *   restore         line by line: the collection with the id it had, its metadata, its
 *                   items in their order (import_write.c), how many there are in the end
 *   until_apply     with --until: what the log holds behind that (until.c)
 * When it does not go well: a write that is not taken now is sent again for a while,
 * which changes nothing if it was taken before. What was cut off is gone on with by
 * --resume: as many items as are there already are left out. */
#include "core/cli/import.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"

#define SHOW_MS 200u

/* --- told -------------------------------------------------------------------------- */

static void show(struct importing *x, bool last)
{
	msec now = clock_ms();

	if (!isatty(STDERR_FILENO) || (!last && now < x->shown + SHOW_MS))
		return;
	x->shown = now;
	fprintf(stderr, "\r%zu of %zu collections, %" PRIu64 " of %" PRIu64 " items%s",
	        x->done, x->contents.n, x->items, x->contents.items, last ? "\n" : "");
}

static void tell(const struct importing *x)
{
	if (cli_json(x->c))
		printf("{\"dry_run\":%s,\"position\":%lld,\"at\":\"%s\",\"collections\":%"
		       "zu,"
		       "\"items\":%" PRIu64 ",\"added\":%" PRIu64
		       ",\"until\":%lld,\"records\":%" PRIu64 "}\n",
		       x->dry ? "true" : "false",
		       (long long)json_number_of(x->contents.head, "position"),
		       json_text_of(x->contents.head, "at"), x->contents.n,
		       x->contents.items, x->added, (long long)x->until, x->records);
	else
		printf("%zu collections, %" PRIu64 " items, as of record %lld (%s)%s\n",
		       x->contents.n, x->contents.items,
		       (long long)json_number_of(x->contents.head, "position"),
		       json_text_of(x->contents.head, "at"),
		       x->dry ? ": nothing is in the way, nothing was done" : "");
	if (!cli_json(x->c) && x->until > 0)
		printf("then %" PRIu64 " records of the log, up to %lld\n", x->records,
		       (long long)x->until);
}

/* --- what is there already --------------------------------------------------------- */

static bool has_name(const struct importing *x, const json_t *m, const struct content *c)
{
	const char *name = json_text_of(m, "collection_name");
	size_t len = strlen(x->prefix);

	return strncmp(name, x->prefix, len) == 0 && strcmp(name + len, c->name) == 0 &&
	       strcmp(json_text_of(m, "tenant"), c->tenant) == 0 &&
	       strcmp(json_text_of(m, "database"), c->database) == 0;
}

/* An earlier import has made it. */
static bool is_own(const struct importing *x, const json_t *m, const struct content *c)
{
	return x->resume && has_name(x, m, c) &&
	       (x->prefix[0] != '\0' || strcmp(json_text_of(m, "public_id"), c->id) == 0);
}

static void compare(struct importing *x, const json_t *m, size_t k)
{
	const struct content *c = &x->contents.list[k];
	bool same_id = strcmp(json_text_of(m, "public_id"), c->id) == 0;

	if (is_own(x, m, c)) {
		free(x->there[k]);
		x->there[k] = mem_string(json_text_of(m, "public_id"));
	} else if (has_name(x, m, c)) {
		x->conflicts++;
		print_wrong(x->c, CLI_NOT, "there is a collection %s%s in %s/%s already",
		            x->prefix, c->name, c->tenant, c->database);
	} else if (same_id && x->prefix[0] == '\0') {
		x->conflicts++;
		print_wrong(x->c, CLI_NOT, "there is a collection with the id %s of %s",
		            c->id, c->name);
	} else if (same_id) {
		x->id_taken[k] = true; /* under another name, so with another id */
	}
}

static int look_for_others(struct importing *x)
{
	json_t *document = NULL;
	const json_t *list, *m;
	struct answer a;
	int code = CLI_OK;
	size_t i;

	if (!ask("GET", "/collection/mappings", NULL, &a) ||
	    (document = answer_json(&a)) == NULL)
		code = print_failure(x->c, &a);
	list = json_object_get(document, "mappings");
	json_array_foreach(list, i, m)
	{
		for (size_t k = 0; k < x->contents.n; k++)
			compare(x, m, k);
	}
	if (code == CLI_OK && x->conflicts > 0)
		code = print_wrong(x->c, CLI_NOT,
		                   "nothing was done; --rename gives other names, "
		                   "--resume goes on with an import that was cut off");
	json_decref(document);
	answer_clear(&a);
	return code;
}

/* --- tenants and databases --------------------------------------------------------- */

static int make_tenant(struct importing *x, const char *name)
{
	return import_place(x, "/api/v2/tenants", name);
}

static int make_database(struct importing *x, const char *tenant, const char *name)
{
	struct text target = {0};
	int code;

	text_adds(&target, "/api/v2/tenants/");
	rewrite_add_segment(&target, tenant);
	text_adds(&target, "/databases");
	code = import_place(x, text_string(&target), name);
	text_clear(&target);
	return code;
}

static int make_places(struct importing *x)
{
	const json_t *one;
	int code = CLI_OK;
	size_t k;

	json_array_foreach(json_object_get(x->contents.head, "tenants"), k, one)
	{
		if (code == CLI_OK && json_is_string(one))
			code = make_tenant(x, json_string_value(one));
	}
	json_array_foreach(json_object_get(x->contents.head, "databases"), k, one)
	{
		if (code == CLI_OK)
			code = make_database(x, json_text_of(one, "tenant"),
			                     json_text_of(one, "name"));
	}
	return code;
}

/* --- the lines --------------------------------------------------------------------- */

static int take_line(struct importing *x, struct json_slice line)
{
	struct json_slice value;

	switch (line_of(line, &value)) {
	case LINE_COLLECTION:
		return import_begin(x, value);
	case LINE_ITEMS:
		return import_items(x, value);
	case LINE_END:
		x->done++;
		return import_end(x);
	default:
		return CLI_OK; /* the head */
	}
}

static int restore(struct importing *x)
{
	char *why = NULL;
	struct archive *a = archive_open(x->c->words[0], &why);
	struct json_slice line;
	int code = CLI_OK;

	if (a == NULL)
		code = print_wrong(x->c, CLI_NOT, "%s", why);
	while (code == CLI_OK && archive_next(a, &line)) {
		code = take_line(x, line);
		show(x, false);
	}
	/* It has been read before; but it may have been changed since. */
	if (code == CLI_OK &&
	    !archive_is_sound(a, x->contents.n, x->contents.items, &why))
		code = print_wrong(x->c, CLI_NOT, "%s", why);
	if (a != NULL)
		archive_close(a);
	free(why);
	show(x, true);
	return code;
}

static int run(struct importing *x)
{
	int code = cli_flag(x->c, "until") ? until_check(x) : CLI_OK;

	if (code == CLI_OK)
		code = look_for_others(x);
	if (code == CLI_OK && !x->dry)
		code = make_places(x);
	if (code == CLI_OK && !x->dry)
		code = restore(x);
	if (code == CLI_OK && !x->dry && x->until > 0)
		code = until_apply(x);
	if (code == CLI_OK && x->different > 0)
		code = CLI_NOT; /* each was told */
	if (code == CLI_OK)
		tell(x);
	return code;
}

static int with_contents(struct importing *x)
{
	char *why = NULL;
	int code;

	if (!contents_read(&x->contents, x->c->words[0], &why)) {
		code = print_wrong(x->c, CLI_NOT, "%s: %s", x->c->words[0], why);
		free(why);
		return code;
	}
	code = ask_start(x->c);
	if (code != CLI_OK)
		return code;
	x->there = mem_array(x->contents.n + 1, sizeof(char *));
	x->id_taken = mem_array(x->contents.n + 1, sizeof(bool));
	code = run(x);
	ask_stop();
	return code;
}

int command_import(struct cli *c)
{
	const char *prefix = cli_value(c, "rename");
	struct importing x = {.c = c,
	                      .prefix = prefix != NULL ? prefix : "",
	                      .dry = cli_flag(c, "dry-run"),
	                      .resume = cli_flag(c, "resume")};
	int code;

	if (x.resume && cli_flag(c, "until"))
		return print_wrong(
		        c, CLI_USAGE,
		        "--resume and --until do not go together: it is not noted how "
		        "much "
		        "of the log was applied. Import anew, with --rename beside what "
		        "is there");
	code = with_contents(&x);

	for (size_t k = 0; x.there != NULL && k < x.contents.n; k++)
		free(x.there[k]);
	free(x.there);
	free(x.id_taken);
	until_clear(&x);
	text_clear(&x.path);
	json_decref(x.like);
	contents_clear(&x.contents);
	return code;
}
