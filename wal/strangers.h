/* wal/strangers.h - what an instance holds that the catalogue does not know.
 *
 *	scan.c       ask one instance
 *	adopt.c      ask them all, and bring into the catalogue what was found
 *	strangers.c  when that is done, and what is only told
 *	look.c       for a client who names a tenant that is not known
 */
#ifndef WAL_STRANGERS_H
#define WAL_STRANGERS_H

#include "wal/wal.h"

enum stranger_kind { STRANGER_TENANT, STRANGER_DATABASE, STRANGER_COLLECTION };

struct stranger {
	enum stranger_kind kind;
	unsigned instance;
	char *tenant, *database, *name; /* NULL: it is not in or of one */
	struct uuid id;                 /* of a database or a collection */
	int64_t items;                  /* -1: not counted */
	const char *outcome;            /* of its adoption; NULL: not tried */
	struct op *pending;             /* its adoption */
	struct adopt *adopt;            /* by whom */
	TAILQ_ENTRY(stranger) link;
};

TAILQ_HEAD(stranger_list, stranger);

void strangers_free(struct stranger_list *list);

/* --- scan.c --------------------------------------------------------------------------
 */
struct scan_spec {
	unsigned instance;
	const char *tenant; /* NULL: every one that is known, and ADOPT_TENANTS */
	bool count;         /* the items of the first STRANGERS_TOLD */
};
#define STRANGERS_TOLD 100u

/* `found` is to be taken out of, and freed. STATUS_OK: that is all. STATUS_BUSY: some
 * places are not at rest, what was found in the others stands; else the instance has
 * not answered. */
typedef void(scan_fn)(void *arg, enum status s, struct stranger_list *found);
void scan_start(const struct scan_spec *spec, scan_fn *done, void *arg, struct op **slot);
void scan_configure(const char *tenants); /* "a,b" or NULL */

/* --- adopt.c -------------------------------------------------------------------------
 */
struct adopt_spec {
	unsigned instances; /* bits */
	const char *tenant; /* as above; copied */
	const char *name;   /* of one collection; NULL: all; copied */
	bool count, adopt;
};
/* `scanned`: whose answer was complete, by bit. */
typedef void(adopt_fn)(void *arg, unsigned scanned, struct stranger_list *found);
void adopt_start(const struct adopt_spec *spec, adopt_fn *done, void *arg,
                 struct op **slot);

#endif
