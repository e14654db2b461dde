/* core/cli/trial_look.c - is it so? Everything is read, and compared with what it must
 * be; of each instance, as answers say which one gave them. A wrong answer is never
 * waited out: a write that was answered is seen by every read that begins after it. */
#include <stdlib.h>
#include <string.h>

#include "core/cli/trial.h"
#include "core/mem.h"

#define DATABASE "/api/v2/tenants/default_tenant/databases/default_database"

/* --- items ------------------------------------------------------------------------- */

typedef char *check_fn(const struct trial_collection *col, unsigned item,
                       const json_t *got);

struct question {
	const char *verb;
	json_t *(*body)(const struct trial_collection *col, unsigned item);
	check_fn *check;
	unsigned item;
};

static const char *const nobody = "";

/* Who answered ("": not said); NULL: it was wrong, or there was no answer. */
static const char *ask_once(struct trial *t, const struct trial_collection *col,
                            const struct question *q)
{
	char *target = mem_format(DATABASE "/collections/%s/%s", col->id, q->verb), *why;
	const char *who = nobody;
	struct answer a;
	json_t *got = NULL;

	if (!trial_ask(t, "POST", target, q->body(col, q->item), &a) ||
	    (got = answer_json(&a)) == NULL) {
		trial_fail(t, "%s of %s: HTTP %d", q->verb, col->name, a.http);
		who = NULL;
	} else if ((why = q->check(col, q->item, got)) != NULL) {
		trial_fail(t, "%s of %s from %s: %s", q->verb, col->name,
		           a.instance != NULL ? a.instance : "somebody", why);
		free(why);
		who = NULL;
	}
	for (unsigned k = 0; who != NULL && a.instance != NULL && k < t->n_instances; k++)
		if (strcmp(a.instance, t->instances[k]) == 0)
			who = t->instances[k];
	json_decref(got);
	answer_clear(&a);
	free(target);
	return who;
}

static void say_unheard(struct trial *t, const struct question *q, unsigned heard)
{
	for (unsigned k = 0; k < t->n_instances; k++)
		if ((heard >> k & 1) == 0)
			trial_fail(t, "no %s was answered by %s within %lld s", q->verb,
			           t->instances[k], (long long)(t->timeout_ms / 1000));
}

static void ask_everywhere(struct trial *t, const struct trial_collection *col,
                           const struct question *q)
{
	unsigned heard = 0, all = t->shares_reads ? (1u << t->n_instances) - 1 : 0;
	msec since = clock_ms();
	const char *who;

	if (t->failed)
		return;
	do {
		who = ask_once(t, col, q);
		for (unsigned k = 0; who != NULL && k < t->n_instances; k++)
			heard |= (unsigned)(who == t->instances[k]) << k;
	} while (who != NULL && (heard & all) != all && trial_wait(t, since));
	if (!t->failed && (heard & all) != all)
		say_unheard(t, q, heard);
}

static json_t *everything(const struct trial_collection *col, unsigned item)
{
	(void)col;
	(void)item;
	return json_pack("{s:[s,s,s], s:i}", "include", "documents", "metadatas",
	                 "embeddings", "limit", (int)(2 * TRIAL_ITEMS));
}

static char *is_all(const struct trial_collection *col, unsigned item, const json_t *got)
{
	(void)item;
	return trial_difference(&col->model, got);
}

static const struct question whole = {"get", everything, is_all, 0};

void trial_look(struct trial *t, struct trial_collection *col)
{
	if (!t->failed)
		ask_once(t, col, &whole);
}

void trial_look_everywhere(struct trial *t, struct trial_collection *col)
{
	ask_everywhere(t, col, &whole);
}

/* --- queries ----------------------------------------------------------------------- */

static json_t *nearest(const struct trial_collection *col, unsigned item)
{
	json_t *body = trial_body(&col->model, item, item + 1);
	json_t *q = json_pack("{s:O, s:i}", "query_embeddings",
	                      json_object_get(body, "embeddings"), "n_results", 3);

	json_decref(body);
	return q;
}

static char *is_nearest(const struct trial_collection *col, unsigned item,
                        const json_t *got)
{
	const json_t *ids = json_array_get(json_object_get(got, "ids"), 0);
	const char *first = json_string_value(json_array_get(ids, 0));
	char wanted[24];

	(void)col;
	trial_id(wanted, sizeof(wanted), item);
	if (first != NULL && strcmp(first, wanted) == 0)
		return NULL;
	return mem_format("%s is nearest, not %s", first != NULL ? first : "nothing",
	                  wanted);
}

static void query(struct trial *t, const struct trial_collection *col, bool everywhere)
{
	unsigned asked = 0;

	for (unsigned k = col->model.n; k-- > 0 && asked < 3 && !t->failed;) {
		const struct question q = {"query", nearest, is_nearest, k};

		if (!col->model.there[k])
			continue;
		if (everywhere)
			ask_everywhere(t, col, &q);
		else
			ask_once(t, col, &q);
		asked++;
	}
}

void trial_query(struct trial *t, struct trial_collection *col)
{
	query(t, col, false);
}

void trial_query_everywhere(struct trial *t, struct trial_collection *col)
{
	query(t, col, true);
}

/* --- mappings ---------------------------------------------------------------------- */

static const json_t *mapping_in(const json_t *page, const struct trial_collection *col)
{
	const json_t *m;
	size_t k;

	json_array_foreach(json_object_get(page, "mappings"), k, m)
	{
		if (strcmp(json_text_of(m, "collection_name"), col->name) == 0)
			return m;
	}
	return NULL;
}

static bool is_complete(const struct trial *t, const struct trial_collection *col,
                        const json_t *m)
{
	const json_t *locations = json_object_get(m, "locations");

	for (unsigned k = 0; k < t->n_instances; k++)
		if (json_text_of(locations, t->instances[k])[0] == '\0')
			return false;
	return strcmp(json_text_of(m, "public_id"), col->id) == 0 &&
	       strcmp(json_text_of(m, "status"), "complete") == 0;
}

void trial_mapping(struct trial *t, struct trial_collection *col)
{
	msec since = clock_ms();
	bool good = false;

	do {
		json_t *page = t->failed ? NULL : trial_get(t, "/collection/mappings");

		good = is_complete(t, col, mapping_in(page, col));
		json_decref(page);
	} while (!good && trial_wait(t, since));
	if (!good)
		trial_fail(t, "the mapping of %s is not complete", col->name);
}

void trial_gone(struct trial *t, struct trial_collection *col)
{
	char *target = mem_format(DATABASE "/collections/%s", col->name);
	json_t *page = NULL;
	struct answer a;

	if (!t->failed) {
		trial_ask(t, "GET", target, NULL, &a);
		if (a.http != 404)
			trial_fail(t, "%s was deleted, and is asked for with HTTP %d",
			           col->name, a.http);
		answer_clear(&a);
	}
	if (!t->failed)
		page = trial_get(t, "/collection/mappings");
	if (mapping_in(page, col) != NULL)
		trial_fail(t, "%s was deleted, and its mapping is there", col->name);
	col->made = t->failed; /* as far as can be seen */
	json_decref(page);
	free(target);
}

/* --- both instances, by the proxy itself ------------------------------------------- */

enum compared { COMPARED_NOT, COMPARED_AGAIN, COMPARED };

/* Job 0: it could not be begun. */
static enum compared begin(struct trial *t, const struct trial_collection *col,
                           int64_t *job)
{
	enum compared result = COMPARED;
	struct answer a;
	json_t *begun = NULL;

	trial_ask(t, "POST", "/admin/verify",
	          json_pack("{s:s, s:b}", "collection", col->id, "repair", 0), &a);
	if (a.http == 202 && (begun = answer_json(&a)) != NULL) {
		*job = json_number_of(begun, "job");
	} else if (a.http == 401 || a.http == 403) {
		trial_note(t,
		           "the instances were not compared: an operator's token is "
		           "needed (HTTP %d)",
		           a.http);
		result = COMPARED_NOT;
	} else if (a.http == 409) {
		result = COMPARED_AGAIN;
	} else {
		trial_fail(t, "POST /admin/verify: HTTP %d", a.http);
		result = COMPARED_NOT;
	}
	json_decref(begun);
	answer_clear(&a);
	return result;
}

static enum compared judge(struct trial *t, const struct trial_collection *col,
                           const json_t *page)
{
	const json_t *found;
	size_t k;

	json_array_foreach(json_object_get(page, "results"), k, found)
	{
		const char *result = json_text_of(found, "result");

		if (strcmp(json_text_of(found, "collection_id"), col->id) != 0)
			continue;
		if (strcmp(result, "unfinished") == 0)
			return COMPARED_AGAIN;
		if (strcmp(result, "equal") != 0)
			trial_fail(t, "the instances are not equal in %s: %s", col->name,
			           result);
		return COMPARED;
	}
	return COMPARED_AGAIN;
}

/* Another proxy may have taken over, or somebody else may have asked for another. */
static enum compared await(struct trial *t, const struct trial_collection *col,
                           int64_t job, msec since)
{
	enum compared result = COMPARED_AGAIN;
	bool running = true;

	while (running && trial_wait(t, since)) {
		json_t *page = trial_get(t, "/admin/verify");

		running = json_is_true(json_object_get(page, "running"));
		if (page != NULL && json_number_of(page, "job") != job)
			running = false;
		else if (page != NULL && !running)
			result = judge(t, col, page);
		json_decref(page);
	}
	return result;
}

void trial_compare(struct trial *t, struct trial_collection *col)
{
	enum compared result = COMPARED_AGAIN;
	msec since = clock_ms();
	int64_t job = 0;

	while (!t->failed && result == COMPARED_AGAIN && trial_wait(t, since)) {
		result = begin(t, col, &job);
		if (result == COMPARED)
			result = await(t, col, job, since);
	}
	if (result == COMPARED_AGAIN)
		trial_fail(t, "%s could not be compared within %lld s", col->name,
		           (long long)(t->timeout_ms / 1000));
}
