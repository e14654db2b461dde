/* http/alike_split.c - the answer to several reads taken apart.
 *
 *   whose_rows   which rows are whose: of a query as many as each has sent embeddings, in
 *                order; of a get those with an id that was asked for, in the order of the
 *                answer, which is not the order they were asked in
 *   write_part   all of the answer as it stands there, with these rows only
 * When it does not go well: a row nobody has asked for, or of a query one too many or too
 * few, is an answer to something else, and nobody gets any of it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/columns.h"
#include "core/mem.h"
#include "core/table.h"
#include "core/text.h"
#include "http/alike.h"

#define PARTS_MOST ((size_t)8 * 1024 * 1024) /* bytes, all of them together */

typedef uint32_t readers; /* a bit for each read */

_Static_assert(ALIKE_MOST <= 32, "a bit for each read");

struct row {
	struct json_slice cells[COLUMNS];
	readers whose;
};

struct split {
	const struct alike *const *reads;
	size_t n;
	struct columns columns;
	enum column order[COLUMNS]; /* of the lists, as they stand in the text */
	size_t n_order;
	const char *text;
	size_t len;
	struct row *rows;
	size_t n_rows, most_rows;
	struct table wanted; /* of a get: what bits each id has */
	readers *bits;       /* that the table points to */
	size_t n_bits;
};

/* --- who wants which id ---------------------------------------------------------- */

static bool want(struct split *s, struct json_slice id, readers bit)
{
	char *text = json_text(id, NULL);
	readers *bits;

	if (text == NULL)
		return false;
	bits = table_get(&s->wanted, text);
	if (bits == NULL) {
		bits = &s->bits[s->n_bits++];
		table_put(&s->wanted, text, bits);
	}
	*bits |= bit;
	free(text);
	return true;
}

/* The list once more, with its brackets. */
static struct json_slice list_of(const struct alike *a)
{
	return (struct json_slice){a->inside.at - 1, a->inside.len + 2};
}

static bool list_wanted(struct split *s)
{
	s->bits = mem_array(s->most_rows, sizeof(*s->bits));
	for (size_t k = 0; k < s->n; k++) {
		struct json_walk w = json_walk(list_of(s->reads[k]));

		while (json_step(&w))
			if (!want(s, w.value, (readers)1 << k))
				return false;
	}
	return true;
}

/* --- whose rows ------------------------------------------------------------------ */

static readers who_wants(struct split *s, struct json_slice id)
{
	char *text = json_text(id, NULL);
	readers *bits = text != NULL ? table_get(&s->wanted, text) : NULL;

	free(text);
	return bits != NULL ? *bits : 0;
}

/* The row-th embedding of all. */
static readers who_sent(const struct split *s, size_t row)
{
	for (size_t k = 0; k < s->n; k++) {
		if (row < s->reads[k]->rows)
			return (readers)1 << k;
		row -= s->reads[k]->rows;
	}
	return 0;
}

/* In the answer to a query a row is a list in every column. */
static bool are_lists(const struct json_slice *cells)
{
	for (int k = 0; k < COLUMNS; k++)
		if (cells[k].at != NULL && json_kind(cells[k]) != JSON_LIST)
			return false;
	return true;
}

static bool take_row(struct split *s, bool query)
{
	const struct json_slice *cells = s->columns.row;
	struct row *row = &s->rows[s->n_rows];

	if (s->n_rows == s->most_rows || (query && !are_lists(cells)))
		return false;
	row->whose = query ? who_sent(s, s->n_rows) : who_wants(s, cells[COLUMN_IDS]);
	memcpy(row->cells, cells, sizeof(row->cells));
	s->n_rows++;
	return row->whose != 0;
}

static bool whose_rows(struct split *s)
{
	bool query = s->reads[0]->verb == VERB_QUERY;

	if (!query && !list_wanted(s))
		return false;
	s->columns = columns_of(s->text, s->len);
	s->rows = mem_array(s->most_rows, sizeof(*s->rows));
	while (columns_next(&s->columns))
		if (!take_row(s, query))
			return false;
	return s->columns.wrong == NULL && (!query || s->n_rows == s->most_rows);
}

/* --- a part ---------------------------------------------------------------------- */

static void order_lists(struct split *s)
{
	const struct json_slice *lists = s->columns.lists;
	size_t at;

	for (enum column k = 0; k < COLUMNS; k++) {
		if (lists[k].at == NULL)
			continue;
		for (at = s->n_order++; at > 0; at--) {
			if (lists[s->order[at - 1]].at < lists[k].at)
				break;
			s->order[at] = s->order[at - 1];
		}
		s->order[at] = k;
	}
}

static void write_cells(const struct split *s, struct text *to, enum column k,
                        readers bit)
{
	bool first = true;

	for (size_t r = 0; r < s->n_rows; r++) {
		if ((s->rows[r].whose & bit) == 0)
			continue;
		if (!first)
			text_addc(to, ',');
		first = false;
		text_add(to, s->rows[r].cells[k].at, s->rows[r].cells[k].len);
	}
}

static struct blob *write_part(const struct split *s, readers bit)
{
	const char *from = s->text;
	struct text part = {0};
	size_t len;

	text_reserve(&part, s->len / s->n + 256);
	for (size_t k = 0; k < s->n_order; k++) {
		const struct json_slice *list = &s->columns.lists[s->order[k]];

		text_add(&part, from, (size_t)(list->at + 1 - from));
		write_cells(s, &part, s->order[k], bit);
		from = list->at + list->len - 1;
	}
	text_add(&part, from, (size_t)(s->text + s->len - from));
	len = part.len;
	return blob_adopt(text_detach(&part), len);
}

static bool write_parts(struct split *s, struct blob *parts[])
{
	size_t bytes = 0;

	order_lists(s);
	for (size_t k = 0; k < s->n; k++) {
		parts[k] = write_part(s, (readers)1 << k);
		bytes += blob_len(parts[k]);
		if (bytes <= PARTS_MOST)
			continue;
		for (size_t i = 0; i <= k; i++)
			blob_unref(&parts[i]);
		return false;
	}
	return true;
}

/* --- all of it ------------------------------------------------------------------- */

static bool share_count(size_t n, struct blob *answer, struct blob *parts[])
{
	struct json_slice whole = json_whole(blob_bytes(answer), blob_len(answer));

	if (json_kind(whole) != JSON_NUMBER)
		return false;
	for (size_t k = 0; k < n; k++)
		parts[k] = blob_ref(answer);
	return true;
}

bool alike_split(const struct alike *const reads[], size_t n, struct blob *answer,
                 struct blob *parts[])
{
	struct split s = {.reads = reads, .n = n};
	bool done;

	if (reads[0]->verb == VERB_COUNT)
		return share_count(n, answer, parts);
	s.text = blob_bytes(answer);
	s.len = blob_len(answer);
	for (size_t k = 0; k < n; k++)
		s.most_rows += reads[k]->rows;
	done = whose_rows(&s) && write_parts(&s, parts);
	table_clear(&s.wanted);
	free(s.bits);
	free(s.rows);
	return done;
}
