/* wal/lease.h - what else the lease knows: lease.c. */
#ifndef WAL_LEASE_H
#define WAL_LEASE_H

#include <stdbool.h>

/* We lead, and no other proxy was there for a minute. */
bool lease_is_alone(void);

#endif
