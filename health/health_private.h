/* health/health_private.h - for the files of health/ and their tests. */
#ifndef HEALTH_HEALTH_PRIVATE_H
#define HEALTH_HEALTH_PRIVATE_H

#include "core/job.h"
#include "core/text.h"
#include "core/timer.h"
#include "core/uuid.h"
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

/* What is known of its marker. */
enum question {
	ASKING_NOT,
	ASKING_COLLECTION,
	ASKING_ITEMS,
	ASKING_RESTS,  /* no, or not now; asked again */
	ASKING_JUDGED, /* the registrar has it */
	ASKING_DONE,   /* let in */
};

struct asked {
	enum question state;
	struct op *call;
	struct timer again;
	const char *as; /* the last word about it that was logged */
	char why[160];
};

enum canary_step {
	CANARY_TENANT,
	CANARY_DATABASE,
	CANARY_COLLECTION,
	CANARY_LOOK,
	CANARY_ITEM,
	CANARY_SWEEP
};

/* What the writes of our own to one instance have shown. */
struct canary {
	struct job *job;
	struct op *call;
	char *name;
	enum canary_step step;
	struct uuid collection; /* none: to be created first */
	bool created;           /* ... in this run, once */
	bool looked;            /* at its marker, in this run ... */
	bool judged;            /* ... or just before it: it has come up */
	msec started;           /* the last run; 0: none since it came up */
	msec silent_since;      /* the first run in a row without an answer; 0: none */
	msec failing_since;
	unsigned bad;         /* in a row */
	bool suspect;         /* in doubt until a good one, or FAILS */
	struct marker marker; /* as it is being written; not there: no marker is */
	int64_t series;       /* names its item; 0: a new one is to be begun */
	bool marking;         /* only for the marker: the instance is not up */
	char *old;            /* items of former series, as JSON; NULL: few */
};

/* How an instance that is up takes writes. */
enum writing {
	WRITING_UNPROVEN, /* it was down, and has taken none since */
	WRITING_WELL,
	WRITING_FAILS
};

struct instance {
	unsigned index;
	char *name;
	struct upstream *up;
	enum health health;
	enum writing writing;
	enum health told; /* what the listeners know */
	bool told_writable;
	struct timer tell;
	bool pardoned; /* errors do not count */
	bool answers;  /* its last probe, with whatever */
	msec down_since;
	struct probe probe;
	struct asked asked;
	struct canary canary;
	struct instance_out out;
	struct timer out_over;
	struct instance_figures figures;
};

/* instance.c: the only door through which health changes. */
void set_health(struct instance *in, enum health now, const char *why);
/* ... and the one for its writability. */
void set_writing(struct instance *in, enum writing now, const char *why);
/* How a call of ours (`who`: a probe, a canary) has ended, in words for `why`. */
void describe_end(const char *who, const struct reply *reply, char *why, size_t room);

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

/* marker.c */
#define MARKER_REPLY_MOST 262144u

extern const struct registrar *marker_registrar;           /* NULL: nobody judges */
void marker_answers(struct instance *in, const char *why); /* it could be up now */
void marker_forget(struct instance *in, const char *why);  /* it is down, or going */
void marker_stop(struct instance *in);
bool marker_rests(const struct instance *in);
/* The marking that was asked for has ended. */
void marker_marked(struct instance *in, bool good);
bool marker_is_judged(void);
/* Pure: the body that writes it. */
void marker_add_body(struct text *body, const struct marker *m, int64_t series);

/* marker_read.c: the two questions; body of the second's answer: marker_parse(). */
void marker_ask_collection(struct upstream *up, upstream_fn *done, void *arg,
                           struct op **slot);
void marker_ask_items(struct upstream *up, const struct uuid *collection,
                      upstream_fn *done, void *arg, struct op **slot);

/* canary.c */
void canary_mark(struct instance *in);
void canary_learn(struct instance *in, const struct uuid *collection);
/* The items of its collection, to be removed when the next one is written. */
void canary_outdate(struct instance *in, struct json_slice ids);
void canary_start(struct instance *in);
void canary_stop(struct instance *in);
void canary_up(struct instance *in, enum health was);
/* Something went wrong with a call: the next canaries come at once and fast. */
void canary_doubt(struct instance *in);

enum canary_verdict { CANARY_NOTHING, CANARY_ANSWERED, CANARY_BAD, CANARY_GOOD };
/* Pure: what the end of a canary says. `silence`: since the first in a row without an
 * answer began; `longest`: the longest time limit among our writes under way there. */
enum canary_verdict canary_verdict(const struct reply *reply, msec silence, msec longest);
/* Pure: how long to rest. `settled`: the last one was good and nothing is in doubt. */
msec canary_wait(enum writing writing, bool settled, msec failing_for);

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
