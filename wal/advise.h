/* wal/advise.h - pure: what a row of samples asks for. */
#ifndef WAL_ADVISE_H
#define WAL_ADVISE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/clock.h"

/* One look at the process. What is not known is negative. */
struct sample {
	double memory_mb, memory_limit_mb;
	double cpu_percent; /* of one core, since the sample before */
	double lag_ms;      /* of the loop, the most of the last ten seconds */
	double pending;     /* records some instance lacks */
	double behind_s;    /* age of the oldest one that an instance that is up lacks */
	double log_bytes, log_limit_bytes; /* limit 0: there is none */
};

enum advice_kind {
	ADVICE_MEMORY,
	ADVICE_CPU,
	ADVICE_LAG,
	ADVICE_BACKLOG,
	ADVICE_LOG,
	ADVICE_KINDS
};

struct advice {
	enum advice_kind kind;
	double usage; /* in percent; of lag in ms, of the backlog in seconds */
	const char *type, *urgency, *component; /* words of upgrade_recommendations */
	const char *tier;                       /* what would help */
	char reason[200];
};

#define ADVISE_SAMPLES 5u /* in a row make it sustained */

struct advisor { /* zeroed: has seen nothing */
	unsigned seen;
	struct {
		unsigned levels[ADVISE_SAMPLES]; /* of the last samples, in turn */
		unsigned given;
		msec at;
	} kinds[ADVICE_KINDS];
};

/* How many of `out` were filled: what there is to be said now, and was not said before at
 * that urgency, or not for a day. */
unsigned advise(struct advisor *a, const struct sample *s, msec now,
                struct advice out[ADVICE_KINDS]);

#endif
