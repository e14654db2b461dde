/* wal/verify_look.c - pure: what differs between the answers of several instances.
 *
 *   look_question   windows of the same places differ: which of their rows may be why?
 *                   An item that one lacks moves all behind it, so what stands in one
 *                   window only is asked for by its id
 *   look_add        what differs in truth
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "wal/verify_private.h"

const char *const wal_verified_kinds[WAL_VERIFIED_KINDS] = {
        "missing", "content", "embeddings", "order", "settings"};
_Static_assert(LOOK_KINDS == WAL_VERIFIED_KINDS, "each has a name");

void look_clear(struct look *look)
{
	for (size_t k = 0; k < look->n; k++)
		free(look->items[k].id);
	memset(look, 0, sizeof(*look));
}

uint64_t look_total(const struct look *look)
{
	uint64_t n = 0;

	for (unsigned k = 0; k < LOOK_KINDS; k++)
		n += look->found[k];
	return n;
}

/* --- several answers, row by row ---------------------------------------------------- */

struct answers {
	struct rows rows[CONF_MAX_INSTANCES];
	unsigned who, first;
};

static bool has(unsigned who, unsigned i)
{
	return (who >> i & 1) != 0;
}

static struct answers read_all(struct blob *const answers[], unsigned who)
{
	struct answers a = {.who = who, .first = CONF_MAX_INSTANCES};

	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++) {
		if (!has(who, i))
			continue;
		a.rows[i] = rows_of(answers[i]);
		a.first = i < a.first ? i : a.first;
	}
	return a;
}

static void forget_all(struct answers *a)
{
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++)
		rows_clear(&a->rows[i]);
}

static const struct row *find(const struct answers *a, unsigned i, struct json_slice id)
{
	return has(a->who, i) ? rows_find(&a->rows[i], id) : NULL;
}

/* Each id once: where it is met first. */
static bool was_before(const struct answers *a, unsigned i, struct json_slice id)
{
	for (unsigned j = 0; j < i; j++)
		if (find(a, j, id) != NULL)
			return true;
	return false;
}

static bool is_equal_everywhere(const struct answers *a, const struct row *row)
{
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++) {
		const struct row *other = find(a, i, row->field[COLUMN_IDS]);

		if (has(a->who, i) &&
		    (other == NULL || row_compare(row, other) != ROW_SAME))
			return false;
	}
	return true;
}

/* --- which to ask for --------------------------------------------------------------- */

static void add_id(struct text *list, struct json_slice id)
{
	text_adds(list, list->len > 0 ? "," : "");
	text_add(list, id.at, id.len);
}

#define EVERYTHING "\"documents\",\"metadatas\",\"uris\",\"embeddings\""

static struct blob *get_of(struct text *ids, const char *fields)
{
	struct text body = {0};
	size_t len;

	if (ids->len == 0)
		return NULL;
	text_addf(&body, "{\"ids\":[%s],\"include\":[%s]}", text_string(ids), fields);
	text_clear(ids);
	len = body.len;
	return blob_adopt(text_detach(&body), len);
}

static size_t add_suspects(const struct answers *a, unsigned i, size_t most,
                           struct text *ids)
{
	size_t n = 0;

	for (size_t k = 0; k < a->rows[i].n && n < most; k++) {
		const struct row *row = &a->rows[i].at[k];

		if (was_before(a, i, row->field[COLUMN_IDS]) ||
		    is_equal_everywhere(a, row))
			continue;
		add_id(ids, row->field[COLUMN_IDS]);
		n++;
	}
	return n;
}

static bool stands_otherwise(const struct rows *a, const struct rows *b)
{
	const struct row *last = NULL, *other;

	for (size_t k = 0; k < a->n; k++) {
		other = rows_find(b, a->at[k].field[COLUMN_IDS]);
		if (other == NULL)
			continue;
		if (last != NULL && other < last)
			return true;
		last = other;
	}
	return false;
}

static struct blob *question_about(struct blob *const windows[], unsigned who,
                                   size_t most, const char *fields, bool *moved)
{
	struct answers a = read_all(windows, who);
	struct text ids = {0};
	size_t n = 0;

	*moved = false;
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++) {
		if (!has(who, i))
			continue;
		n += add_suspects(&a, i, most - n, &ids);
		*moved = *moved || stands_otherwise(&a.rows[a.first], &a.rows[i]);
	}
	forget_all(&a);
	return get_of(&ids, fields);
}

struct blob *look_question(struct blob *const windows[], unsigned who, size_t most,
                           bool *moved)
{
	return question_about(windows, who, most, EVERYTHING, moved);
}

struct blob *look_question_ids(struct blob *const windows[], unsigned who, bool *moved)
{
	return question_about(windows, who, SIZE_MAX, "", moved);
}

struct blob *look_question_again(const struct look *look)
{
	struct text ids = {0};

	for (size_t k = 0; k < look->n; k++)
		if (look->items[k].id != NULL)
			add_id(&ids, (struct json_slice){look->items[k].id,
			                                 strlen(look->items[k].id)});
	return get_of(&ids, EVERYTHING);
}

bool look_fewer(struct look *look)
{
	size_t named = 0, drop;

	for (size_t k = 0; k < look->n; k++)
		named += look->items[k].id != NULL;
	drop = named - named / 2;
	for (size_t k = look->n; k-- > 0 && drop > 0;) {
		drop -= look->items[k].id != NULL;
		free(look->items[k].id);
		look->items[k].id = NULL;
	}
	return named > 0;
}

/* --- what differs ------------------------------------------------------------------- */

/* Those that have it alike get one number. */
static unsigned group(const struct answers *a, struct json_slice id,
                      unsigned char *numbers)
{
	unsigned found = ROW_SAME;
	unsigned char next = 1;

	memset(numbers, 0, CONF_MAX_INSTANCES);
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++) {
		const struct row *row = find(a, i, id);

		for (unsigned j = 0; row != NULL && j < i && numbers[i] == 0; j++) {
			unsigned apart = numbers[j] != 0
			                         ? row_compare(row, find(a, j, id))
			                         : ROW_SAME;

			if (numbers[j] != 0 && apart == ROW_SAME)
				numbers[i] = numbers[j];
			found |= apart;
		}
		if (row != NULL && numbers[i] == 0)
			numbers[i] = next++;
	}
	return found;
}

static bool is_everywhere(const unsigned char *numbers, unsigned who)
{
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++)
		if (has(who, i) && numbers[i] == 0)
			return false;
	return true;
}

static void add(struct look *look, enum look_kind kind, struct json_slice id,
                const unsigned char *numbers, unsigned right)
{
	struct look_item *item = &look->items[look->n];

	look->found[kind]++;
	if (look->n == LOOK_ITEMS_MOST)
		return;
	look->n++;
	item->id = id.at != NULL ? mem_substring(id.at, id.len) : NULL;
	item->kind = kind;
	item->right = right;
	memcpy(item->group, numbers, sizeof(item->group));
}

static bool is_known(const struct look *look, struct json_slice id)
{
	for (size_t k = 0; k < look->n; k++)
		if (look->items[k].id != NULL && strlen(look->items[k].id) == id.len &&
		    memcmp(look->items[k].id, id.at, id.len) == 0)
			return true;
	return false;
}

/* Windows overlap: what was found once is not counted again. */
static size_t add_different(struct look *look, const struct answers *a,
                            struct json_slice id)
{
	unsigned char numbers[CONF_MAX_INSTANCES];
	unsigned apart = group(a, id, numbers);
	bool missing = !is_everywhere(numbers, a->who);

	if (!missing && apart == ROW_SAME)
		return 0;
	if (!is_known(look, id))
		add(look,
		    missing                      ? LOOK_MISSING
		    : (apart & ROW_CONTENT) != 0 ? LOOK_CONTENT
		                                 : LOOK_EMBEDDING,
		    id, numbers, 0);
	return 1;
}

size_t look_add(struct look *look, struct blob *const answers[], unsigned who)
{
	struct answers a = read_all(answers, who);
	size_t n = 0;

	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++) {
		for (size_t k = 0; has(who, i) && k < a.rows[i].n; k++) {
			struct json_slice id = a.rows[i].at[k].field[COLUMN_IDS];

			if (!was_before(&a, i, id))
				n += add_different(look, &a, id);
		}
	}
	forget_all(&a);
	return n;
}

void look_add_whole(struct look *look, enum look_kind kind, const unsigned char *numbers,
                    unsigned right)
{
	add(look, kind, (struct json_slice){NULL, 0}, numbers, right);
}

/* --- the collection itself ---------------------------------------------------------- */

static bool is_nothing(const json_t *v)
{
	return v == NULL || json_is_null(v) ||
	       (json_is_object(v) && json_object_size(v) == 0);
}

static bool same_member(const json_t *a, const json_t *b)
{
	return (is_nothing(a) && is_nothing(b)) || json_equal(a, b);
}

/* Its id is of that instance; its schema knows every key that was ever written, which a
 * copy of what is there now does not. */
static bool same_shape(const json_t *a, const json_t *b)
{
	static const char *const keys[] = {"name", "metadata", "configuration_json",
	                                   "tenant", "database"};
	const json_t *x, *y;

	for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++)
		if (!same_member(json_object_get(a, keys[k]),
		                 json_object_get(b, keys[k])))
			return false;
	x = json_object_get(a, "dimension");
	y = json_object_get(b, "dimension");
	return !json_is_integer(x) || !json_is_integer(y) || json_equal(x, y);
}

static bool is_called(const json_t *shape, const char *name)
{
	const char *says = json_string_value(json_object_get(shape, "name"));

	return says != NULL && strcmp(says, name) == 0;
}

bool look_shapes(struct blob *const answers[], unsigned who, const char *name,
                 unsigned char *numbers, unsigned *right)
{
	json_t *shapes[CONF_MAX_INSTANCES] = {NULL};
	unsigned char next = 1;

	memset(numbers, 0, CONF_MAX_INSTANCES);
	*right = 0;
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++) {
		if (!has(who, i))
			continue;
		shapes[i] = json_loadb(blob_bytes(answers[i]), blob_len(answers[i]),
		                       JSON_ALLOW_NUL, NULL);
		*right |= (unsigned)is_called(shapes[i], name) << i;
		for (unsigned j = 0; j < i && numbers[i] == 0; j++)
			if (has(who, j) && same_shape(shapes[j], shapes[i]))
				numbers[i] = numbers[j];
		if (numbers[i] == 0)
			numbers[i] = next++;
	}
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++)
		json_decref(shapes[i]);
	if (*right == who)
		*right = 0;
	return next > 2;
}
