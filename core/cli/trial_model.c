/* core/cli/trial_model.c - pure: what a collection of a trial must hold, and whether an
 * answer is that. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/cli/trial.h"
#include "core/mem.h"

#define DIMENSION 8u
#define DRIFT 1e-5

void trial_id(char *out, size_t room, unsigned item)
{
	snprintf(out, room, "item%u", item);
}

/* No two items are alike. */
double trial_number(unsigned item, unsigned version, unsigned k)
{
	return (double)((item * 37 + version * 11 + k * k * 53) % 101) / 101 +
	       (k == 0 ? (double)item : 0);
}

void trial_model_add(struct trial_model *m, unsigned n)
{
	for (unsigned k = 0; k < n && m->n < TRIAL_ITEMS; k++) {
		m->there[m->n] = true;
		m->version[m->n++] = 0;
	}
}

unsigned trial_model_count(const struct trial_model *m)
{
	unsigned n = 0;

	for (unsigned k = 0; k < m->n; k++)
		n += m->there[k];
	return n;
}

static char *document_of(const struct trial_model *m, unsigned k)
{
	return mem_format("item %u, version %u, group %u", k, m->version[k],
	                  k % TRIAL_GROUPS);
}

static json_t *embedding_of(const struct trial_model *m, unsigned k)
{
	json_t *list = json_array();

	for (unsigned d = 0; d < DIMENSION; d++)
		json_array_append_new(list, json_real(trial_number(k, m->version[k], d)));
	return list;
}

json_t *trial_body(const struct trial_model *m, unsigned from, unsigned to)
{
	json_t *ids = json_array(), *documents = json_array(), *metadatas = json_array(),
	       *embeddings = json_array();
	char id[24];

	for (unsigned k = from; k < to; k++) {
		char *document = document_of(m, k);

		trial_id(id, sizeof(id), k);
		json_array_append_new(ids, json_string(id));
		json_array_append_new(documents, json_string(document));
		json_array_append_new(metadatas,
		                      json_pack("{s:i, s:s, s:i}", "group",
		                                (int)(k % TRIAL_GROUPS), "document_id",
		                                id, "version", (int)m->version[k]));
		json_array_append_new(embeddings, embedding_of(m, k));
		free(document);
	}
	return json_pack("{s:o, s:o, s:o, s:o}", "ids", ids, "documents", documents,
	                 "metadatas", metadatas, "embeddings", embeddings);
}

/* --- is it that? ------------------------------------------------------------------- */

static bool same_embedding(const json_t *a, const json_t *b)
{
	size_t k;
	json_t *x;

	if (json_array_size(a) != json_array_size(b))
		return false;
	json_array_foreach(a, k, x)
	{
		if (fabs(json_number_value(x) - json_number_value(json_array_get(b, k))) >
		    DRIFT * (1 + fabs(json_number_value(x))))
			return false;
	}
	return true;
}

static const char *wrong_field(const json_t *want, const json_t *got, size_t at)
{
	static const char *const fields[] = {"documents", "metadatas"};

	for (unsigned k = 0; k < 2; k++)
		if (!json_equal(json_array_get(json_object_get(want, fields[k]), 0),
		                json_array_get(json_object_get(got, fields[k]), at)))
			return fields[k];
	if (!same_embedding(json_array_get(json_object_get(want, "embeddings"), 0),
	                    json_array_get(json_object_get(got, "embeddings"), at)))
		return "embeddings";
	return NULL;
}

/* In the order in which they were added. */
static char *item_difference(const struct trial_model *m, unsigned item,
                             const json_t *got, size_t at)
{
	json_t *want = trial_body(m, item, item + 1);
	const char *id =
	        json_string_value(json_array_get(json_object_get(got, "ids"), at));
	const char *field = wrong_field(want, got, at);
	char wanted[24], *why = NULL;

	trial_id(wanted, sizeof(wanted), item);
	if (id == NULL)
		why = mem_format("%s is missing", wanted);
	else if (strcmp(id, wanted) != 0)
		why = mem_format("%s stands where %s should", id, wanted);
	else if (field != NULL)
		why = mem_format("%s has other %s", wanted, field);
	json_decref(want);
	return why;
}

char *trial_difference(const struct trial_model *m, const json_t *got)
{
	size_t n = json_array_size(json_object_get(got, "ids")), at = 0;
	char *why = NULL;

	for (unsigned k = 0; k < m->n && why == NULL; k++)
		if (m->there[k])
			why = item_difference(m, k, got, at++);
	if (why == NULL && n != at)
		why = mem_format("%zu items instead of %zu", n, at);
	return why;
}
