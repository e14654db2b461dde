/* wal/quarantine_private.h - a lane in quarantine, for the two files that deal with it.
 */
#ifndef WAL_QUARANTINE_PRIVATE_H
#define WAL_QUARANTINE_PRIVATE_H

#include "wal/wal.h"

enum quarantine_state {
	STATE_PARKED,
	STATE_TRYING,    /* the lane moves again; has it healed? */
	STATE_HEALING,   /* it is being made anew from another instance ... */
	STATE_SWITCHING, /* ... and is about to take the place of the old one */
	STATE_LEAVING,   /* the collection is deleted: the lane is only passed */
	STATE_ENDED,     /* its row is being removed */
};

struct quarantine {
	struct collection *collection; /* held */
	unsigned instance;
	enum quarantine_state state;
	wal_seq seq;
	wal_seq apart; /* from there on what changes the collection stands apart */
	enum quarantine_cause cause;
	int http;
	char *error;
	unsigned attempts;
	int64_t since_wall_ms;
	struct timer retry, again;
	msec retry_at; /* 0: not by itself */
	struct op *pending;
	TAILQ_ENTRY(quarantine) link;
};

TAILQ_HEAD(quarantine_list, quarantine);
extern struct quarantine_list quarantines;

bool quarantine_stands(const struct quarantine *q);
bool quarantine_is_surveyed(const struct quarantine *q); /* found out by resync.c */
bool quarantine_is_about_content(const struct quarantine *q);
void quarantine_try_again(struct quarantine *q);
void quarantine_write_row(void *arg);

#endif
