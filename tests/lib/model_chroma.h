/* tests/lib/model_chroma.h - a Chroma in memory, behind fake_upstream: what we send to an
 * instance, executed as Chroma executes it (tested against the facts we measured), one
 * write after the other, and the ways in which it may fail us. */
#ifndef TESTS_LIB_MODEL_CHROMA_H
#define TESTS_LIB_MODEL_CHROMA_H

#include <stdbool.h>
#include <stdint.h>

#include "core/clock.h"
#include "core/text.h"

enum fault {
	FAULT_NONE,
	FAULT_REFUSE,      /* the connection is refused */
	FAULT_LOST_BEFORE, /* the connection breaks; nothing was executed */
	FAULT_LOST_AFTER,  /* executed, then the connection breaks */
	FAULT_500_BEFORE,
	FAULT_500_AFTER,
	FAULT_503_BEFORE,
	FAULT_503_AFTER,   /* by something in front of it */
	FAULT_HANG_BEFORE, /* no answer, ever; nothing was executed */
	FAULT_HANG_AFTER,
	FAULTS
};

struct model;
struct upstream;

struct model *model_create(const char *name);
void model_destroy(struct model **m);
void model_serve(struct model *m, struct upstream *up);

void model_latency(struct model *m, msec most); /* of a write: 1 to `most`; 3 at first */
/* The next `times` calls (probes do not count) go wrong like this. */
void model_fault(struct model *m, enum fault f, unsigned times);
/* Or each is asked about; NULL: no more. */
void model_faults(struct model *m, enum fault (*ask)(void *arg), void *arg);
/* The process is gone; what is under way was executed or not, as `executes` says. */
void model_down(struct model *m, bool executes);
void model_up(struct model *m);
/* Somebody starts it again, so long after its own death; 0 (at first): nobody. */
void model_restarts(struct model *m, msec after);
/* A write whose body contains this ends the process before it has any effect; NULL: none
 * does any more. */
void model_dies_of(struct model *m, const char *marker);
unsigned model_deaths(const struct model *m); /* by such a write */
void model_allow_reset(struct model *m, bool yes);
void model_refuse_ids(struct model *m, bool yes); /* answers 400 to every item write */
/* Answers so to every item write into the collection of that name in the default
 * database; one collection at a time. */
void model_refuse_collection(struct model *m, const char *name, int http, bool yes);
/* The collection of that name in the default database is no longer there. */
void model_drop_behind_our_back(struct model *m, const char *name);
/* That item of the collection of that name is not found by its vector any more. */
void model_lose_vector(struct model *m, const char *name, const char *id);
/* It is found only by a thorough search. */
void model_hide_vector(struct model *m, const char *name, const char *id);
/* Its disk is lost: it is empty, and was never marked. */
void model_wipe(struct model *m);
/* A copy of its disk is made; and is put in the place of its disk. */
void model_save(struct model *m);
void model_restore(struct model *m);
/* It has the disk of another: they are one server. */
void model_become(struct model *m, const struct model *other);
/* What is asked about its marker is answered like this; 0: as it should be. */
void model_marker_answers(struct model *m, int http);
void model_takes_no_marker(struct model *m, bool yes); /* 500 to that write alone */
void model_hides(struct model *m, bool yes);           /* it lists nothing: no answer */
/* "cluster instance beat", or "" */
const char *model_marker(const struct model *m);
/* Collections that were set aside because nobody knows them. */
unsigned model_lost(const struct model *m);
bool model_has_database(const struct model *m, const char *tenant, const char *name);
void model_wedged(struct model *m,
                  bool yes); /* every write is answered 500, reads well */

/* What becomes of a request whose connection is closed, by us or by something in between,
 * before it was executed. At first all that we close are executed, in their place. */
enum late { LATE_NONE, LATE_ITEMS = 1, LATE_CATALOGUE = 2, LATE_ALL = 3 };
struct model_closed {
	unsigned executed; /* percent of those we close; the others have no effect */
	unsigned slow; /* percent of those executed: up to 100 ms later, in their place */
	/* Or something in front of the instance holds it, and hands it over later, out of
	 * its place: so many percent, of such kinds, so much later. */
	unsigned late;
	enum late kinds;
	msec late_least, late_most;
};
void model_closes(struct model *m, const struct model_closed *how);
unsigned model_late(const struct model *m); /* executed out of their place so far */

/* One write without HTTP, for a model that is only compared with; the status it answers.
 * `answer` may be NULL. */
int model_execute(struct model *m, const char *method, const char *target,
                  const char *body, size_t len, struct text *answer);

/* Everything it holds, as text that is equal when the content is equal. Freed by the
 * caller. */
char *model_dump(const struct model *m);
char *model_dump_collection(const struct model *m, const char *local);
/* The writes it has executed, in order: "create docs; add docs a,b; " */
const char *model_trace(const struct model *m);
void model_forget_trace(struct model *m);
unsigned model_calls(const struct model *m); /* without probes */
/* Did a body with this "op" number reach the collection with this local id? */
bool model_has_op(const struct model *m, const char *local, int64_t op);
bool model_has_collection(const struct model *m, const char *local);
/* "a,b,c" of the collection of that name in the default database; NULL: no such */
const char *model_items(const struct model *m, const char *name);
const char *model_collection_id(const struct model *m, const char *name); /* or NULL */
unsigned model_aside(const struct model *m); /* collections with a name of ours */

#endif
