/* core/cli/import_make.c - a collection of an import is made, with the settings it had.
 *
 * A create has several forms, and which of them gives these settings depends on how the
 * collection was created once (core/shape.c).
 *   find_form   each is tried with a collection of another name, which is deleted again,
 *               for an id can be given only once; once for each kind of settings
 *   create      with its own name and id
 * When it does not go well: no form gives the same: that is told in the end, and the
 * items are restored all the same. */
#include <stdlib.h>
#include <string.h>

#include "core/cli/import.h"
#include "core/mem.h"
#include "core/shape.h"

#define TRIAL "chromatid-import-trial"

static const struct content *content_of(const struct importing *x)
{
	return &x->contents.list[x->done];
}

static void add_collections(struct text *to, const struct importing *x)
{
	text_adds(to, "/api/v2");
	import_add_place(to, content_of(x)->tenant, content_of(x)->database);
}

/* --- the form ------------------------------------------------------------------------
 */

/* 404: it is not there. */
static int delete_trial(struct importing *x)
{
	struct text target = {0};
	struct answer a;
	bool again;
	int code = CLI_OK;

	add_collections(&target, x);
	text_adds(&target, "/" TRIAL);
	if (!import_send("DELETE", text_string(&target), NULL, &a, &again) &&
	    (a.status != STATUS_OK || a.http != 404))
		code = print_failure(x->c, &a);
	answer_clear(&a);
	text_clear(&target);
	return code;
}

/* *good: it gives the same settings. Refused with 400: it does not. */
static int try_form(struct importing *x, const json_t *was, struct blob *body, bool *good)
{
	struct text target = {0};
	json_t *made = NULL;
	struct answer a;
	bool again;
	int code = CLI_OK;

	add_collections(&target, x);
	if (import_send("POST", text_string(&target), body, &a, &again))
		made = answer_json(&a);
	else if (a.status != STATUS_OK || a.http != 400)
		code = print_failure(x->c, &a);
	*good = made != NULL && shape_same_settings(was, made);
	json_decref(made);
	answer_clear(&a);
	text_clear(&target);
	return code;
}

static int find_form(struct importing *x, const json_t *was)
{
	struct blob *body;
	bool good = false;
	int code = CLI_OK;

	for (x->form = 0; code == CLI_OK && !good; x->form += !good) {
		body = shape_create(was, TRIAL, x->form);
		if (body == NULL)
			break;
		code = delete_trial(x);
		if (code == CLI_OK)
			code = try_form(x, was, body, &good);
		blob_unref(&body);
	}
	if (code == CLI_OK)
		code = delete_trial(x);
	if (!good)
		x->form = 0;
	return code;
}

/* Most are like the one before. */
static int choose_form(struct importing *x, const json_t *was)
{
	int code;

	if (x->like != NULL && shape_same_settings(x->like, was))
		return CLI_OK;
	code = find_form(x, was);
	json_decref(x->like);
	x->like = json_deep_copy(was);
	return code;
}

/* --- the create ----------------------------------------------------------------------
 */

static void add_target(struct text *to, const struct importing *x)
{
	const struct content *c = content_of(x);

	if (x->id_taken[x->done]) {
		add_collections(to, x);
		return;
	}
	text_adds(to, "/admin/import");
	import_add_place(to, c->tenant, c->database);
	text_addf(to, "/%s", c->id);
}

static struct blob *create_body(const struct importing *x, const json_t *was)
{
	char *name = mem_format("%s%s", x->prefix, content_of(x)->name);
	struct blob *body = shape_create(was, name, x->form);

	free(name);
	return body;
}

/* Its first create may have been taken, its answer lost. */
static bool is_made(struct importing *x)
{
	struct answer a;
	struct text target = {0};
	bool made;

	if (x->id_taken[x->done])
		return false;
	add_collections(&target, x);
	text_addf(&target, "/by-id/%s", content_of(x)->id);
	made = ask("GET", text_string(&target), NULL, &a);
	answer_clear(&a);
	text_clear(&target);
	if (made)
		import_set_path(x, content_of(x)->id);
	return made;
}

static void check_settings(struct importing *x, const json_t *was, const json_t *is)
{
	if (shape_same_settings(was, is))
		return;
	x->different++;
	print_wrong(x->c, CLI_NOT, "%s: its settings came out otherwise",
	            content_of(x)->name);
}

static int create(struct importing *x, const json_t *was)
{
	struct blob *body = create_body(x, was);
	struct text target = {0};
	json_t *made = NULL;
	struct answer a;
	bool again;
	int code = CLI_OK;

	add_target(&target, x);
	if (import_send("POST", text_string(&target), body, &a, &again) &&
	    (made = answer_json(&a)) != NULL) {
		import_set_path(x, json_text_of(made, "id"));
		check_settings(x, was, made);
	} else if (!again || a.http != 409 || !is_made(x)) {
		code = print_failure(x->c, &a);
	}
	json_decref(made);
	answer_clear(&a);
	text_clear(&target);
	blob_unref(&body);
	return code;
}

int import_make(struct importing *x, const json_t *was)
{
	int code = choose_form(x, was);

	return code == CLI_OK ? create(x, was) : code;
}
