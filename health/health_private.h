/* health/health_private.h - for the files of health/ and their tests. */
#ifndef HEALTH_HEALTH_PRIVATE_H
#define HEALTH_HEALTH_PRIVATE_H

#include "core/job.h"
#include "core/timer.h"
#include "health/health.h"

/* What the probes of one instance have shown. */
struct probe {
	struct job *job;
	struct op *call;
	char *name;
	msec started; /* the last one; 0: none yet */
	msec ended;   /* the last one; 0: none yet */
	uint64_t started_us;
	unsigned good, bad; /* in a row */
	bool suspect; /* in doubt until a good probe that began after the doubt, or down
	               */
	bool stale;   /* the doubt came up while a probe was under way */
};

struct instance {
	unsigned index;
	char *name;
	struct upstream *up;
	enum health health;
	enum health told; /* what the listeners know */
	struct timer tell;
	msec down_since;
	struct probe probe;
	struct instance_figures figures;
};

/* instance.c: the only door through which health changes. */
void set_health(struct instance *in, enum health now, const char *why);

/* probe.c */
struct probe_rules {
	msec interval, timeout;
	unsigned failures, recoveries; /* in a row */
};

void probe_start(struct instance *in, const struct probe_rules *rules);
void probe_stop(struct instance *in);
/* Something went wrong with a call: the next probes come at once and fast. */
void probe_doubt(struct instance *in);
void probe_hurry(struct instance *in);
void probe_forget(struct instance *in); /* it is down: old good answers do not count */
bool probe_is_fresh(const struct instance *in); /* its last verdict is of this moment */
/* Pure: the health that follows from so many good or bad probes in a row. */
enum health probe_verdict(enum health now, unsigned good, unsigned bad,
                          const struct probe_rules *rules);
/* Pure: how long to rest. `settled`: nothing is in doubt; `down_for`: if it is down;
 * `took`: since the last probe began. */
msec probe_wait(enum health now, bool settled, msec down_for, msec took, msec interval);

/* now.c: who waits for all instances to be probed */
void now_probed(const struct instance *in);
void now_stop(void);

/* choose.c, pure */
struct candidate {
	bool may_serve;
	unsigned load; /* calls under way */
};
#define CHOOSE_NONE UINT32_MAX

/* Which of n candidates, in order of preference, is to serve a read. `chance` is in
 * [0, 1); `turn` goes up by one each time. */
unsigned choose(const struct candidate *list, unsigned n, enum conf_strategy strategy,
                double replica_ratio, double chance, unsigned turn);

#endif
