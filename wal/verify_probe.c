/* wal/verify_probe.c - pure: does a search index find what is in it?
 *
 * Each item of a sample is looked for by its own vector. It is found if its id is among
 * the first few, or something stands there that is as near as itself (there may be many
 * equal vectors). By inner product an item need not be the nearest to itself: then it
 * counts as found if no other instance knows anything nearer. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "wal/verify_private.h"

#define RECALL_LEAST 0.99
#define RECALL_APART 0.01
#define RECALL_APART_IP 0.05 /* two good indexes differ by chance */
#define NEAR_COSINE 1e-5     /* measured: 7e-7 */
#define NEAR_IP 1e-5         /* relative */

struct probe {
	enum probe_space space;
	struct text body; /* the vectors, with commas */
	struct {
		char *id;
		double nearest[CONF_MAX_INSTANCES];
		bool found[CONF_MAX_INSTANCES];
	} * at;
	size_t n;
	unsigned answered;
};

enum probe_space probe_space_of(const struct blob *shape)
{
	static const char *const keys[] = {"hnsw", "spann"};
	struct json_slice whole = json_whole(blob_bytes(shape), blob_len(shape)), space;
	struct json_slice all = json_member(whole, "configuration_json");

	for (unsigned k = 0; k < 2; k++) {
		space = json_member(json_member(all, keys[k]), "space");
		if (json_text_is(space, "cosine"))
			return SPACE_COSINE;
		if (json_text_is(space, "ip"))
			return SPACE_IP;
	}
	return SPACE_L2;
}

static bool points_somewhere(struct json_slice vector)
{
	struct json_walk w = json_walk(vector);

	while (json_step(&w))
		if (json_kind(w.value) == JSON_NUMBER && strtod(w.value.at, NULL) != 0)
			return true;
	return false;
}

static void add(struct probe *p, const struct row *row)
{
	struct json_slice id = row->field[COLUMN_IDS],
	                  vector = row->field[COLUMN_EMBEDDINGS];

	if (!points_somewhere(vector))
		return;
	text_adds(&p->body, p->n > 0 ? "," : "");
	text_add(&p->body, vector.at, vector.len);
	p->at = mem_resize(p->at, (p->n + 1) * sizeof(*p->at));
	memset(&p->at[p->n], 0, sizeof(*p->at));
	p->at[p->n++].id = mem_substring(id.at, id.len);
}

struct probe *probe_create(const struct blob *sample, enum probe_space space)
{
	struct rows rows = rows_of(sample);
	struct probe *p = mem_new(struct probe);

	p->space = space;
	for (size_t k = 0; k < rows.n; k++)
		add(p, &rows.at[k]);
	rows_clear(&rows);
	if (p->n == 0)
		probe_destroy(&p);
	return p;
}

void probe_destroy(struct probe **p)
{
	struct probe *old = *p;

	*p = NULL;
	if (old == NULL)
		return;
	for (size_t k = 0; k < old->n; k++)
		free(old->at[k].id);
	free(old->at);
	text_clear(&old->body);
	free(old);
}

size_t probe_asked(const struct probe *p)
{
	return p->n;
}

struct blob *probe_question(const struct probe *p, unsigned results)
{
	struct text body = {0};
	size_t len;

	text_adds(&body, "{\"query_embeddings\":[");
	text_add(&body, p->body.s, p->body.len);
	text_addf(&body, "],\"n_results\":%u,\"include\":[\"distances\"]}", results);
	len = body.len;
	return blob_adopt(text_detach(&body), len);
}

/* --- answers -------------------------------------------------------------------------
 */

static bool is_among(const char *id, struct json_slice ids)
{
	struct json_walk w = json_walk(ids);
	size_t len = strlen(id);

	while (json_step(&w))
		if (w.value.len == len && memcmp(w.value.at, id, len) == 0)
			return true;
	return false;
}

static double nearest(struct json_slice distances)
{
	struct json_walk w = json_walk(distances);
	double least = INFINITY;

	while (json_step(&w))
		if (json_kind(w.value) == JSON_NUMBER)
			least = fmin(least, strtod(w.value.at, NULL));
	return least;
}

bool probe_take(struct probe *p, unsigned i, const struct blob *answer)
{
	struct columns c = columns_of(blob_bytes(answer), blob_len(answer));
	size_t k = 0;

	for (; columns_next(&c) && k < p->n; k++) {
		p->at[k].found[i] = is_among(p->at[k].id, c.row[COLUMN_IDS]);
		p->at[k].nearest[i] = nearest(c.row[COLUMN_DISTANCES]);
	}
	if (c.wrong != NULL || k != p->n)
		return false;
	p->answered |= 1u << i;
	return true;
}

static double nearest_of_all(const struct probe *p, size_t k)
{
	double least = INFINITY;

	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++)
		if ((p->answered >> i & 1) != 0)
			least = fmin(least, p->at[k].nearest[i]);
	return least;
}

static bool is_found(const struct probe *p, unsigned i, size_t k)
{
	double found = p->at[k].nearest[i], best;

	if (p->at[k].found[i])
		return true;
	switch (p->space) {
	case SPACE_L2:
		return found <= 0;
	case SPACE_COSINE:
		return found <= NEAR_COSINE;
	default:
		best = nearest_of_all(p, k);
		return found <= best + NEAR_IP * fabs(best);
	}
}

size_t probe_missed(const struct probe *p, unsigned i, struct text *to)
{
	size_t n = 0;

	for (size_t k = 0; k < p->n; k++) {
		if (is_found(p, i, k))
			continue;
		n++;
		if (to->len > 0 &&
		    memmem(to->s, to->len, p->at[k].id, strlen(p->at[k].id)) != NULL)
			continue;
		text_adds(to, to->len > 0 ? "," : "");
		text_adds(to, p->at[k].id);
	}
	return n;
}

/* --- the sum -------------------------------------------------------------------------
 */

double probe_recall(const struct probe_score *s)
{
	return s->asked > 0 ? 1 - (double)s->missed / (double)s->asked : 1;
}

/* As good as a new index there: this is what such vectors allow. */
static bool is_as_it_was(const struct probe_score *s)
{
	return s->was < 1 && probe_recall(s) >= s->was - RECALL_APART;
}

/* Of a small collection everything was asked for, and then one vector is enough: a few in
 * a thousand are what a kill takes, and it is soon made anew. */
unsigned probe_damaged(const struct probe_score *scores, unsigned who,
                       enum probe_space space)
{
	double best = 0, apart = space == SPACE_IP ? RECALL_APART_IP : RECALL_APART;
	unsigned damaged = 0;

	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++)
		if ((who >> i & 1) != 0)
			best = fmax(best, probe_recall(&scores[i]));
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++) {
		double recall = probe_recall(&scores[i]);

		if ((who >> i & 1) == 0 || is_as_it_was(&scores[i]))
			continue;
		if (recall < best - apart ||
		    (space != SPACE_IP &&
		     (recall < RECALL_LEAST || (scores[i].all && scores[i].missed > 0))))
			damaged |= 1u << i;
	}
	return damaged;
}
