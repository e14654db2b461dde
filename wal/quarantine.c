/* wal/quarantine.c - lanes that cannot go on. */
#include "wal/wal_private.h"

const char *quarantine_cause_name(enum quarantine_cause cause)
{
	static const char *const names[] = {"none", "refused", "accepted",
	                                    "lost", "failing", "differs"};

	return names[cause];
}

void wal_each_quarantine(wal_quarantine_fn *fn, void *arg)
{
	(void)fn;
	(void)arg;
}

unsigned wal_quarantined(void)
{
	return 0;
}

enum status wal_retry(wal_seq seq)
{
	(void)seq;
	return STATUS_NOT_FOUND;
}

enum status wal_skip(wal_seq seq)
{
	(void)seq;
	return STATUS_NOT_FOUND;
}
