/* wal/verdict.h - what an answer of an instance means for a record. */
#ifndef WAL_VERDICT_H
#define WAL_VERDICT_H

#include "wal/record.h"

/* --- verdict.c: pure --- */
enum verdict {
	VERDICT_APPLIED,  /* it has its effect there */
	VERDICT_REFUSED,  /* a clear no, without effect */
	VERDICT_NOT_SENT, /* not a byte has arrived */
	VERDICT_UNKNOWN,  /* it may have its effect or not */
	VERDICT_BUSY,     /* not now */
	VERDICT_LOST,     /* the instance does not know what it must have */
	VERDICT_DENIED,   /* it does not let us in */
};
enum verdict verdict_of(const struct reply *reply);
/* Of a collection, in a database that the catalogue has. */
enum verdict verdict_of_create(const struct reply *reply);
enum verdict verdict_of_sent(const struct record *r, const struct reply *reply);
const char *verdict_name(enum verdict v);

/* overtaken.c: its collection is deleted by a later record, and not there any more ... */
bool overtaken_is(const struct record *r, enum verdict v);
/* ... or there, but not as the log says. */
bool overtaken_is_left(const struct record *r, unsigned i);
bool overtaken_another_can_say(const struct record *r, unsigned i);

#endif
