/* wal/errand.h - what the files of errands share; see errand.c.
 *
 *	errand.c       at the proxy that was asked: noted, looked for, withdrawn
 *	errand_take.c  at the one that leads: taken, carried out, answered
 *	errand_step.c  what the one that was asked does next: pure */
#ifndef WAL_ERRAND_H
#define WAL_ERRAND_H

#include "core/clock.h"
#include "core/pg.h"

/* By NOTIFY: one was noted, or answered. */
#define WAL_ERRAND "errand"

/* Who leads must have taken it within so long, by PostgreSQL's clock; then nobody does.
 */
#define ERRAND_TAKE_MS 10000u
#define ERRAND_TAKE_WITHIN "10 seconds"
/* PostgreSQL has not said for so long what has become of it. */
#define ERRAND_SILENT_MS 10000u
/* That one proxy asks for at a time; that the leader carries out at a time. */
#define ERRANDS_ASKED_MOST 64u
#define ERRANDS_TAKEN_MOST 16u

extern const char *const errand_schema[];

/* --- errand_step.c: pure ------------------------------------------------------------ */

struct errand_facts {
	bool there;     /* its row, when we looked last */
	bool answered;  /* and so says that row */
	int64_t taken;  /* by which leader; 0: by none */
	int64_t epoch;  /* who leads now */
	msec waited;    /* since it was noted */
	msec silent;    /* since we looked last, with success; 0: just now */
	bool impatient; /* its client has no time left */
};

enum errand_step {
	ERRAND_WAIT,
	ERRAND_FETCH,    /* its answer */
	ERRAND_WITHDRAW, /* unless it has been taken meanwhile */
	ERRAND_GIVE_UP, /* who has taken it leads no more, or nobody knows: done or not */
	ERRAND_TOO_LATE, /* it is still being carried out */
};

enum errand_step errand_step(const struct errand_facts *f);

/* --- errand.c ----------------------------------------------------------------------- */
void errand_look(void); /* some may be answered */
/* The others are told that one was noted, or answered. */
void errand_add_tell(struct pg_unit *unit);
void errand_stop(void);

/* --- errand_take.c ------------------------------------------------------------------ */
void errand_kick(void);    /* there may be some */
bool errand_is_busy(void); /* some are being carried out */
/* What nobody has fetched, long ago. */
void errand_add_tidy(struct pg_unit *unit);

#endif
