/* wal/compare.h - pure: answers to the same `get`, from several instances.
 *
 * Equal bytes are equal, and that is what is found nearly always: nothing is parsed then.
 * Where the bytes of a row differ its fields are looked at one by one: the keys of
 * metadata come in another order each time, and embeddings may differ by what copying
 * them through a cosine index changes (measured: 1.2e-7 of the largest component). */
#ifndef WAL_COMPARE_H
#define WAL_COMPARE_H

#include "core/blob.h"
#include "core/columns.h"

struct row {
	struct json_slice field[COLUMNS]; /* .at NULL: there is no such column */
};

/* The rows of an answer, found by id. Slices of the answer, which must stay. */
struct rows {
	struct row *at;
	size_t n;
	size_t *places; /* by the hash of the id; n: free */
	size_t room;
	bool sound; /* else it is no answer to a get, and there is no row */
};

struct rows rows_of(const struct blob *answer);
void rows_clear(struct rows *r);
/* `id` as it stands in an answer, with its quotes. NULL: it is not there. */
const struct row *rows_find(const struct rows *r, struct json_slice id);

enum row_difference {
	ROW_SAME = 0,
	ROW_CONTENT = 1, /* document, URI or metadata */
	ROW_EMBEDDING = 2,
};
/* Both bits may be set. */
unsigned row_compare(const struct row *a, const struct row *b);

/* The same value, however it is written. */
bool compare_values(struct json_slice a, struct json_slice b);
bool compare_embeddings(struct json_slice a, struct json_slice b);

/* The same items; their order does not count (a repair moves one to the end). */
bool compare_items(const struct blob *a, const struct blob *b);
/* The same rows in the same order. */
bool compare_windows(const struct blob *a, const struct blob *b);

#endif
