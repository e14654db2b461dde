/* core/cli/trial_steps.c - what a trial does to a system, each thing checked by what the
 * answer says. Whether it is so afterwards: trial_look.c. */
#include <stdlib.h>
#include <string.h>

#include "core/cli/trial.h"
#include "core/mem.h"
#include "core/uuid.h"

#define DATABASE "/api/v2/tenants/default_tenant/databases/default_database"
#define BATCH 20u

/* --- the system -------------------------------------------------------------------- */

static void take_instances(struct trial *t, const json_t *status)
{
	const json_t *balance = json_object_get(status, "load_balancer");
	const char *strategy = json_text_of(balance, "strategy");
	double ratio = json_number_value(json_object_get(balance, "read_replica_ratio"));
	const json_t *in;
	size_t k;

	json_array_foreach(json_object_get(status, "instances"), k, in)
	{
		if (k < TRIAL_INSTANCES)
			t->instances[t->n_instances++] =
			        mem_string(json_text_of(in, "name"));
		if (!json_is_true(json_object_get(in, "healthy")))
			trial_fail(t, "instance %s is not up", json_text_of(in, "name"));
	}
	if (t->n_instances < 2)
		trial_fail(t, "the status names %u instances", t->n_instances);
	t->shares_reads =
	        strcmp(strategy, "round_robin") == 0 ||
	        (strcmp(strategy, "primary_only") != 0 && ratio > 0 && ratio < 1);
	if (!t->shares_reads)
		trial_note(t, "reads are not spread over the instances here: only the "
		              "proxy's own comparison looks at each");
}

void trial_health(struct trial *t)
{
	static const char *const pages[] = {"/health", "/ready", "/api/v2/heartbeat",
	                                    "/api/v2/version"};
	json_t *status;

	for (size_t k = 0; k < sizeof(pages) / sizeof(pages[0]) && !t->failed; k++)
		json_decref(trial_get(t, pages[k]));
	status = t->failed ? NULL : trial_get(t, "/status");
	if (status != NULL)
		take_instances(t, status);
	json_decref(status);
}

/* --- a collection ------------------------------------------------------------------ */

static char *name_target(const struct trial_collection *col)
{
	return mem_format(DATABASE "/collections/%s", col->name);
}

static char *id_target(const struct trial_collection *col, const char *verb)
{
	return mem_format(DATABASE "/collections/%s/%s", col->id, verb);
}

/* The id that its creation has answered, if what is there under its name has it too. */
static void learn_id(struct trial *t, struct trial_collection *col, const json_t *made)
{
	const char *id = json_text_of(made, "id");
	char *target = name_target(col);
	json_t *there = trial_get(t, target);
	struct uuid uuid;

	if (there == NULL)
		goto end;
	if (!uuid_parse(id, strlen(id), &uuid) || strlen(id) >= sizeof(col->id))
		trial_fail(t, "%s was made with an id that is none: %s", col->name, id);
	else if (strcmp(json_text_of(made, "name"), col->name) != 0 ||
	         strcmp(json_text_of(there, "name"), col->name) != 0)
		trial_fail(t, "%s was made, and has another name", col->name);
	else if (strcmp(json_text_of(there, "id"), id) != 0)
		trial_fail(t, "%s was made as %s, and is there as %s", col->name, id,
		           json_text_of(there, "id"));
	else
		memcpy(col->id, id, strlen(id) + 1);
end:
	json_decref(there);
	free(target);
}

struct trial_collection *trial_create(struct trial *t, const char *what)
{
	struct trial_collection *col = &t->collections[t->n_collections];
	json_t *made;

	if (t->failed)
		return col; /* with nothing in it; nothing will be asked of it */
	t->n_collections++;
	snprintf(col->name, sizeof(col->name), TRIAL_PREFIX "%s_%s", t->run, what);
	col->made = true; /* it may be, even if nobody says so */
	made = trial_post(t, DATABASE "/collections",
	                  json_pack("{s:s, s:b, s:{s:s}}", "name", col->name,
	                            "get_or_create", 0, "metadata", "run", t->run));
	if (made != NULL)
		learn_id(t, col, made);
	json_decref(made);
	return col;
}

void trial_remove(struct trial *t, struct trial_collection *col)
{
	char *target;
	struct answer a;

	if (t->failed)
		return;
	target = name_target(col);
	if (trial_ask(t, "DELETE", target, NULL, &a))
		col->made = false;
	else
		trial_fail(t, "%s could not be deleted: HTTP %d", col->name, a.http);
	answer_clear(&a);
	free(target);
}

/* --- items ------------------------------------------------------------------------- */

static void post(struct trial *t, const struct trial_collection *col, const char *verb,
                 json_t *body)
{
	char *target;

	if (t->failed) {
		json_decref(body);
		return;
	}
	target = id_target(col, verb);
	json_decref(trial_post(t, target, body));
	free(target);
}

void trial_add(struct trial *t, struct trial_collection *col, unsigned n)
{
	unsigned from = col->model.n, to;

	trial_model_add(&col->model, n);
	for (; from < col->model.n && !t->failed; from = to) {
		to = from + BATCH < col->model.n ? from + BATCH : col->model.n;
		post(t, col, "add", trial_body(&col->model, from, to));
	}
}

/* The middle third by update; the last ones, and as many new ones, by upsert. */
void trial_update(struct trial *t, struct trial_collection *col)
{
	struct trial_model *m = &col->model;
	unsigned n = m->n, third = n / 3, last = n - n / 6;

	for (unsigned k = third; k < 2 * third; k++)
		m->version[k]++;
	post(t, col, "update", trial_body(m, third, 2 * third));
	for (unsigned k = last; k < n; k++)
		m->version[k]++;
	trial_model_add(m, n / 6);
	post(t, col, "upsert", trial_body(m, last, m->n));
}

static void forget_group(struct trial_model *m, unsigned group, unsigned only_version)
{
	for (unsigned k = 0; k < m->n; k++)
		if (k % TRIAL_GROUPS == group && m->version[k] <= only_version)
			m->there[k] = false;
}

/* By one value, by one of several, by two fields, by what the document says. */
void trial_delete_by_filter(struct trial *t, struct trial_collection *col)
{
	col->model.there[4] = false;
	post(t, col, "delete", json_pack("{s:{s:s}}", "where", "document_id", "item4"));
	forget_group(&col->model, 1, UINT32_MAX);
	post(t, col, "delete",
	     json_pack("{s:{s:{s:[i,i]}}}", "where", "group", "$in", 1, 99));
	forget_group(&col->model, 2, 0);
	post(t, col, "delete",
	     json_pack("{s:{s:[{s:i},{s:i}]}}", "where", "$and", "group", 2, "version",
	               0));
	forget_group(&col->model, 3, UINT32_MAX);
	post(t, col, "delete",
	     json_pack("{s:{s:s}}", "where_document", "$contains", "group 3"));
}

void trial_delete_ids(struct trial *t, struct trial_collection *col)
{
	col->model.there[0] = col->model.there[5] = false;
	post(t, col, "delete", json_pack("{s:[s,s]}", "ids", "item0", "item5"));
}

void trial_write_anyway(struct trial *t, struct trial_collection *col)
{
	struct trial_model *m = &col->model;
	char *target = id_target(col, "add");
	struct answer a;

	trial_model_add(m, 1);
	if (trial_ask(t, "POST", target, trial_body(m, m->n - 1, m->n), &a)) {
		trial_fail(t, "a write was answered HTTP %d while no instance is up",
		           a.http);
	} else if (a.http != 503 || a.outcome == NULL) {
		trial_fail(t, "a write was answered HTTP %d, outcome %s, instead of 503",
		           a.http, a.outcome != NULL ? a.outcome : "not said");
	} else if (strcmp(a.outcome, "none") == 0) {
		m->n--;
		trial_note(t, "writes are refused while no instance is up (BOTH_DOWN)");
	} else if (strcmp(a.outcome, "pending") != 0) {
		trial_fail(t, "what becomes of a write is %s", a.outcome);
	}
	answer_clear(&a);
	free(target);
}

void trial_refused(struct trial *t, const struct trial_collection *col)
{
	char *target = id_target(col, "get");
	struct answer a;

	trial_ask(t, "POST", target, json_pack("{s:i}", "limit", 1), &a);
	if (a.http != 503)
		trial_fail(t, "a read was answered HTTP %d while no instance is up",
		           a.http);
	answer_clear(&a);
	free(target);
}
