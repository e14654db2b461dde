/* core/job.c - background work: run, rest, run again. */
#include "core/job.h"

#include <stdlib.h>
#include <sys/queue.h>

#include "core/mem.h"
#include "core/random.h"
#include "core/timer.h"

#define BACKOFF_FIRST 100u
#define BACKOFF_MOST 10000u

struct job {
	const char *name;
	job_run_fn *run;
	void *arg;
	struct timer wake;
	bool running;
	bool again; /* kicked while running */
	msec started;
	struct job_figures figures;
	TAILQ_ENTRY(job) link;
};

static TAILQ_HEAD(job_list, job) jobs = TAILQ_HEAD_INITIALIZER(jobs);

static void on_wake(void *arg)
{
	struct job *job = arg;

	job->running = true;
	job->again = false;
	job->started = clock_ms();
	job->figures.runs++;
	job->figures.last_run_wall_ms = clock_wall_ms();
	job->run(job, job->arg);
}

struct job *job_create(const char *name, job_run_fn *run, void *arg)
{
	struct job *job = mem_new(struct job);

	job->name = name;
	job->run = run;
	job->arg = arg;
	TAILQ_INSERT_TAIL(&jobs, job, link);
	return job;
}

void job_destroy(struct job **job)
{
	struct job *old = *job;

	*job = NULL;
	if (old == NULL)
		return;
	timer_stop(&old->wake);
	TAILQ_REMOVE(&jobs, old, link);
	free(old);
}

static void sleep_for(struct job *job, msec wait)
{
	job->running = false;
	if (job->figures.runs > 0) /* else: it rests first */
		job->figures.last_duration = clock_ms() - job->started;
	timer_start(&job->wake, job->again ? 0 : random_jitter(wait), on_wake, job);
}

void job_rest(struct job *job, msec wait)
{
	job->figures.failures_in_a_row = 0;
	sleep_for(job, wait);
}

void job_failed(struct job *job)
{
	unsigned n = job->figures.failures_in_a_row++;
	msec wait = n < 7 ? (msec)BACKOFF_FIRST << n : BACKOFF_MOST;

	sleep_for(job, wait < BACKOFF_MOST ? wait : BACKOFF_MOST);
}

void job_kick(struct job *job)
{
	if (job->running)
		job->again = true;
	else
		timer_start(&job->wake, 0, on_wake, job);
}

struct job_figures job_figures(const struct job *job)
{
	struct job_figures f = job->figures;

	f.name = job->name;
	f.running = job->running;
	return f;
}

void job_each(void (*fn)(const struct job *job, void *arg), void *arg)
{
	const struct job *job;

	TAILQ_FOREACH (job, &jobs, link)
		fn(job, arg);
}
