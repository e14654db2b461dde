/* wal/mirror.h - what a proxy knows that does not lead: mirror.c, standing.c. */
#ifndef WAL_MIRROR_H
#define WAL_MIRROR_H

#include "wal/wal.h"

void mirror_start(void);     /* another leads */
void mirror_stop(void);      /* we do, or nobody */
void mirror_kick(void);      /* something may be decided */
uint64_t mirror_round(void); /* of the look that is under way, or was last */
bool mirror_resets(void);    /* a reset is not decided */

/* --- standing.c: how collections stand at the instances ------------------------------
 */
/* Of these ("1,2,3"; "": none), and of databases with all that is in them. */
void standing_add(struct pg_unit *unit, const char *collections, const char *databases);
void standing_found(const struct pg_results *r, int at);
/* It was made anew and is not compared yet, and one that is proven shows everything. */
bool standing_gives_way(const struct collection *c, unsigned i);

#endif
