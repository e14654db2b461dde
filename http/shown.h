/* http/shown.h - what only the proxy that leads knows, as every proxy shows it.
 *
 *	status_led.c   makes a document of it, if this one leads
 *	shown.c        hands that to the others, and keeps what another has told
 *	shown_parse.c  pure: what was told, read with suspicion */
#ifndef HTTP_SHOWN_H
#define HTTP_SHOWN_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "wal/wal.h"

/* Grows when a key changes its meaning: who knows another number shows nothing. */
#define SHOWN_SHAPE 1

void shown_start(void);
void shown_stop(void);
/* This proxy leads, and may show what it knows: nobody else can have taken over. */
bool shown_is_ours(void);
/* What the proxy that leads has told, and how old it is; borrowed. NULL: it is not known,
 * or this one leads itself. */
json_t *shown_told(enum wal_shown part, msec *age);
/* Of whoever leads; false: it is not known. */
bool shown_pending(uint64_t *out);
bool shown_pending_at(const struct instance *in, uint64_t *out); /* told by another */
bool shown_undecided(uint64_t *out);
bool shown_is_well(void); /* nothing is in quarantine, nobody detached */

/* --- shown_parse.c: pure ----------------------------------------------------------- */

/* NULL: it is none of ours. What in it is not as it should be is left out. */
json_t *shown_parse(enum wal_shown part, const char *json);
/* Its lists are no longer than that any more; true: one was. */
bool shown_cut(json_t *figures, size_t most);

#endif
