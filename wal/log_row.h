/* wal/log_row.h - a row of the log, as recover.c and tail.c read it. */
#ifndef WAL_LOG_ROW_H
#define WAL_LOG_ROW_H

#include "wal/record.h"

/* In this order, first among what is selected FROM chromatid.log l. */
#define LOG_ROW_COLUMNS                                                                  \
	"l.seq, l.kind, l.collection, l.database, l.name, l.old_name, l.body_len,"       \
	" l.embeddings, (extract(epoch FROM l.at) * 1000)::bigint, l.digest, l.trace"
enum {
	LOG_SEQ,
	LOG_KIND,
	LOG_COLLECTION,
	LOG_DATABASE,
	LOG_NAME,
	LOG_OLD_NAME, /* of a rename; of an adoption: from where */
	LOG_BODY_LEN,
	LOG_EMBEDDINGS,
	LOG_AT,
	LOG_DIGEST,
	LOG_TRACE,
	LOG_ROW_N_COLUMNS
};

/* What the log says of a record beside what it was made from. */
void log_row_fill(struct record *r, const struct pg_results *results, int at, int row);

#endif
