/* wal/advise.c - pure: is the machine too small?
 *
 * A sample has a level for each thing that may be short: 0 well, 1 high, 2 critical. What
 * the last five samples had at least is sustained, and is said: once for each level, then
 * once a day while it lasts. Five samples in a row that are well end it. One peak is
 * nothing to buy a machine for. */
#include "wal/advise.h"

#include <stdio.h>

#define DAY_MS ((msec)86400 * 1000)

static const struct {
	const char *type, *component, *tier, *what, *unit;
	double high, critical;
} limits[ADVICE_KINDS] = {
        [ADVICE_MEMORY] = {"memory", "proxy",
                           "a higher MAX_MEMORY_MB, on a machine that has it",
                           "memory in use, of MAX_MEMORY_MB", "%", 80, 95},
        [ADVICE_CPU] = {"cpu", "proxy", "a faster core: the proxy uses one",
                        "use of one core", "%", 80, 95},
        [ADVICE_LAG] = {"event_loop_lag", "proxy", "a machine that is shared with less",
                        "delay of everything the proxy does", "ms", 250, 1000},
        [ADVICE_BACKLOG] = {"backlog", "chroma",
                            "a faster disk or processor for the instance that is behind",
                            "an instance that is up is behind by", "s", 600, 3600},
        [ADVICE_LOG] = {"log_room", "postgres",
                        "a larger disk, then a higher LOG_MAX_BYTES",
                        "the log, of LOG_MAX_BYTES", "%", 70, 90},
};

static double usage_of(enum advice_kind kind, const struct sample *s)
{
	switch (kind) {
	case ADVICE_MEMORY:
		return s->memory_limit_mb > 0 ? 100 * s->memory_mb / s->memory_limit_mb
		                              : -1;
	case ADVICE_CPU:
		return s->cpu_percent;
	case ADVICE_LAG:
		return s->lag_ms;
	case ADVICE_BACKLOG:
		return s->behind_s;
	default:
		return s->log_limit_bytes > 0 ? 100 * s->log_bytes / s->log_limit_bytes
		                              : -1;
	}
}

static unsigned level_of(enum advice_kind kind, double usage)
{
	if (usage >= limits[kind].critical)
		return 2;
	return usage >= limits[kind].high ? 1 : 0;
}

/* The least of the last samples; *calm: all were well. */
static unsigned sustained(const struct advisor *a, enum advice_kind kind, bool *calm)
{
	unsigned least = 2, most = 0;

	for (unsigned i = 0; i < ADVISE_SAMPLES; i++) {
		unsigned level = a->kinds[kind].levels[i];

		least = level < least ? level : least;
		most = level > most ? level : most;
	}
	*calm = most == 0;
	return least;
}

static bool is_news(struct advisor *a, enum advice_kind kind, unsigned *level, msec now)
{
	bool calm;

	*level = sustained(a, kind, &calm);
	if (calm)
		a->kinds[kind].given = 0;
	if (*level == 0 ||
	    (*level <= a->kinds[kind].given && now - a->kinds[kind].at < DAY_MS))
		return false;
	a->kinds[kind].given = *level;
	a->kinds[kind].at = now;
	return true;
}

static void word(struct advice *out, enum advice_kind kind, unsigned level, double usage)
{
	*out = (struct advice){.kind = kind,
	                       .usage = usage,
	                       .type = limits[kind].type,
	                       .urgency = level == 2 ? "critical" : "high",
	                       .component = limits[kind].component,
	                       .tier = limits[kind].tier};
	snprintf(out->reason, sizeof(out->reason),
	         "%s: %.0f %s now, and at least %.0f %s in the last %u samples",
	         limits[kind].what, usage, limits[kind].unit,
	         level == 2 ? limits[kind].critical : limits[kind].high,
	         limits[kind].unit, ADVISE_SAMPLES);
}

unsigned advise(struct advisor *a, const struct sample *s, msec now,
                struct advice out[ADVICE_KINDS])
{
	unsigned at = a->seen++ % ADVISE_SAMPLES, n = 0, level;

	for (enum advice_kind kind = 0; kind < ADVICE_KINDS; kind++) {
		double usage = usage_of(kind, s);

		a->kinds[kind].levels[at] = level_of(kind, usage);
		if (is_news(a, kind, &level, now))
			word(&out[n++], kind, level, usage);
	}
	return n;
}
