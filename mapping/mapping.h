/* mapping/mapping.h - the catalogue: which tenants, databases and collections there are,
 * under which name, with which id on which instance.
 *
 * In memory, loaded from PostgreSQL by the leader, written through: every change is made
 * durable by the statements of mapping/store.c, as part of the unit that appends or
 * settles the record it comes from, and applied here when that unit has committed. The
 * catalogue decides existence; the instances follow it. */
#ifndef MAPPING_MAPPING_H
#define MAPPING_MAPPING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "core/conf.h"
#include "core/op.h"
#include "core/pg.h"
#include "core/table.h"
#include "core/text.h"
#include "core/uuid.h"

enum life {
	LIFE_CREATING = 0, /* its create is in the log, not decided yet */
	LIFE_LIVE = 1,
	LIFE_GONE = 2, /* its delete is in the log: no client sees it again */
};

struct scope; /* wal/: the ordered queue of its records */

/* At a proxy that does not lead: how a collection or database stands at each instance, as
 * PostgreSQL had it when it was last asked (wal/mirror.c). Instances by bit. */
struct standing {
	uint64_t round; /* when that was; 0: never */
	unsigned current, readable, holds, unproven;
	int64_t items, changes;              /* the last places that are its own */
	uint64_t behind[CONF_MAX_INSTANCES]; /* records it lacks, at most */
};

TAILQ_HEAD(waiter_list, waiter);

/* Databases and collections are counted: a record or an exchange that keeps one across
 * a turn of the loop holds it. */
struct database {
	int64_t id; /* seq of the record that created it; 1 for default_database */
	struct uuid public_id;
	char *tenant, *name;
	enum life life;
	unsigned holds;
	struct scope *scope;
	struct standing standing;
	struct table named; /* name -> collection, LIVE or CREATING, and names reserved */
	TAILQ_HEAD(collection_list, collection) collections;
	struct waiter_list waiters;
	TAILQ_ENTRY(database) link;
};

struct collection {
	int64_t id; /* seq of the record that created it */
	struct database *db;
	struct uuid public_id; /* none while CREATING, unless it was given */
	char *name;
	char *next_name; /* NULL, or the name reserved by a rename under way */
	enum life life;
	bool dimension_known; /* an accepted write has carried embeddings */
	int64_t created_ms, updated_ms;
	struct uuid
	        local[CONF_MAX_INSTANCES]; /* by instance index; none: not there yet */
	unsigned holds;
	struct scope *scope;
	struct standing standing;
	struct waiter_list waiters;
	TAILQ_ENTRY(collection) link;
};

#define DATABASE_DEFAULT_ID 1
#define TENANT_DEFAULT "default_tenant"
#define DATABASE_DEFAULT "default_database"
#define DATABASE_DEFAULT_PUBLIC_ID "00000000-0000-0000-0000-000000000000"
/* Names that begin like this are ours, on the instances; clients neither see nor use
 * them. */
#define RESERVED_PREFIX "ctd-"

/* How a scope of wal/ is given back when its owner is freed. */
typedef void(scope_free_fn)(struct scope *scope);

void catalogue_start(scope_free_fn *free_scope);
void catalogue_stop(void);
void catalogue_clear(void); /* forget everything (before a load) */

bool catalogue_tenant(const char *name); /* known? */
void catalogue_add_tenant(const char *name, int64_t seq);
void catalogue_remove_tenant(const char *name);
void catalogue_each_tenant(void (*fn)(void *arg, const char *name), void *arg);
/* The default one is left, and those created behind the reset. */
void catalogue_reset_tenants(int64_t seq);

struct database *catalogue_database(const char *tenant, const char *name); /* not GONE */
struct database *catalogue_add_database(int64_t id, const char *tenant, const char *name,
                                        enum life life);
/* For records of what is gone already: found by nobody. */
struct database *catalogue_gone_database(int64_t id, const char *tenant,
                                         const char *name);
struct collection *catalogue_gone_collection(int64_t id, struct database *db,
                                             const char *name);
struct database *catalogue_next_database(const struct database *after); /* NULL: first */
/* By the seq of the record that created it, whatever its life, as long as anybody holds
 * it; NULL: nobody does. */
struct database *catalogue_database_numbered(int64_t id);
struct collection *catalogue_numbered(int64_t id);
void database_set_live(struct database *db, const struct uuid *public_id);
void database_set_gone(struct database *db); /* and every collection in it */
struct database *database_hold(struct database *db);
void database_release(struct database **db);

struct collection *catalogue_named(const struct database *db, const char *name);
struct collection *catalogue_by_uuid(const struct uuid *id); /* public or local; LIVE */
struct collection *catalogue_add_collection(int64_t id, struct database *db,
                                            const char *name, enum life life);
void collection_set_live(struct collection *c, const struct uuid *public_id);
void collection_bind(struct collection *c, unsigned instance, const struct uuid *local);
/* Both names are taken from now until the rename is decided. */
void collection_reserve(struct collection *c, const char *next_name);
void collection_renamed(struct collection *c, bool accepted);
/* As somebody else has decided: first all that may have changed give up their names, then
 * each gets those it has now; `next_name` NULL: no rename is under way. */
void collection_give_up_names(struct collection *c);
void collection_take_names(struct collection *c, const char *name, const char *next_name);
void collection_set_gone(struct collection *c);
struct collection *collection_hold(struct collection *c);
void collection_release(struct collection **c);
/* `db` NULL: everywhere. Complete: live, and with an id on every instance. */
struct catalogue_counts {
	unsigned live, creating, complete;
};
struct catalogue_counts catalogue_count(const struct database *db);

/* Told (once, from the loop) when it is no longer CREATING, or its rename is decided.
 * The object may be GONE by then; look it up again. */
typedef void(catalogue_wait_fn)(void *arg);
void collection_wait(struct collection *c, catalogue_wait_fn *fn, void *arg,
                     struct op **slot);
void database_wait(struct database *db, catalogue_wait_fn *fn, void *arg,
                   struct op **slot);

/* --- mapping/store.c: the catalogue in PostgreSQL ---------------------------------- */

/* An id in a column; none, if that holds no id. */
struct uuid store_uuid(const struct pg_results *r, int statement, int row, int column);

/* The number an instance has in PostgreSQL, for good, whatever its place in the settings.
 */
void store_set_instance_id(unsigned index, int id);
int store_instance_id(unsigned index);
int store_instance_index(int64_t id); /* -1: not one of ours now */

extern const char
        *const store_schema[]; /* statements of the first migration; NULL ends */
/* What a load has found, GONE ones included as far as records from `floor` on refer to
 * them. Holds each until store_load_clear(). */
struct store_load {
	struct table databases, collections; /* id as text -> object */
};
void store_add_load(struct pg_unit *unit, int64_t floor);
#define STORE_LOAD_STATEMENTS 4
/* The columns of a collection or database, wherever they are selected. */
#define STORE_DATABASE_COLUMNS "d.id, d.public_id, d.tenant, d.name, d.life"
#define STORE_N_DATABASE_COLUMNS 5
#define STORE_COLLECTION_COLUMNS                                                         \
	"c.id, coalesce(c.public_id::text, ''), c.database, c.name, c.next_name, "       \
	"c.life,"                                                                        \
	" c.dimension_known, (extract(epoch FROM c.created_at) * 1000)::bigint,"         \
	" (extract(epoch FROM c.updated_at) * 1000)::bigint"
#define STORE_N_COLLECTION_COLUMNS 9
/* Of a catalogue that follows another proxy's: what such columns say (id NULL: nothing),
 * from `first` on. A collection gives up its names before any takes them. */
void store_follow_names(const struct pg_results *r, int at, int row, int first);
void store_follow_collection(const struct pg_results *r, int at, int row, int first);
void store_follow_database(const struct pg_results *r, int at, int row, int first);
/* Fills the empty catalogue; `first` is the statement store_add_load() began with. */
void store_loaded(struct store_load *load, const struct pg_results *r, int first);
void store_load_clear(struct store_load *load);
void store_add_live(struct pg_unit *unit, const struct collection *c,
                    const struct uuid *public_id);
void store_add_binding(struct pg_unit *unit, const struct collection *c,
                       unsigned instance, const struct uuid *local);
/* What had that id there is deleted; another is to have it. */
void store_add_unbind_gone(struct pg_unit *unit, unsigned instance,
                           const struct uuid *local);
void store_add_refused_create(struct pg_unit *unit, const struct collection *c);
void store_add_renamed(struct pg_unit *unit, const struct collection *c, const char *was,
                       const char *next, bool accepted);
void store_add_dimension(struct pg_unit *unit, const struct collection *c);
void store_add_database_live(struct pg_unit *unit, const struct database *db);
void store_add_database_refused(struct pg_unit *unit, const struct database *db);
void store_add_tenant_refused(struct pg_unit *unit, const char *name);
/* `delete_database`: the kind of such a record in the log. */
void store_add_reset(struct pg_unit *unit, int64_t seq, int delete_database);

/* --- mapping/rewrite.c: pure ------------------------------------------------------- */

/* Replaces each occurrence of one id's text by the other's, in place (same length). */
void rewrite_id(char *text, size_t len, const struct uuid *from, const struct uuid *to);
/* Percent-encodes one path segment. */
void rewrite_add_segment(struct text *path, const char *segment);

#endif
