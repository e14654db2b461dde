/* wal/compare.c - pure: see compare.h. */
#include "wal/compare.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/table.h"

#define TOLERANCE 1e-6 /* of the largest component */

/* --- fields ------------------------------------------------------------------------ */

static bool same_bytes(struct json_slice a, struct json_slice b)
{
	return a.len == b.len && memcmp(a.at, b.at, a.len) == 0;
}

static bool is_nothing(struct json_slice v)
{
	return v.at == NULL || json_kind(v) == JSON_NULL_VALUE;
}

static bool same_tree(struct json_slice a, struct json_slice b)
{
	json_t *x = json_loadb(a.at, a.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	json_t *y = json_loadb(b.at, b.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	bool same = x != NULL && y != NULL && json_equal(x, y);

	json_decref(x);
	json_decref(y);
	return same;
}

bool compare_values(struct json_slice a, struct json_slice b)
{
	if (is_nothing(a) || is_nothing(b))
		return is_nothing(a) && is_nothing(b);
	return same_bytes(a, b) || same_tree(a, b);
}

/* Behind a number in a list there is always something that is not of it. */
static double number(struct json_slice v)
{
	return json_kind(v) == JSON_NUMBER ? strtod(v.at, NULL) : NAN;
}

static bool same_numbers(struct json_slice a, struct json_slice b)
{
	struct json_walk x = json_walk(a), y = json_walk(b);
	double largest = 0, apart = 0, p, q;

	while (json_step(&x)) {
		if (!json_step(&y))
			return false;
		p = number(x.value);
		q = number(y.value);
		if (isnan(p) || isnan(q))
			return false;
		largest = fmax(largest, fmax(fabs(p), fabs(q)));
		apart = fmax(apart, fabs(p - q));
	}
	return !json_step(&y) && apart <= TOLERANCE * largest;
}

bool compare_embeddings(struct json_slice a, struct json_slice b)
{
	if (is_nothing(a) || is_nothing(b))
		return is_nothing(a) && is_nothing(b);
	return same_bytes(a, b) || (json_kind(a) == JSON_LIST &&
	                            json_kind(b) == JSON_LIST && same_numbers(a, b));
}

static unsigned compare_fields(const struct json_slice *a, const struct json_slice *b)
{
	unsigned found = ROW_SAME;

	if (!compare_values(a[COLUMN_DOCUMENTS], b[COLUMN_DOCUMENTS]) ||
	    !compare_values(a[COLUMN_URIS], b[COLUMN_URIS]) ||
	    !compare_values(a[COLUMN_METADATAS], b[COLUMN_METADATAS]))
		found |= ROW_CONTENT;
	if (!compare_embeddings(a[COLUMN_EMBEDDINGS], b[COLUMN_EMBEDDINGS]))
		found |= ROW_EMBEDDING;
	return found;
}

unsigned row_compare(const struct row *a, const struct row *b)
{
	return compare_fields(a->field, b->field);
}

/* --- rows by id -------------------------------------------------------------------- */

static size_t *place_of(const struct rows *r, struct json_slice id)
{
	size_t k = table_hash(id.at, id.len) & (r->room - 1);

	while (r->places[k] < r->n &&
	       !same_bytes(r->at[r->places[k]].field[COLUMN_IDS], id))
		k = (k + 1) & (r->room - 1);
	return &r->places[k];
}

static void index_rows(struct rows *r)
{
	r->room = 4;
	while (r->room < 2 * r->n)
		r->room *= 2;
	r->places = mem_array(r->room, sizeof(*r->places));
	for (size_t k = 0; k < r->room; k++)
		r->places[k] = r->n;
	for (size_t k = 0; k < r->n; k++)
		*place_of(r, r->at[k].field[COLUMN_IDS]) = k;
}

struct rows rows_of(const struct blob *answer)
{
	struct columns c = columns_of(blob_bytes(answer), blob_len(answer));
	struct rows r = {0};
	size_t room = 0;

	while (columns_next(&c)) {
		if (r.n == room) {
			room = room > 0 ? 2 * room : 64;
			r.at = mem_resize(r.at, room * sizeof(*r.at));
		}
		memcpy(r.at[r.n++].field, c.row, sizeof(c.row));
	}
	r.sound = c.wrong == NULL;
	if (!r.sound)
		r.n = 0;
	index_rows(&r);
	return r;
}

void rows_clear(struct rows *r)
{
	free(r->at);
	free(r->places);
	*r = (struct rows){0};
}

const struct row *rows_find(const struct rows *r, struct json_slice id)
{
	size_t k = r->n > 0 ? *place_of(r, id) : 0;

	return k < r->n ? &r->at[k] : NULL;
}

/* --- whole answers ----------------------------------------------------------------- */

static bool equal_blobs(const struct blob *a, const struct blob *b)
{
	return blob_len(a) == blob_len(b) &&
	       memcmp(blob_bytes(a), blob_bytes(b), blob_len(a)) == 0;
}

static bool same_rows(const struct rows *a, const struct rows *b)
{
	const struct row *other;

	if (!a->sound || !b->sound || a->n != b->n)
		return false;
	for (size_t k = 0; k < a->n; k++) {
		other = rows_find(b, a->at[k].field[COLUMN_IDS]);
		if (other == NULL || row_compare(&a->at[k], other) != ROW_SAME)
			return false;
	}
	return true;
}

bool compare_items(const struct blob *a, const struct blob *b)
{
	struct rows x, y;
	bool same;

	if (equal_blobs(a, b))
		return true;
	x = rows_of(a);
	y = rows_of(b);
	same = same_rows(&x, &y);
	rows_clear(&x);
	rows_clear(&y);
	return same;
}

bool compare_windows(const struct blob *a, const struct blob *b)
{
	struct columns x = columns_of(blob_bytes(a), blob_len(a));
	struct columns y = columns_of(blob_bytes(b), blob_len(b));

	while (columns_next(&x))
		if (!columns_next(&y) ||
		    !same_bytes(x.row[COLUMN_IDS], y.row[COLUMN_IDS]) ||
		    compare_fields(x.row, y.row) != ROW_SAME)
			return false;
	return !columns_next(&y) && x.wrong == NULL && y.wrong == NULL;
}
