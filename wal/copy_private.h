/* wal/copy_private.h - what the files of a copy share.
 *
 *   copy.c          its life; one call after the other; copy_check()
 *   copy_make.c     the new collection
 *   copy_walk.c     items, in the donor's order, behind the last one that the target has
 *   copy_items.c    all of them
 *   copy_touched.c  what was touched meanwhile
 *   copy_install.c  one collection in the place of another
 *   copy_calls.c    pure: paths and bodies
 *   touched.c       what the log says was touched
 */
#ifndef WAL_COPY_PRIVATE_H
#define WAL_COPY_PRIVATE_H

#include <jansson.h>

#include "core/columns.h"
#include "core/json_scan.h"
#include "core/shape.h"
#include "core/text.h"
#include "core/timer.h"
#include "wal/copy.h"
#include "wal/ids.h"

/* So many at once; fewer in tests. */
struct copy_sizes {
	size_t window; /* ids of which the donor tells the order */
	size_t page;   /* items */
	size_t tail;   /* ids at the end, for a start */
	size_t deletes;
};
extern struct copy_sizes copy_sizes;

/* --- touched.c: which ids the log names ----------------------------------------------
 */
struct touched {
	int64_t collection;
	int donor_id;
	wal_seq seen;          /* read up to here */
	wal_seq executed;      /* by the donor, before the last reading: at least that */
	struct text ids;       /* ["a","b",... each once */
	struct id_set all;     /* the same */
	struct id_set deleted; /* those that some record deletes; noted: the last one */
	bool modified;         /* the collection itself, too */

	bool only_deletes;  /* of the reading under way ... */
	wal_seq end, reach; /* ... how far it goes, and its page */
	bool end_known, held_back;
	struct touched_record *found;
	size_t n_found, at;
	struct op *pending;
	void (*done)(void *arg, enum status s, const char *why);
	void *arg;
};
typedef void(touched_fn)(void *arg, enum status s, const char *why);

/* The donor has executed everything up to `from` at least. */
void touched_begin(struct touched *t, const struct copy_spec *spec, wal_seq from);
/* Reads on, to where the log ends now. STATUS_CONFLICT: more than can be kept. */
void touched_read(struct touched *t, bool only_deletes, touched_fn *done, void *arg);
void touched_clear(struct touched *t); /* may come twice; stops a reading */

/* --- copy.c --------------------------------------------------------------------------
 */
typedef void(answer_fn)(struct copy *c, const struct reply *reply);
typedef void(copy_step)(struct copy *c);

/* Answers that the asker wants to hear of; others that are not 2xx end the step. */
enum expects {
	EXPECT_400 = 1,
	EXPECT_404 = 2,
	EXPECT_409 = 4,
	EXPECT_TAKEN = 8, /* 500: the name is taken */
	EXPECT_TOO_LARGE = 16,
};

struct ask {
	unsigned instance;
	const char *method;
	struct text target;
	struct blob *body; /* NULL: none */
	size_t most;       /* of the answer; 0: little */
	unsigned expects;
	unsigned tries; /* so far, without an answer that means anything */
};

struct walk {
	copy_step *then;
	bool rests;        /* as long as clients need the instances */
	uint64_t offset;   /* the window begins there, in the donor's order */
	size_t room;       /* ids in a window, at most */
	struct id_set had; /* of those before it, some that the target has ... */
	wal_seq had_since; /* ... and read when the donor had come that far */
	unsigned retreats; /* in a row: it was not to be found */
	uint64_t furthest;
	struct blob *window;  /* its ids */
	size_t rows;          /* so many */
	struct json_walk ids; /* those that are not copied yet */
	struct json_walk page_began;
	size_t in_page, at_once;            /* items */
	wal_seq executed;                   /* by the donor, before the window was read */
	uint64_t at;                        /* position of the next */
	uint64_t donor_calls, target_calls; /* of others, before the page ... */
	uint64_t began_us, got_us;          /* ... and when that was */
};

struct copy {
	struct copy_spec spec;
	char *tenant, *database;
	struct copy_progress progress;
	copy_fn *done; /* NULL: no step is under way */
	void *arg;
	struct ask ask;
	answer_fn *then;
	struct op *pending;
	struct timer rest;

	/* of the step under way */
	wal_seq base, upto;
	unsigned number; /* of a leftover, or a form */
	bool holder_made;
	json_t *shape; /* of the donor's */
	char *name;
	struct uuid old;
	copy_step *next, *after_dimension;
	struct touched touched;
	struct walk walk;
	struct id_set tail;    /* behind the last that is not touched */
	struct json_walk left; /* touched ids that were not looked at yet */
	struct text page;      /* some of them */
	struct text going;     /* ids to delete at the target */
	size_t n_going;
	size_t tail_most;
	struct blob *window, *answer;
};

/* Takes over the text and the body of `ask`. */
void copy_ask(struct copy *c, struct ask *ask, answer_fn *then);
/* The step is over; nothing of it is left, and `c` may be gone. */
void copy_end(struct copy *c, enum status s, const char *why);
void copy_begin(struct copy *c, copy_fn *done, void *arg);
void copy_after(struct copy *c, msec wait, copy_step *next);
/* {"count":n} is a number alone; false: it is not, and the step is over. */
bool copy_count_from(struct copy *c, const struct reply *reply, uint64_t *n);
bool copy_shape_from(struct copy *c, const struct reply *reply, json_t **shape);
void copy_ask_shape(struct copy *c, bool donor, answer_fn *then);
void copy_ask_count(struct copy *c, bool donor, answer_fn *then);
/* What has the dimension gets it from one item, which goes again. */
void copy_set_dimension(struct copy *c, int64_t dimension, copy_step *next);

/* --- copy_walk.c ---------------------------------------------------------------------
 */
/* Everything behind the last of `walk.had` is added at the target. It is looked for at
 * walk.offset and before; offset 0: all, from the beginning. */
void walk_begin(struct copy *c, bool rests, copy_step *then);
void walk_clear(struct walk *w);

/* --- copy_calls.c: pure --------------------------------------------------------------
 */
#define COPY_ALL_COLUMNS "[\"embeddings\",\"documents\",\"metadatas\",\"uris\"]"
void copy_path_collections(struct text *to, const struct copy *c);
void copy_path_database(struct text *to, const struct copy *c, bool name);
void copy_path_named(struct text *to, const struct copy *c, const char *name);
/* `verb`: "/get", ... or "" */
void copy_path_of(struct text *to, const struct copy *c, const struct uuid *id,
                  const char *verb);
char *copy_name(const struct copy *c, const char *what, unsigned attempt);
struct blob *copy_text_blob(struct text *text);             /* takes it over */
struct blob *copy_named(const char *key, const char *name); /* {key:name} */
struct blob *copy_window(uint64_t offset, size_t most);
/* Takes up to `most` ids; NULL: none is left. */
struct blob *copy_page(struct json_walk *ids, size_t most, size_t *n);
struct blob *copy_ids(const struct text *ids); /* {"ids":[...]} */
/* Out of the answer to a `get`; .at == NULL: it is none. */
struct json_slice copy_ids_of(const struct blob *answer);
/* The items of the donor's answer that the target has otherwise, as an update; NULL: it
 * has none otherwise. *why: it cannot be done by an update. */
struct blob *copy_changes(const struct blob *donor, const struct blob *target,
                          const char **why);

#endif
