/* wal/rebuild.h - a collection that is made anew, and what that leaves behind. */
#ifndef WAL_REBUILD_H
#define WAL_REBUILD_H

#include "wal/wal.h"

/* --- rebuild_turn.c, rebuild_rows.c: a collection is made anew from another instance -
 */
void rebuild_start(bool by_itself);
void rebuild_stop(void);
void rebuild_clear(void);
/* What was copied to it so far is not trusted: it has lost its disk, or has an old one.
 */
void rebuild_distrust(unsigned target);
void rebuild_add_distrust(struct pg_unit *unit, unsigned target);
void rebuild_add_load(struct pg_unit *unit);
void rebuild_loaded(const struct store_load *load, const struct pg_results *r, int at);

/* There may be news of what other proxies copy. */
void rebuild_look_soon(void);
/* A copy of that attempt is ours, or goes in its own time. */
bool rebuild_remembers(unsigned target, int64_t collection, unsigned attempt);

/* --- worker.c: this proxy copies what the leader hands out ----------------------------
 */
#define WORKER_SILENT "6 seconds" /* then it is dead, or may be */
void worker_start(void);
void worker_stop(void);
void worker_kick(void); /* there may be a task for it */
const char *worker_name(void);
unsigned worker_count(void); /* proxies that can copy; at least 1 */
bool worker_is_busy(void);
/* It is to end what it does, and take nothing more; then gives back what is left. */
void worker_leave(void);
void worker_say_goodbye(void (*done)(void *arg), void *arg);

/* --- leftover.c: copies that nobody needs any more -----------------------------------
 */
void leftover_start(void);
void leftover_stop(void);
void leftover_clear(void);
void leftover_add(struct pg_unit *unit, const struct collection *c, unsigned i,
                  unsigned attempt);
void leftover_added(const struct collection *c, unsigned i, unsigned attempt);
void leftover_add_load(struct pg_unit *unit);
bool leftover_remembers(unsigned i, int64_t collection, unsigned attempt);
void leftover_loaded(const struct pg_results *r, int at);

#endif
