/* core/events.h - the last changes of state, kept for who looks at the status later.
 *
 * Fed by core/log.c with the lines that tell of a change (adopt, health, lease, operator,
 * postgres, recover, start, stop, strangers), whatever LOG_LEVEL lets through to standard
 * error. */
#ifndef CORE_EVENTS_H
#define CORE_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#define EVENTS_KEPT 50u

struct kept_event {
	int64_t wall_ms; /* of the last one, if it came several times in a row */
	unsigned times;
	const char *event; /* one of the words above */
	char text[200];    /* cut where it is longer, maybe inside a character */
};

bool events_keep(const char *event); /* is it one of those? */
void events_add(const char *event, const char *text);
/* The newest is 0; NULL where there are no more. */
const struct kept_event *events_get(unsigned i);

#endif
