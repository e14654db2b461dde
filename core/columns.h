/* core/columns.h - pure: the rows of an answer that Chroma gives in columns.
 *
 * To get and query it answers with one object of lists, {"ids":[...],"documents":[...],
 * ...}; the k-th of each list together are a row. (Of a query a row is what was found for
 * one embedding, itself a list in each column.) The columns are walked side by side:
 *
 *	struct columns c = columns_of(text, len);
 *	while (columns_next(&c))
 *		... c.row[COLUMN_IDS], c.row[COLUMN_DOCUMENTS] ...
 *	if (c.wrong != NULL)
 *		it was no such answer, or ended otherwise than it should
 *
 * Nothing is copied and nothing allocated, whatever the size; the slices are of the text.
 * It is looked at three times in all: is it sound, where are the columns, the rows. */
#ifndef CORE_COLUMNS_H
#define CORE_COLUMNS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/json_scan.h"

enum column {
	COLUMN_IDS,
	COLUMN_EMBEDDINGS,
	COLUMN_DOCUMENTS,
	COLUMN_URIS,
	COLUMN_METADATAS,
	COLUMN_DISTANCES,
	COLUMNS
};

struct columns {
	struct json_slice row[COLUMNS];   /* .at == NULL: there is no such column */
	size_t rows;                      /* walked so far, this one too */
	const char *wrong;                /* NULL, or what is; then there is no row */
	struct json_slice lists[COLUMNS]; /* .at == NULL: absent, or null */
	struct json_slice include;        /* as it stands there; it is no column */
	struct json_walk walks[COLUMNS];
};

/* "ids" must be there. A key that is not known must be null, and none is there twice. */
struct columns columns_of(const char *text, size_t len);
/* The next row. That the lists are not equally long is known at the end of the shortest.
 */
bool columns_next(struct columns *c);

#endif
