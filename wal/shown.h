/* wal/shown.h - what the leader knows and every proxy shows: shown.c by way of
 * PostgreSQL; shown_kept.c, pure, says what of it is believed, and for how long. */
#ifndef WAL_SHOWN_H
#define WAL_SHOWN_H

#include "core/clock.h"
#include "core/pg.h"
#include "wal/wal.h"

void shown_kick(void); /* we lead now: the others are to know soon */
/* With a look of the mirror; WAL_SHOWN_PARTS statements, from `at` on. */
void shown_add_look(struct pg_unit *unit);
void shown_looked(const struct pg_results *r, int at, msec asked);
void shown_forget(void); /* we do not follow that one any more */

/* --- shown_kept.c: pure ------------------------------------------------------------ */

/* A document of the leader's, as a look has found it. */
struct shown_found {
	bool is;        /* there is one */
	int64_t epoch;  /* under which it was written ... */
	int64_t leader; /* ... and the one that is in force */
	int64_t version;
	int64_t at; /* when it was true last, by the clock of PostgreSQL */
	msec age;   /* how long ago that was */
	bool comes; /* else it is the one that is known already */
	const char *text;
};

/* What is kept of it. All 0: none. */
struct shown_kept {
	bool is;
	int64_t epoch, version, at;
	msec since; /* by our clock */
};

enum shown_news {
	SHOWN_SAME, /* what is kept is true still */
	SHOWN_NEW,  /* found->text is what the leader knows */
	SHOWN_NONE, /* there is nothing to be believed, nor kept */
};

enum shown_news shown_keep(struct shown_kept *kept, const struct shown_found *found,
                           msec asked);
bool shown_is_current(const struct shown_kept *kept, msec now, msec *age);

#endif
