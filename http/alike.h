/* http/alike.h - pure: reads that one call can answer together.
 *
 * Chroma takes several embeddings in a query and several ids in a get. Two bodies that
 * are equal but for what stands in that one list are asked as one, with both lists
 * joined, and the answer is taken apart again: as text, no number is read. Counts are
 * asked once for all.
 *
 * What is not exactly as expected is not alike anything; it is asked alone. */
#ifndef HTTP_ALIKE_H
#define HTTP_ALIKE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/blob.h"
#include "core/json_scan.h"
#include "http/route.h"

#define ALIKE_MOST 32u        /* reads in a call */
#define ALIKE_ROWS_MOST 1024u /* ids or embeddings in a call */

/* One read taken apart; the slices are of its body. */
struct alike {
	enum route_verb verb;
	struct json_slice before, inside, after; /* what stands around and in the list */
	size_t rows;                             /* elements of the list */
	size_t width;                            /* of each embedding */
};

/* False: it must be asked alone. */
bool alike_take(struct alike *a, enum route_verb verb, const struct blob *body);
bool alike_same(const struct alike *a, const struct alike *b);
/* One body for all; NULL for counts, which have none. */
struct blob *alike_body(const struct alike *const reads[], size_t n);
/* What each would have been answered alone, into parts[n], to be given back. False, and
 * no parts: this is not the answer to all of them, or the parts are too large. */
bool alike_split(const struct alike *const reads[], size_t n, struct blob *answer,
                 struct blob *parts[]);

#endif
