/* http/export.h - one export at a time: export.c begins, keeps and ends it,
 * export_page.c answers the requests. */
#ifndef HTTP_EXPORT_H
#define HTTP_EXPORT_H

#include "core/table.h"
#include "http/exchange.h"

struct export
{
	char id[UUID_LEN + 1];
	struct uuid cluster; /* whose log it is */
	struct instance *in; /* stands still at `position` */
	wal_seq position;
	int64_t at_wall_ms;
	bool reached;      /* it has come there: what follows is complete */
	bool holds_writes; /* nobody else need execute */
	msec begun, lease_until, over_at;
	char **tenants;
	size_t n_tenants;
	struct database **databases; /* held */
	size_t n_databases;
	struct collection **collections; /* held */
	size_t n_collections;
	struct table by_id; /* public id -> collection */
};

struct export_wish {
	const char *instance; /* NULL: any */
	struct uuid cluster;
	msec most; /* it lasts so long at most */
	bool hold_writes;
};

/* NULL: *why says why not. */
struct export *export_begin(const struct export_wish *wish, const char **why);
/* The one of that id, for as long as its client goes on asking; NULL: *why says what has
 * become of it. */
struct export *export_find(const char *id, const char **why);
bool export_has_reached(struct export *x); /* and what is in it is known now */
void export_end(struct export *x, const char *why);
const struct export *export_now(void); /* NULL: none */

#endif
