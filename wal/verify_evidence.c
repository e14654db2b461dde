/* wal/verify_evidence.c - pure: what the log says of items that differ.
 *
 * Its records are taken from the latest to older ones. The first that names an item
 * decides: a delete, that who lacks it is right; an add or upsert, that who has it is,
 * and among those who has what it wrote; an update only the latter, for it does nothing
 * to an item that is not there. If it tells nobody from the others, the log is silent:
 * what older records wrote may have been written over. */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/table.h"
#include "core/text.h"
#include "wal/verify_private.h"

struct witness {
	struct look_item *item;
	bool silent;   /* the log has spoken, or never will */
	bool updated;  /* later than what comes now: only who has it is asked any more */
	unsigned have; /* who has it */
	struct row rows[CONF_MAX_INSTANCES];
};

struct evidence {
	struct witness witnesses[LOOK_ITEMS_MOST];
	size_t n, left;
	unsigned who;
	struct table by_id; /* of its meaning */
	struct rows rows[CONF_MAX_INSTANCES];
};

static void add_witness(struct evidence *e, struct look_item *item)
{
	size_t len = strlen(item->id);
	char *id = json_text((struct json_slice){item->id, len}, NULL);
	struct witness *w = &e->witnesses[e->n];
	const struct row *row;

	if (id == NULL)
		return;
	w->item = item;
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++) {
		row = rows_find(&e->rows[i], (struct json_slice){item->id, len});
		if (row == NULL)
			continue;
		w->rows[i] = *row;
		w->have |= 1u << i;
	}
	table_put(&e->by_id, id, w);
	e->n++;
	e->left++;
	free(id);
}

struct evidence *evidence_create(struct look *look, struct blob *const answers[],
                                 unsigned who)
{
	struct evidence *e = mem_new(struct evidence);

	e->who = who;
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++)
		if ((who >> i & 1) != 0)
			e->rows[i] = rows_of(answers[i]);
	for (size_t k = 0; k < look->n; k++)
		if (look->items[k].id != NULL)
			add_witness(e, &look->items[k]);
	return e;
}

void evidence_destroy(struct evidence **e)
{
	struct evidence *old = *e;

	*e = NULL;
	if (old == NULL)
		return;
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++)
		rows_clear(&old->rows[i]);
	table_clear(&old->by_id);
	free(old);
}

/* --- what a record has written ------------------------------------------------------ */

struct written {
	struct json_slice document, metadata, uri, embedding;
};

static bool is_given(struct json_slice v)
{
	return v.at != NULL && json_kind(v) != JSON_NULL_VALUE;
}

/* Clients may escape what an answer does not, and the other way round. */
static bool same_text(struct json_slice a, struct json_slice b)
{
	char *x = json_text(a, NULL), *y = json_text(b, NULL);
	bool same = x != NULL && y != NULL && strcmp(x, y) == 0;

	free(x);
	free(y);
	return same;
}

static bool same_value(struct json_slice a, struct json_slice b)
{
	return compare_values(a, b) || same_text(a, b);
}

/* Keys are merged; null takes one away. */
static bool has_metadata(struct json_slice have, struct json_slice wrote)
{
	struct json_walk w = json_walk(wrote);
	struct json_slice value;
	char *key;

	while (json_step(&w)) {
		key = json_text(w.key, NULL);
		value = key != NULL ? json_member(have, key) : (struct json_slice){0};
		free(key);
		if (is_given(w.value) != is_given(value) ||
		    (is_given(value) && !same_value(value, w.value)))
			return false;
	}
	return true;
}

static int digit64(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Base64 of 32 bit floats, as the clients send it, as a list. False: it is not that. */
static bool list_of(struct json_slice v, struct text *out)
{
	unsigned char bytes[sizeof(float)];
	unsigned bits = 0, n_bits = 0;
	size_t n = 0;
	float f;

	text_addc(out, '[');
	for (size_t k = 1; k + 1 < v.len && v.at[k] != '='; k++) {
		int digit = digit64(v.at[k]);

		if (digit < 0)
			return false;
		bits = bits << 6 | (unsigned)digit;
		n_bits += 6;
		if (n_bits < 8)
			continue;
		n_bits -= 8;
		bytes[n++] = (unsigned char)(bits >> n_bits);
		if (n < sizeof(bytes))
			continue;
		memcpy(&f, bytes, sizeof(f));
		text_addf(out, "%s%.9g", out->len > 1 ? "," : "", (double)f);
		n = 0;
	}
	text_addc(out, ']');
	return n == 0;
}

static bool has_embedding(struct json_slice have, struct json_slice wrote)
{
	struct text list = {0};
	bool same;

	if (json_kind(wrote) != JSON_TEXT)
		return compare_embeddings(have, wrote);
	same = list_of(wrote, &list) &&
	       compare_embeddings(have, (struct json_slice){list.s, list.len});
	text_clear(&list);
	return same;
}

static bool has_what_was_written(const struct row *row, const struct written *w)
{
	return (!is_given(w->document) ||
	        same_value(row->field[COLUMN_DOCUMENTS], w->document)) &&
	       (!is_given(w->uri) || same_value(row->field[COLUMN_URIS], w->uri)) &&
	       (!is_given(w->metadata) ||
	        has_metadata(row->field[COLUMN_METADATAS], w->metadata)) &&
	       (!is_given(w->embedding) ||
	        has_embedding(row->field[COLUMN_EMBEDDINGS], w->embedding));
}

static unsigned those_that_have(const struct witness *w, const struct written *wrote)
{
	unsigned right = 0;

	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++)
		if ((w->have >> i & 1) != 0 && has_what_was_written(&w->rows[i], wrote))
			right |= 1u << i;
	return right;
}

/* --- a record ------------------------------------------------------------------------
 */

static void settle(struct evidence *e, struct witness *w, unsigned right)
{
	w->silent = true;
	e->left--;
	if (right != 0 && right != e->who)
		w->item->right = right;
}

/* Only among those that have it, and who lacks it may still be right. */
static void was_updated(struct evidence *e, struct witness *w, unsigned right)
{
	if (w->updated)
		return;
	w->updated = true;
	if (right != 0 && right != w->have)
		settle(e, w, right);
}

static void was_named(struct evidence *e, struct witness *w, enum record_kind kind,
                      const struct written *wrote)
{
	unsigned right;

	if (kind == RECORD_DELETE || kind == RECORD_DELETE_WHERE) {
		settle(e, w, e->who & ~w->have);
		return;
	}
	right = those_that_have(w, wrote);
	if (kind == RECORD_UPDATE)
		was_updated(e, w, right);
	else
		settle(e, w, right != 0 && !w->updated ? right : w->have);
}

static struct json_walk list(struct json_slice body, const char *key)
{
	return json_walk(json_member(body, key));
}

static struct json_slice next(struct json_walk *w)
{
	return json_step(w) ? w->value : (struct json_slice){NULL, 0};
}

bool evidence_take(struct evidence *e, enum record_kind kind, const char *body,
                   size_t len)
{
	struct json_slice whole = json_whole(body, len);
	struct json_walk ids = list(whole, "ids"), documents = list(whole, "documents"),
	                 metadatas = list(whole, "metadatas"), uris = list(whole, "uris"),
	                 embeddings = list(whole, "embeddings");

	while (e->left > 0 && json_step(&ids)) {
		struct written wrote = {.document = next(&documents),
		                        .metadata = next(&metadatas),
		                        .uri = next(&uris),
		                        .embedding = next(&embeddings)};
		char *id = json_text(ids.value, NULL);
		struct witness *w = id != NULL ? table_get(&e->by_id, id) : NULL;

		free(id);
		if (w != NULL && !w->silent)
			was_named(e, w, kind, &wrote);
	}
	return e->left > 0;
}
