/* http/timeline.h - what the last hour was like, so that a page that is opened in the
 * middle of an outage shows how it began.
 *
 *	timeline.c       a ring of samples, pure; the newest pushes out the oldest
 *	timeline_page.c  takes one every five seconds; GET /status/timeline
 *
 * In memory only, of a fixed size (under 100 KB), nothing is allocated for a sample. */
#ifndef HTTP_TIMELINE_H
#define HTTP_TIMELINE_H

#include <stdint.h>

#include "core/conf.h"
#include "core/text.h"

#define TIMELINE_KEPT 720u /* an hour */
#define TIMELINE_INTERVAL_MS 5000u
#define TIMELINE_UNKNOWN UINT32_MAX

/* The worst there was in the interval; later is better. */
enum timeline_state {
	TIMELINE_STATE_UNKNOWN,
	TIMELINE_STATE_DOWN,
	TIMELINE_STATE_READ_ONLY,
	TIMELINE_STATE_UP
};

struct timeline_instance {
	enum timeline_state state;
	uint32_t pending; /* writes it is owed; TIMELINE_UNKNOWN: nobody told */
	float requests;   /* a second */
};

struct timeline_sample {
	int64_t wall_ms;
	float requests, errors; /* of clients; those answered 5xx; a second */
	struct timeline_instance instances[CONF_MAX_INSTANCES];
};

void timeline_add(const struct timeline_sample *s); /* copies */
/* They are numbered from 1 on; the last one there is, 0: none yet. */
uint64_t timeline_last(void);
uint64_t timeline_first(void); /* the oldest that is kept; greater than last: none */
const struct timeline_sample *timeline_get(uint64_t number);
void timeline_clear(void);
/* Columns of those behind `after` as JSON, without braces; all if there is no such. */
void timeline_add_json(struct text *json, uint64_t after, unsigned instances,
                       const char *const *names);

/* --- timeline_page.c --------------------------------------------------------------- */
void timeline_start(void);
void timeline_stop(void);

#endif
