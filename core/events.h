/* core/events.h - the last changes of state, kept for who looks at the status later.
 *
 * Fed by core/log.c with the lines that tell of a change (the words are in events.c),
 * whatever LOG_LEVEL lets through to standard error. */
#ifndef CORE_EVENTS_H
#define CORE_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#define EVENTS_KEPT 100u
#define EVENTS_RUN 10u /* in a row, of the words that may come by the thousand */

struct kept_event {
	int64_t wall_ms; /* of the last one, if it came several times in a row */
	unsigned times;
	const char *event; /* one of those words */
	char text[200];    /* cut where it is longer, maybe inside a character */
	char proxy[64];    /* that told it; "": this one */
};

bool events_keep(const char *event); /* is it one of those? */
void events_add(const char *event, const char *text);
/* The newest is 0; NULL where there are no more. */
const struct kept_event *events_get(unsigned i);
/* One of before this process began: behind all others, if there is room. */
void events_add_older(const struct kept_event *e);

/* Who is told of each that is added, with all of its text; `many`: of a kind that may
 * come by the thousand. It must not log. NULL: nobody. What was added before is told at
 * once. */
typedef void(events_fn)(const char *event, const char *text, bool many);
void events_listen(events_fn *fn);

#endif
