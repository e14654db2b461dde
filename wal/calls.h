/* wal/calls.h - what goes in a call to an instance: batch.c, merge.c, calls.c. */
#ifndef WAL_CALLS_H
#define WAL_CALLS_H

#include "wal/record.h"
#include "wal/scope.h"

/* --- batch.c: which records go in one call -------------------------------------------
 */
struct batch {
	struct record **records; /* the head of the lane first */
	size_t n;
	unsigned instance;
	size_t reads;      /* bytes from the log */
	bool *asked;       /* whose bodies are being read from the log; NULL: nobody's */
	struct blob *body; /* of all of them; NULL: one goes, with its own */
};
void batch_start(const struct conf *conf);
/* Bodies that only wait for a lagging instance are let go then, and read from the log
 * again when their turn comes. */
bool batch_memory_is_short(void);
bool batch_may_read(const struct batch *b); /* the body of its head, if it is not here */
void batch_begin(struct batch *b, struct record *head, unsigned i);
void batch_gather(struct batch *b);
void batch_part(struct batch *b, size_t from); /* these do not go along */
/* A unit that reads the bodies that are not in memory; NULL: all are. Its results. */
struct pg_unit *batch_bodies(struct batch *b);
bool batch_take_bodies(struct batch *b, const struct pg_results *results);
void batch_merge(struct batch *b);
void batch_clear(struct batch *b);
/* How many may go in one call of that lane. */
unsigned batch_most(const struct lane *lane);
void batch_worked(const struct record *head, unsigned i, size_t n);
void batch_failed(const struct record *head, unsigned i, size_t n);
struct blob *batch_answer(const struct record *r);

/* --- merge.c: pure: several bodies as one --------------------------------------------
 */
#define MERGE_LISTS 5
struct merge_part {
	struct json_slice lists[MERGE_LISTS]; /* absent, or null: .at is NULL */
	unsigned shape;
	unsigned seen; /* keys, null or not */
	size_t items;
};
struct merge {
	struct merge_part *parts; /* slices of the bodies, which must stay */
	size_t n, items, bytes;
	struct id_set ids;
};
void merge_begin(struct merge *m);
/* False: it does not fit behind the others (or is not understood). */
bool merge_add(struct merge *m, enum record_kind kind, const struct blob *body);
struct blob *merge_body(const struct merge *m);
void merge_clear(struct merge *m);

/* --- calls.c: pure: what to send --------------------------------------------------- */
struct prepared {
	const char *method;
	struct text target;
	struct blob *body; /* a reference of its own, or NULL */
	bool repeatable;
};
/* `merged`: the body of several; NULL: its own. */
void prepare_item(struct prepared *p, const struct record *r, unsigned i,
                  struct blob *merged);
void prepare_resolve(struct prepared *p, const struct record *r, unsigned i);
void prepare_create(struct prepared *p, const struct record *r);
void prepare_find_created(struct prepared *p, const struct record *r);
void prepare_modify(struct prepared *p, const struct record *r, unsigned i);
void prepare_set_aside(struct prepared *p, const struct record *r, unsigned i);
void prepare_delete(struct prepared *p, const struct record *r, unsigned i);
void prepare_reset(struct prepared *p);
/* A `get` of what a write has named: the first `most` of its ids, with their embeddings
 * if they are no more than `embedded`. NULL: it names none. */
struct blob *question_about(const char *body, size_t len, size_t most, size_t embedded);
void prepare_get(struct prepared *p, const struct collection *c, unsigned i,
                 struct blob *question);
/* A question about a collection: GET without a body, else POST; `verb` with its slash. */
void prepare_question_about(struct prepared *p, const struct collection *c, unsigned i,
                            const char *verb, struct blob *body);
void prepare_shape(struct prepared *p, const struct collection *c, unsigned i);
void prepared_clear(struct prepared *p);
/* {"ids":[...]} out of the answer to prepare_resolve(); NULL: not understood */
struct blob *resolved_from(const struct blob *answer, size_t *count);

#endif
