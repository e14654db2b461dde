/* core/cli/export.c - `chromatid export`: everything as of one place in the log, into a
 * file.
 *
 *   begin      the proxy brings an instance to that place and holds it there
 *   add_head   what it is, tenants and databases
 *   add_collection  its description, its items page by page, its end
 *   finish     the proxy must still hold it there, or what was read last may be of a
 *              later place; only then the file is sealed and gets its name
 * When it does not go well the file goes, and the proxy is told to let go; if it is not,
 * it does so by itself half a minute later. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/cli/cli_private.h"
#include "core/mem.h"
#include "core/version.h"

#define PAGE_FIRST 200u
#define PAGE_MOST 2000u
#define BYTES_FEW (2u * 1024 * 1024)
#define BYTES_MANY (24u * 1024 * 1024) /* more is asked for again, in smaller pages */
#define SHOW_MS 200u

struct exporting {
	struct cli *c;
	struct archive *archive;
	json_t *begun; /* the proxy's answer */
	char *target;  /* its place in the API */
	uint64_t collections, items;
	unsigned page;
	msec shown;
	bool *found; /* of each --collection */
};

/* --- told -------------------------------------------------------------------------- */

static bool to_stdout(const struct cli *c)
{
	return strcmp(c->words[0], "-") == 0;
}

static void show(struct exporting *x, bool last)
{
	msec now = clock_ms();

	if (!isatty(STDERR_FILENO) || (!last && now < x->shown + SHOW_MS))
		return;
	x->shown = now;
	fprintf(stderr, "\r%" PRIu64 " of %zu collections, %" PRIu64 " items%s",
	        x->collections, json_array_size(json_object_get(x->begun, "collections")),
	        x->items, last ? "\n" : "");
}

static void tell(const struct exporting *x)
{
	struct text out = {0};

	if (cli_json(x->c)) {
		text_adds(&out, "{\"file\":");
		json_add_quoted(&out, x->c->words[0], strlen(x->c->words[0]));
		text_addf(&out,
		          ",\"position\":%lld,\"at\":\"%s\",\"collections\":%" PRIu64
		          ",\"items\":%" PRIu64 "}\n",
		          (long long)json_number_of(x->begun, "position"),
		          json_text_of(x->begun, "at"), x->collections, x->items);
	} else {
		text_addf(&out,
		          "%" PRIu64 " collections, %" PRIu64
		          " items, as of record %lld (%s)\n",
		          x->collections, x->items,
		          (long long)json_number_of(x->begun, "position"),
		          json_text_of(x->begun, "at"));
	}
	fwrite(text_string(&out), 1, out.len, to_stdout(x->c) ? stderr : stdout);
	text_clear(&out);
}

/* --- lines ------------------------------------------------------------------------- */

/* {"key": value}; a newline in it could only stand between two tokens. */
static bool add_line(struct exporting *x, const char *key, const char *value, size_t len)
{
	struct text line = {0};
	bool good;

	text_reserve(&line, len + 32);
	text_addf(&line, "{\"%s\":", key);
	text_add(&line, value, len);
	text_addc(&line, '}');
	for (char *at = line.s;
	     (at = memchr(at, '\n', line.len - (size_t)(at - line.s)));)
		*at = ' ';
	good = archive_add(x->archive, text_string(&line), line.len);
	text_clear(&line);
	return good;
}

static int full(const struct exporting *x)
{
	return print_wrong(x->c, CLI_NOT, "the file cannot be written");
}

static int add_head(struct exporting *x)
{
	static const char *const told[] = {"cluster",  "position", "at",
	                                   "instance", "tenants",  "databases"};
	json_t *head = json_pack("{s:i, s:s, s:b}", "chromatid_export", 1, "version",
	                         CHROMATID_VERSION, "partial",
	                         (int)cli_flag(x->c, "collection"));
	char *text;
	bool good;

	for (size_t k = 0; k < sizeof(told) / sizeof(told[0]); k++)
		json_object_set(head, told[k], json_object_get(x->begun, told[k]));
	text = json_dumps(head, JSON_COMPACT);
	good = archive_add(x->archive, text, strlen(text));
	free(text);
	json_decref(head);
	return good ? CLI_OK : full(x);
}

/* --- one collection ---------------------------------------------------------------- */

static bool ask_about(struct exporting *x, const char *what, json_t *body,
                      struct answer *a)
{
	char *target = mem_format("%s/%s", x->target, what);
	bool good = ask_json("POST", target, body, a);

	free(target);
	return good;
}

/* What is too much at a time is asked for again in smaller pages. */
static bool is_too_much(struct exporting *x, const struct answer *a)
{
	bool much = a->status == STATUS_TOO_LARGE || blob_len(a->body) > BYTES_MANY;

	if (!much || x->page == 1)
		return false;
	x->page = x->page < 4 ? 1 : x->page / 4;
	return true;
}

static void adapt(struct exporting *x, const struct answer *a)
{
	if (blob_len(a->body) < BYTES_FEW && x->page < PAGE_MOST)
		x->page *= 2;
}

/* *n: items in this page, after adding it. */
static int take_page(struct exporting *x, const struct answer *a, uint64_t *n)
{
	const char *bytes = blob_bytes(a->body);
	size_t len = blob_len(a->body);
	struct json_slice ids = json_member(json_whole(bytes, len), "ids");

	if (json_kind(ids) != JSON_LIST)
		return print_wrong(x->c, CLI_NOT, "a page is not understood");
	*n = json_count(ids);
	return *n == 0 || add_line(x, "items", bytes, len) ? CLI_OK : full(x);
}

static int add_items(struct exporting *x, const char *id, uint64_t *total)
{
	uint64_t n = 0;
	int code = CLI_OK;
	bool more = true;

	while (more && code == CLI_OK) {
		unsigned page = x->page;
		json_t *body = json_pack("{s:s, s:I, s:I}", "collection", id, "limit",
		                         (json_int_t)page, "offset", (json_int_t)*total);
		struct answer a;
		bool good = ask_about(x, "items", body, &a);

		if ((good || a.status == STATUS_TOO_LARGE) && is_too_much(x, &a)) {
			answer_clear(&a);
			continue;
		}
		code = good ? take_page(x, &a, &n) : print_failure(x->c, &a);
		more = n >= page;
		*total += code == CLI_OK ? n : 0;
		x->items += code == CLI_OK ? n : 0;
		adapt(x, &a);
		answer_clear(&a);
		show(x, false);
	}
	return code;
}

static int add_end(struct exporting *x, const char *id, uint64_t items)
{
	char *end = mem_format("{\"id\":\"%s\",\"items\":%" PRIu64 "}", id, items);
	bool good = add_line(x, "end", end, strlen(end));

	free(end);
	x->collections++;
	return good ? CLI_OK : full(x);
}

/* Without any --collection all are. */
static bool is_wanted(struct exporting *x, const json_t *description)
{
	bool any = false, wanted = false;

	for (unsigned k = 0; k < x->c->n_given; k++) {
		if (strcmp(x->c->given[k].name, "collection") != 0)
			continue;
		any = true;
		if (strcmp(x->c->given[k].value, json_text_of(description, "name")) ==
		            0 ||
		    strcmp(x->c->given[k].value, json_text_of(description, "id")) == 0)
			wanted = x->found[k] = true;
	}
	return !any || wanted;
}

static int add_collection(struct exporting *x, const char *id)
{
	json_t *description = NULL;
	uint64_t items = 0;
	struct answer a;
	int code = CLI_OK;

	if (!ask_about(x, "collection", json_pack("{s:s}", "collection", id), &a) ||
	    (description = answer_json(&a)) == NULL) {
		code = print_failure(x->c, &a);
	} else if (is_wanted(x, description)) {
		if (!add_line(x, "collection", blob_bytes(a.body), blob_len(a.body)))
			code = full(x);
		if (code == CLI_OK)
			code = add_items(x, id, &items);
		if (code == CLI_OK)
			code = add_end(x, id, items);
	}
	json_decref(description);
	answer_clear(&a);
	return code;
}

static int add_collections(struct exporting *x)
{
	const json_t *one;
	size_t k;

	json_array_foreach(json_object_get(x->begun, "collections"), k, one)
	{
		int code = add_collection(x, json_text_of(one, "id"));

		if (code != CLI_OK)
			return code;
	}
	for (unsigned n = 0; n < x->c->n_given; n++)
		if (strcmp(x->c->given[n].name, "collection") == 0 && !x->found[n])
			return print_wrong(x->c, CLI_NOT, "there is no collection %s",
			                   x->c->given[n].value);
	return CLI_OK;
}

/* --- the whole --------------------------------------------------------------------- */

static int let_go(struct exporting *x)
{
	struct answer a;
	int code = ask("DELETE", x->target, NULL, &a) ? CLI_OK : print_failure(x->c, &a);

	answer_clear(&a);
	return code;
}

static int finish(struct exporting *x)
{
	char *why = NULL;
	int code = let_go(x);

	if (code != CLI_OK) {
		archive_drop(x->archive);
	} else if (!archive_end(x->archive, x->collections, x->items, &why)) {
		code = print_wrong(x->c, CLI_NOT, "%s", why);
	} else {
		show(x, true);
		tell(x);
	}
	free(why);
	return code;
}

static int copy(struct exporting *x)
{
	struct answer a;
	int code = add_head(x);

	if (code == CLI_OK)
		code = add_collections(x);
	if (code == CLI_OK)
		return finish(x);
	archive_drop(x->archive);
	ask("DELETE", x->target, NULL, &a);
	answer_clear(&a);
	return code;
}

/* NULL: *code. */
static json_t *wish(const struct cli *c, int *code)
{
	const char *timeout = cli_value(c, "timeout");
	const char *instance = cli_value(c, "instance");
	json_t *o = json_object();

	if (instance != NULL)
		json_object_set_new(o, "instance", json_string(instance));
	if (cli_flag(c, "hold-writes"))
		json_object_set_new(o, "hold_writes", json_true());
	if (timeout == NULL)
		return o;
	if (timeout[0] != '\0' && strlen(timeout) < 7 &&
	    timeout[strspn(timeout, "0123456789")] == '\0') {
		json_object_set_new(o, "timeout_seconds",
		                    json_integer(strtol(timeout, NULL, 10)));
		return o;
	}
	json_decref(o);
	*code = print_wrong(c, CLI_USAGE, "--timeout is a number of seconds");
	return NULL;
}

static int begin(struct exporting *x)
{
	int code = CLI_OK;
	json_t *body = wish(x->c, &code);
	struct answer a;

	if (body == NULL)
		return code;
	if (!ask_json("POST", "/admin/export", body, &a) ||
	    (x->begun = answer_json(&a)) == NULL)
		code = print_failure(x->c, &a);
	else
		x->target =
		        mem_format("/admin/export/%s", json_text_of(x->begun, "export"));
	answer_clear(&a);
	return code;
}

static int run(struct exporting *x)
{
	char *why = NULL;
	int code;

	x->archive = archive_create(x->c->words[0], &why);
	if (x->archive == NULL) {
		code = print_wrong(x->c, CLI_NOT, "%s", why);
		free(why);
		return code;
	}
	code = begin(x);
	if (code != CLI_OK) {
		archive_drop(x->archive);
		return code;
	}
	return copy(x);
}

int command_export(struct cli *c)
{
	bool found[CLI_VALUES] = {false};
	struct exporting x = {.c = c, .page = PAGE_FIRST, .found = found};
	int code;

	if (to_stdout(c) && cli_json(c))
		return print_wrong(c, CLI_USAGE,
		                   "standard output is the file's, not --json's");
	code = ask_start(c);
	if (code != CLI_OK)
		return code;
	code = run(&x);
	json_decref(x.begun);
	free(x.target);
	ask_stop();
	return code;
}
