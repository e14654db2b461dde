/* http/route.h - pure: what a request is, by method and path. */
#ifndef HTTP_ROUTE_H
#define HTTP_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

/* What is done with it. */
enum route_kind {
	ROUTE_NONE,         /* no such path: 404 */
	ROUTE_WRONG_METHOD, /* the path is there: 405 */
	ROUTE_BAD_PATH,     /* a segment is not UTF-8: 400 */
	ROUTE_HEARTBEAT,    /* answered here */
	ROUTE_IDENTITY,
	ROUTE_HEALTHCHECK,
	ROUTE_ANY_INSTANCE, /* the same everywhere: version, docs, limits */
	ROUTE_CRN,
	ROUTE_V1,
	ROUTE_V1_HEARTBEAT,
	ROUTE_RESET,
	ROUTE_CREATE_TENANT,
	ROUTE_GET_TENANT,
	ROUTE_PATCH_TENANT,
	ROUTE_LIST_DATABASES,
	ROUTE_CREATE_DATABASE,
	ROUTE_GET_DATABASE,
	ROUTE_DELETE_DATABASE,
	ROUTE_LIST_COLLECTIONS,
	ROUTE_COUNT_COLLECTIONS,
	ROUTE_CREATE_COLLECTION,
	ROUTE_GET_COLLECTION,    /* by name */
	ROUTE_GET_COLLECTION_ID, /* by id */
	ROUTE_MODIFY_COLLECTION,
	ROUTE_DELETE_COLLECTION, /* by name */
	ROUTE_WRITE_ITEMS,
	ROUTE_READ_ITEMS,  /* also reads sent by POST */
	ROUTE_UNSUPPORTED, /* Chroma refuses it on one node; passed on, never logged */
	/* ours */
	ROUTE_HEALTH,
	ROUTE_READY,
	ROUTE_STATUS,
	ROUTE_WAL_STATUS,
	ROUTE_TIMELINE,
	ROUTE_STATUS_COLLECTIONS,
	ROUTE_UI,
	ROUTE_MAPPINGS,
	ROUTE_METRICS,
	ROUTE_WAL_RETRY,
	ROUTE_WAL_SKIP,
	ROUTE_ADOPT,
	ROUTE_VERIFY,
	ROUTE_VERIFICATION,
	ROUTE_RESYNC,
	ROUTE_RESYNCS,
	ROUTE_HISTORY,
	ROUTE_EXPORT_BEGIN,
	ROUTE_EXPORT_LOOK,
	ROUTE_EXPORT_COLLECTION,
	ROUTE_EXPORT_ITEMS,
	ROUTE_EXPORT_END,
	ROUTE_IMPORT_COLLECTION, /* a create that says which id it is to have */
	ROUTE_WAL_CLEANUP,
	ROUTE_INSTANCES,
	ROUTE_OVERRIDE,
	ROUTE_WAL_COUNT,
	ROUTE_WAL_ERRORS,
	ROUTE_WAL_DEBUG,
	ROUTE_WAL_LIST,
	ROUTE_WAL_ENTRY,
	ROUTE_TRANSACTIONS,
	ROUTE_TRANSACTION,
	ROUTE_TRANSACTION_TRIGGER,
	ROUTE_TRANSACTION_CLEANUP,
	ROUTE_SCALABILITY,
	ROUTE_CONFIG,
	ROUTE_MAPPING_DELETE,
	ROUTE_MAPPING_CREATE,
	ROUTE_MAPPINGS_COMPLETE,
};

enum route_verb {
	VERB_NONE,
	VERB_ADD,
	VERB_UPSERT,
	VERB_UPDATE,
	VERB_DELETE,
	VERB_GET,
	VERB_QUERY,
	VERB_COUNT,
	VERB_OTHER
};

#define ROUTE_ALLOW_BYTES 64u

struct route {
	enum route_kind kind;
	enum route_verb verb;
	bool ours;      /* it is, or begins like, a path that Chroma has not */
	const char *op; /* its name in logs and metrics; a constant */
	char *tenant;   /* segments, percent-decoded; NULL where the path has none */
	char *database;
	char *item; /* a collection's name or id, or a tenant's name */
	const char *
	        tail; /* what follows the collection in the path, with its slash; or "" */
	const char *query; /* what follows '?', or NULL */
	const char *bad;   /* ROUTE_BAD_PATH: the parameter's name in Chroma's words */
	char allow[ROUTE_ALLOW_BYTES]; /* ROUTE_WRONG_METHOD: what the path takes */
};

/* `target` must outlive the route. */
void route_parse(struct route *r, const char *method, const char *target);
void route_clear(struct route *r);

/* The table itself, for docs/API.md: row i, or 0 at the end. */
int route_row(size_t i, const char **method, const char **path, enum route_kind *kind,
              const char **op);
const char *route_kind_text(enum route_kind kind);
bool route_is_ours(enum route_kind kind); /* Chroma has no such path */
/* As Chroma would, without asking one. */
bool route_is_answered_here(enum route_kind kind);

#endif
