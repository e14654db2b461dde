/* wal/survey.h - what is there on an instance, and what should be: survey.c, resync.c. */
#ifndef WAL_SURVEY_H
#define WAL_SURVEY_H

#include "wal/heal.h"

/* --- resync.c: what it should have and lacks goes into quarantine ----------------------
 */
#define LOST_PREFIX RESERVED_PREFIX "lost."
typedef void(resync_fn)(void *arg, bool good); /* not good: to be begun again */
void resync_begin(unsigned i, enum identity verdict, const char *why, resync_fn *done,
                  void *arg);
void resync_cancel(unsigned i);

/* --- survey.c: what is there -----------------------------------------------------------
 */
enum survey_step { SURVEY_TENANTS, SURVEY_DATABASES, SURVEY_FIND, SURVEY_LIST };
struct survey_place {
	char *tenant, *name;
};
struct survey_stranger { /* a collection that is not bound there */
	size_t place;
	struct uuid id;
};
struct survey {
	unsigned instance;
	bool makes, finds;
	resync_fn *done;
	void *arg;
	unsigned step; /* enum survey_step */
	size_t at, offset;
	char **tenants;
	size_t n_tenants;
	struct survey_place *places; /* databases; the first n_own are made */
	size_t n_places, n_own;
	struct table known; /* of places */
	struct table there; /* ids of collections */
	struct survey_stranger *strangers;
	size_t n_strangers;
	struct op *pending;
};
void survey_begin(struct survey *s);
void survey_clear(struct survey *s);
void survey_add_place(struct text *target, const struct survey_place *place);
void survey_call(unsigned i, const char *method, const char *target, const char *json,
                 upstream_fn *done, void *arg, struct op **slot);

#endif
