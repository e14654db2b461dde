/* core/job.h - background work of one shape: run, rest, run again; never twice at once.
 */
#ifndef CORE_JOB_H
#define CORE_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "core/clock.h"

struct job;

typedef void(job_run_fn)(struct job *job, void *arg); /* must lead to job_rest() */

struct job_figures {
	const char *name;
	uint64_t runs;
	unsigned failures_in_a_row;
	msec last_duration;
	int64_t last_run_wall_ms; /* 0: never */
	bool running;
};

/* Rests until job_kick() or job_rest(). */
struct job *job_create(const char *name, job_run_fn *run, void *arg);
void job_destroy(struct job **job); /* takes NULL, sets NULL */
void job_rest(struct job *job,
              msec wait);         /* this run is over; the next in wait, +-10 % */
void job_failed(struct job *job); /* this run failed; rest 100 ms x2, 10 s at most */
void job_kick(struct job *job);   /* run now, or once more when the run is over */
struct job_figures job_figures(const struct job *job);
/* Calls each job there is, in order of creation. */
void job_each(void (*fn)(const struct job *job, void *arg), void *arg);

#endif
