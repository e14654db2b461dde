/* core/cli/trial.h - what `chromatid validate` and `chromatid drill` have in common: a
 * run against a system that is in use, of which only the URL is known.
 *
 * Nothing is touched but collections that this run has made. Their names begin with
 * AUTOTEST_ and the name of the run; what is asked of a collection goes by the id that
 * its creation answered, after the name was asked for and gave the same id. */
#ifndef CLI_TRIAL_H
#define CLI_TRIAL_H

#include "core/cli/cli_private.h"

#define TRIAL_PREFIX "AUTOTEST_"
#define TRIAL_ITEMS 60u
#define TRIAL_INSTANCES 8u
#define TRIAL_TIMES 4096u
#define TRIAL_GROUPS 6u

/* What a collection must hold: items 0 .. n-1, each of some version, or deleted. What an
 * item of a version looks like is a function of the two. */
struct trial_model {
	unsigned n;
	unsigned version[TRIAL_ITEMS];
	bool there[TRIAL_ITEMS];
};
void trial_model_add(struct trial_model *m, unsigned n);
unsigned trial_model_count(const struct trial_model *m);
/* The bodies that write it, and the one that reads all of it. */
json_t *trial_body(const struct trial_model *m, unsigned from, unsigned to);
/* NULL if `got`, an answer of `get` with everything, is just that; else the difference
 * (freed by the caller). */
char *trial_difference(const struct trial_model *m, const json_t *got);
double trial_number(unsigned item, unsigned version, unsigned k); /* of an embedding */
void trial_id(char *out, size_t room, unsigned item);

struct trial_collection {
	char name[96];
	char id[40]; /* "": not known */
	bool made;   /* and not removed */
	struct trial_model model;
};

struct trial {
	struct cli *c;
	const char *kind; /* "validate", "drill" */
	char run[48];
	char *log_path;
	FILE *log;
	char *instances[TRIAL_INSTANCES];
	unsigned n_instances;
	bool shares_reads; /* each instance is given some */
	msec timeout_ms;
	void *own; /* of the command */
	/* now */
	const char *step;
	bool failed;
	char *why;
	/* figures */
	json_t *steps, *notes;
	unsigned requests, refused;
	msec times[TRIAL_TIMES]; /* of the first so many */
	unsigned n_times;
	struct trial_collection collections[5]; /* one more than any run makes */
	unsigned n_collections;
};

/* --- trial.c ----------------------------------------------------------------------- */
/* CLI_OK, or what went wrong has been said. */
int trial_start(struct trial *t, struct cli *c, const char *kind);
/* Runs one step, unless an earlier one has failed. */
void trial_step(struct trial *t, const char *name, void (*run)(struct trial *t));
void trial_fail(struct trial *t, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
void trial_note(struct trial *t, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
/* One request, timed and noted in the log. Takes the body. */
bool trial_ask(struct trial *t, const char *method, const char *target, json_t *body,
               struct answer *a);
/* The same, and whatever is not 2xx fails the step. NULL then. */
json_t *trial_get(struct trial *t, const char *target);
json_t *trial_post(struct trial *t, const char *target, json_t *body);
/* Waits a moment; false: it has been too long since `since`, or we are to end. */
bool trial_wait(struct trial *t, msec since);
/* The report, what passed removed; the exit status. */
int trial_end(struct trial *t);

/* --- trial_steps.c: each does one thing, checks it, and fails the trial or not ------ */
void trial_health(struct trial *t);
/* Never NULL. */
struct trial_collection *trial_create(struct trial *t, const char *what);
void trial_add(struct trial *t, struct trial_collection *col, unsigned n);
void trial_update(struct trial *t, struct trial_collection *col);
void trial_delete_by_filter(struct trial *t, struct trial_collection *col);
void trial_delete_ids(struct trial *t, struct trial_collection *col);
void trial_remove(struct trial *t, struct trial_collection *col);
/* A write whose end may be unknown to us: 503 and "pending" is as good as done. */
void trial_write_anyway(struct trial *t, struct trial_collection *col);

/* A read is answered with 503. */
void trial_refused(struct trial *t, const struct trial_collection *col);

/* --- trial_look.c: is it so? ------------------------------------------------------- */
/* Everything, from whoever answers, or from each instance. */
void trial_look(struct trial *t, struct trial_collection *col);
void trial_look_everywhere(struct trial *t, struct trial_collection *col);
void trial_query(struct trial *t, struct trial_collection *col);
void trial_query_everywhere(struct trial *t, struct trial_collection *col);
void trial_mapping(struct trial *t, struct trial_collection *col);
void trial_gone(struct trial *t, struct trial_collection *col);
/* By the proxy itself: POST /admin/verify. */
void trial_compare(struct trial *t, struct trial_collection *col);

#endif
