/* core/cli/import_write.c - what an import writes, through the proxy's ordinary API: each
 * write is logged and executed by every instance like any other. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/cli/import.h"
#include "core/mem.h"

#define TRIES_MOST 120u
#define AGAIN_MS 500u

static const struct content *content_of(const struct importing *x)
{
	return &x->contents.list[x->done];
}

/* --- sent until it is taken -------------------------------------------------------- */

/* Not now; and all of these may be sent again. */
static bool is_for_later(const struct answer *a)
{
	return a->status != STATUS_OK || a->http == 429 || a->http == 503 ||
	       a->http == 504;
}

bool import_send(const char *method, const char *target, struct blob *body,
                 struct answer *a, bool *again)
{
	*again = false;
	for (unsigned n = 0; n < TRIES_MOST; n++) {
		if (ask(method, target, body, a))
			return true;
		if (!is_for_later(a) || ask_is_interrupted())
			return false;
		if (n + 1 == TRIES_MOST || !ask_sleep(AGAIN_MS))
			return false;
		answer_clear(a);
		*again = true;
	}
	return false;
}

static struct blob *dumped(json_t *body)
{
	char *text = json_dumps(body, JSON_COMPACT);

	json_decref(body);
	return blob_adopt(text, strlen(text));
}

static bool send_json(const char *method, const char *target, json_t *body,
                      struct answer *a, bool *again)
{
	struct blob *blob = dumped(body);
	bool good = import_send(method, target, blob, a, again);

	blob_unref(&blob);
	return good;
}

/* A tenant or a database: it may be there. */
int import_place(struct importing *x, const char *target, const char *name)
{
	struct answer a;
	bool again;
	int code = CLI_OK;

	if (!send_json("POST", target, json_pack("{s:s}", "name", name), &a, &again) &&
	    (a.status != STATUS_OK || a.http != 409))
		code = print_failure(x->c, &a);
	answer_clear(&a);
	return code;
}

/* --- a collection ------------------------------------------------------------------ */

void import_add_place(struct text *to, const char *tenant, const char *database)
{
	text_adds(to, "/tenants/");
	rewrite_add_segment(to, tenant);
	text_adds(to, "/databases/");
	rewrite_add_segment(to, database);
	text_adds(to, "/collections");
}

void import_set_path(struct importing *x, const char *id)
{
	const struct content *c = content_of(x);

	text_reset(&x->path);
	text_adds(&x->path, "/api/v2");
	import_add_place(&x->path, c->tenant, c->database);
	text_addf(&x->path, "/%s", id);
}

/* Set afterwards: some of its keys would be settings in a create. */
static int set_metadata(struct importing *x, const json_t *description)
{
	json_t *metadata = json_object_get(description, "metadata");
	struct answer a;
	bool again;
	int code = CLI_OK;

	if (!json_is_object(metadata) || json_object_size(metadata) == 0)
		return CLI_OK;
	if (!send_json("PUT", text_string(&x->path),
	               json_pack("{s:O}", "new_metadata", metadata), &a, &again))
		code = print_failure(x->c, &a);
	answer_clear(&a);
	return code;
}

/* -1: it cannot be asked, and *code says why. */
static int64_t count(const struct importing *x, int *code)
{
	char *target = mem_format("%s/count", text_string(&x->path));
	int64_t n = -1;
	struct answer a;

	if (ask("GET", target, NULL, &a))
		n = json_int64(json_whole(blob_bytes(a.body), blob_len(a.body)), -1);
	if (n < 0)
		*code = print_failure(x->c, &a);
	answer_clear(&a);
	free(target);
	return n;
}

static int go_on(struct importing *x)
{
	int code = CLI_OK;
	int64_t n;

	import_set_path(x, x->there[x->done]);
	n = count(x, &code);
	x->skip = n > 0 ? (uint64_t)n : 0;
	return code;
}

int import_begin(struct importing *x, struct json_slice value)
{
	json_t *description = slice_json(value);
	int code;

	x->skip = x->passed = 0;
	x->dimension = json_number_of(description, "dimension");
	code = x->there[x->done] != NULL ? go_on(x) : import_make(x, description);
	if (code == CLI_OK)
		code = set_metadata(x, description);
	if (code == CLI_OK)
		table_put(&x->known, content_of(x)->id,
		          mem_string(text_string(&x->path)));
	json_decref(description);
	return code;
}

/* --- items ------------------------------------------------------------------------- */

/* Of the page that Chroma gave, what an `add` takes, as the same text. */
static struct blob *add_body(struct json_slice page)
{
	static const char *const keys[] = {"ids", "embeddings", "documents", "metadatas",
	                                   "uris"};
	struct text body = {0};
	size_t len;

	text_reserve(&body, page.len + 16);
	for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
		struct json_slice list = json_member(page, keys[k]);

		if (json_kind(list) != JSON_LIST)
			continue;
		text_addf(&body, "%c\"%s\":", body.len == 0 ? '{' : ',', keys[k]);
		text_add(&body, list.at, list.len);
	}
	text_addc(&body, '}');
	len = body.len;
	return blob_adopt(text_detach(&body), len);
}

static int post_items(struct importing *x, const char *verb, struct blob *body)
{
	char *target = mem_format("%s/%s", text_string(&x->path), verb);
	struct answer a;
	bool again;
	int code = import_send("POST", target, body, &a, &again)
	                   ? CLI_OK
	                   : print_failure(x->c, &a);

	answer_clear(&a);
	free(target);
	return code;
}

int import_items(struct importing *x, struct json_slice page)
{
	size_t n = json_count(json_member(page, "ids"));
	struct blob *body;
	int code;

	x->passed += n;
	x->items += n;
	if (x->passed <= x->skip)
		return CLI_OK;
	body = add_body(page);
	code = post_items(x, "add", body);
	blob_unref(&body);
	x->added += n;
	return code;
}

/* --- the end of one ---------------------------------------------------------------- */

/* It has no items, but had some once: what dimension they must have was settled. */
static int set_dimension(struct importing *x)
{
	struct text add = {0};
	struct blob *body;
	int code;

	text_adds(&add, "{\"ids\":[\"dimension\"],\"embeddings\":[[");
	for (int64_t k = 0; k < x->dimension; k++)
		text_adds(&add, k > 0 ? ",1" : "1");
	text_adds(&add, "]]}");
	body = blob_create(add.s, add.len);
	text_clear(&add);
	code = post_items(x, "add", body);
	blob_unref(&body);
	if (code != CLI_OK)
		return code;
	body = blob_create("{\"ids\":[\"dimension\"]}", 21);
	code = post_items(x, "delete", body);
	blob_unref(&body);
	return code;
}

int import_end(struct importing *x)
{
	const struct content *c = &x->contents.list[x->done - 1];
	int code = CLI_OK;
	int64_t n;

	if (c->items == 0 && x->skip == 0 && x->dimension > 0)
		code = set_dimension(x);
	if (code != CLI_OK)
		return code;
	n = count(x, &code);
	if (n < 0 || (uint64_t)n == c->items)
		return code;
	x->different++;
	print_wrong(x->c, CLI_NOT, "%s: there are %" PRId64 " items, not %" PRIu64,
	            c->name, n, c->items);
	return CLI_OK;
}
