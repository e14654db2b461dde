/* mapping/catalogue.c - tenants, databases and collections in memory.
 *
 * A collection is found by its name inside its database and by any id it is known under.
 * Both indexes hold exactly the collections a client may meet: when one is GONE it leaves
 * them at once, and its memory goes when the last record or exchange lets go of it. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"
#include "health/health.h"
#include "mapping/mapping.h"

struct waiter {
	struct op op;
	catalogue_wait_fn *fn;
	void *arg;
	bool queued;
	TAILQ_ENTRY(waiter) link;
};

struct tenant {
	int64_t seq; /* of the record that created it; 0: the default one */
	char *name;
	TAILQ_ENTRY(tenant) link;
};

static struct {
	struct table tenants; /* name -> tenant */
	TAILQ_HEAD(tenant_list, tenant) tenant_list;
	struct table databases; /* "tenant" 0x1f "name" -> database, not GONE */
	struct table by_uuid;   /* public and local ids -> collection, LIVE */
	struct table by_number, databases_by_number; /* whoever is held */
	TAILQ_HEAD(database_list, database) list;
	scope_free_fn *free_scope;
} catalogue;

/* --- waiting ----------------------------------------------------------------------- */

static void deliver_waiter(struct op *op)
{
	struct waiter *w = (struct waiter *)op;

	w->fn(w->arg);
}

static void release_waiter(struct op *op)
{
	free(op);
}

/* The waiter stays in its queue, unwanted, until the queue is woken. */
static void abandon_waiter(struct op *op)
{
	(void)op;
}

static struct waiter *waiter_create(catalogue_wait_fn *fn, void *arg, struct op **slot)
{
	struct waiter *w = mem_new(struct waiter);

	w->op.deliver = deliver_waiter;
	w->op.release = release_waiter;
	w->op.abandon = abandon_waiter;
	w->fn = fn;
	w->arg = arg;
	op_begin(&w->op, slot);
	return w;
}

void collection_wait(struct collection *c, catalogue_wait_fn *fn, void *arg,
                     struct op **slot)
{
	struct waiter *w = waiter_create(fn, arg, slot);

	TAILQ_INSERT_TAIL(&c->waiters, w, link);
}

void database_wait(struct database *db, catalogue_wait_fn *fn, void *arg,
                   struct op **slot)
{
	struct waiter *w = waiter_create(fn, arg, slot);

	TAILQ_INSERT_TAIL(&db->waiters, w, link);
}

#define wake_all(queue)                                                                  \
	do {                                                                             \
		struct waiter *w;                                                        \
		while ((w = TAILQ_FIRST(queue)) != NULL) {                               \
			TAILQ_REMOVE(queue, w, link);                                    \
			op_end(&w->op);                                                  \
		}                                                                        \
	} while (0)

/* --- by number --------------------------------------------------------------------- */

static void *numbered(const struct table *t, int64_t id)
{
	char key[24];

	snprintf(key, sizeof(key), "%lld", (long long)id);
	return table_get(t, key);
}

/* After a load anew the same number is another object's, and the old one may be held. */
static void set_number(struct table *t, int64_t id, void *object, const void *instead)
{
	char key[24];

	snprintf(key, sizeof(key), "%lld", (long long)id);
	if (object != NULL)
		table_put(t, key, object);
	else if (table_get(t, key) == instead)
		table_remove(t, key);
}

struct database *catalogue_database_numbered(int64_t id)
{
	return numbered(&catalogue.databases_by_number, id);
}

struct collection *catalogue_numbered(int64_t id)
{
	return numbered(&catalogue.by_number, id);
}

/* --- tenants ----------------------------------------------------------------------- */

bool catalogue_tenant(const char *name)
{
	return table_get(&catalogue.tenants, name) != NULL;
}

void catalogue_add_tenant(const char *name, int64_t seq)
{
	struct tenant *t;

	if (catalogue_tenant(name))
		return;
	t = mem_new(struct tenant);
	t->seq = seq;
	t->name = mem_string(name);
	TAILQ_INSERT_TAIL(&catalogue.tenant_list, t, link);
	table_put(&catalogue.tenants, name, t);
}

void catalogue_remove_tenant(const char *name)
{
	struct tenant *t = table_remove(&catalogue.tenants, name);

	if (t == NULL)
		return;
	TAILQ_REMOVE(&catalogue.tenant_list, t, link);
	free(t->name);
	free(t);
}

void catalogue_each_tenant(void (*fn)(void *arg, const char *name), void *arg)
{
	const struct tenant *t;

	TAILQ_FOREACH (t, &catalogue.tenant_list, link)
		fn(arg, t->name);
}

void catalogue_reset_tenants(int64_t seq)
{
	struct tenant *t, *next;

	for (t = TAILQ_FIRST(&catalogue.tenant_list); t != NULL; t = next) {
		next = TAILQ_NEXT(t, link);
		if (t->seq < seq)
			catalogue_remove_tenant(t->name);
	}
	catalogue_add_tenant(TENANT_DEFAULT, 0);
}

/* --- databases --------------------------------------------------------------------- */

static char *database_key(const char *tenant, const char *name)
{
	return mem_format("%s\x1f%s", tenant, name);
}

struct database *catalogue_database(const char *tenant, const char *name)
{
	char *key = database_key(tenant, name);
	struct database *db = table_get(&catalogue.databases, key);

	free(key);
	return db;
}

struct database *catalogue_next_database(const struct database *after)
{
	return after == NULL ? TAILQ_FIRST(&catalogue.list) : TAILQ_NEXT(after, link);
}

static struct database *database_create(int64_t id, const char *tenant, const char *name,
                                        enum life life)
{
	struct database *db = mem_new(struct database);

	*db = (struct database){.id = id, .life = life, .holds = 1};
	db->tenant = mem_string(tenant);
	db->name = mem_string(name);
	TAILQ_INIT(&db->collections);
	TAILQ_INIT(&db->waiters);
	set_number(&catalogue.databases_by_number, id, db, NULL);
	return db;
}

struct database *catalogue_gone_database(int64_t id, const char *tenant, const char *name)
{
	return database_create(id, tenant, name, LIFE_GONE);
}

struct database *catalogue_add_database(int64_t id, const char *tenant, const char *name,
                                        enum life life)
{
	struct database *db = database_create(id, tenant, name, life);
	char *key = database_key(tenant, name);

	TAILQ_INSERT_TAIL(&catalogue.list, db, link);
	table_put(&catalogue.databases, key, db);
	free(key);
	return db;
}

void database_set_live(struct database *db, const struct uuid *public_id)
{
	db->public_id = *public_id;
	if (db->life == LIFE_CREATING)
		db->life = LIFE_LIVE;
	wake_all(&db->waiters);
}

void database_set_gone(struct database *db)
{
	struct collection *c;
	char *key;

	if (db->life == LIFE_GONE)
		return;
	key = database_key(db->tenant, db->name);
	while ((c = TAILQ_FIRST(&db->collections)) != NULL)
		collection_set_gone(c);
	db->life = LIFE_GONE;
	table_remove(&catalogue.databases, key);
	TAILQ_REMOVE(&catalogue.list, db, link);
	free(key);
	wake_all(&db->waiters);
	database_release(&db);
}

struct database *database_hold(struct database *db)
{
	if (db != NULL)
		db->holds++;
	return db;
}

void database_release(struct database **db)
{
	struct database *old = *db;

	*db = NULL;
	if (old == NULL || --old->holds > 0)
		return;
	assert(old->life == LIFE_GONE);
	set_number(&catalogue.databases_by_number, old->id, NULL, old);
	table_clear(&old->named);
	catalogue.free_scope(old->scope);
	free(old->tenant);
	free(old->name);
	free(old);
}

/* --- collections ------------------------------------------------------------------- */

struct collection *catalogue_named(const struct database *db, const char *name)
{
	return table_get(&db->named, name);
}

struct collection *catalogue_by_uuid(const struct uuid *id)
{
	return table_get(&catalogue.by_uuid, id->text);
}

static struct collection *collection_create(int64_t id, struct database *db,
                                            const char *name, enum life life)
{
	struct collection *c = mem_new(struct collection);

	*c = (struct collection){.id = id, .life = life, .holds = 1};
	c->db = database_hold(db);
	c->name = mem_string(name);
	c->created_ms = c->updated_ms = clock_wall_ms();
	TAILQ_INIT(&c->waiters);
	set_number(&catalogue.by_number, id, c, NULL);
	return c;
}

struct collection *catalogue_gone_collection(int64_t id, struct database *db,
                                             const char *name)
{
	return collection_create(id, db, name, LIFE_GONE);
}

struct collection *catalogue_add_collection(int64_t id, struct database *db,
                                            const char *name, enum life life)
{
	struct collection *c = collection_create(id, db, name, life);

	TAILQ_INSERT_TAIL(&db->collections, c, link);
	table_put(&db->named, name, c);
	return c;
}

void collection_set_live(struct collection *c, const struct uuid *public_id)
{
	if (c->life == LIFE_GONE)
		return;
	c->life = LIFE_LIVE;
	c->public_id = *public_id;
	c->updated_ms = clock_wall_ms();
	table_put(&catalogue.by_uuid, public_id->text, c);
	wake_all(&c->waiters);
}

/* Known to clients; or its id on another instance, too: a data directory was copied. */
static bool is_still_its_id(const struct collection *c, const struct uuid *id)
{
	if (uuid_compare(&c->public_id, id) == 0)
		return true;
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++)
		if (uuid_compare(&c->local[i], id) == 0)
			return true;
	return false;
}

static void forget_id(const struct collection *c, const struct uuid *id)
{
	if (!uuid_none(id) && !is_still_its_id(c, id) && catalogue_by_uuid(id) == c)
		table_remove(&catalogue.by_uuid, id->text);
}

/* Made anew there, it has another id, and nobody finds it by the old one. */
void collection_bind(struct collection *c, unsigned instance, const struct uuid *local)
{
	struct uuid old = c->local[instance];

	c->local[instance] = *local;
	forget_id(c, &old);
	c->updated_ms = clock_wall_ms();
	if (c->life == LIFE_LIVE)
		table_put(&catalogue.by_uuid, local->text, c);
}

void collection_reserve(struct collection *c, const char *next_name)
{
	assert(c->next_name == NULL);
	c->next_name = mem_string(next_name);
	if (c->life != LIFE_GONE) /* by a reset, decided while this was appended */
		table_put(&c->db->named, next_name, c);
}

void collection_renamed(struct collection *c, bool accepted)
{
	char *lost = accepted ? c->name : c->next_name;

	if (c->next_name == NULL)
		return;
	if (c->life != LIFE_GONE)
		table_remove(&c->db->named, lost);
	if (accepted)
		c->name = c->next_name;
	c->next_name = NULL;
	free(lost);
	c->updated_ms = clock_wall_ms();
	wake_all(&c->waiters);
}

static void give_up_name(struct collection *c, const char *name)
{
	if (name != NULL && catalogue_named(c->db, name) == c)
		table_remove(&c->db->named, name);
}

void collection_give_up_names(struct collection *c)
{
	give_up_name(c, c->name);
	give_up_name(c, c->next_name);
}

void collection_take_names(struct collection *c, const char *name, const char *next_name)
{
	bool decided = c->next_name != NULL && next_name == NULL;

	free(c->name);
	free(c->next_name);
	c->name = mem_string(name);
	c->next_name = mem_string(next_name);
	table_put(&c->db->named, name, c);
	if (next_name != NULL)
		table_put(&c->db->named, next_name, c);
	if (decided)
		wake_all(&c->waiters);
}

void collection_set_gone(struct collection *c)
{
	if (c->life == LIFE_GONE)
		return;
	c->life = LIFE_GONE;
	collection_give_up_names(c);
	table_remove(&catalogue.by_uuid, c->public_id.text);
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++)
		if (!uuid_none(&c->local[i]))
			table_remove(&catalogue.by_uuid, c->local[i].text);
	TAILQ_REMOVE(&c->db->collections, c, link);
	wake_all(&c->waiters);
	collection_release(&c);
}

struct collection *collection_hold(struct collection *c)
{
	if (c != NULL)
		c->holds++;
	return c;
}

void collection_release(struct collection **c)
{
	struct collection *old = *c;

	*c = NULL;
	if (old == NULL || --old->holds > 0)
		return;
	assert(old->life == LIFE_GONE);
	set_number(&catalogue.by_number, old->id, NULL, old);
	catalogue.free_scope(old->scope);
	database_release(&old->db);
	free(old->name);
	free(old->next_name);
	free(old);
}

static bool is_everywhere(const struct collection *c)
{
	for (unsigned i = 0; i < health_count(); i++)
		if (uuid_none(&c->local[i]))
			return false;
	return true;
}

static void count_in(const struct database *db, struct catalogue_counts *n)
{
	const struct collection *c;

	TAILQ_FOREACH (c, &db->collections, link) {
		n->live += c->life == LIFE_LIVE;
		n->creating += c->life == LIFE_CREATING;
		n->complete += c->life == LIFE_LIVE && is_everywhere(c);
	}
}

struct catalogue_counts catalogue_count(const struct database *db)
{
	struct catalogue_counts n = {0};
	const struct database *d;

	TAILQ_FOREACH (d, &catalogue.list, link)
		if (db == NULL || d == db)
			count_in(d, &n);
	return n;
}

/* --- the whole --------------------------------------------------------------------- */

void catalogue_start(scope_free_fn *free_scope)
{
	TAILQ_INIT(&catalogue.list);
	TAILQ_INIT(&catalogue.tenant_list);
	catalogue.free_scope = free_scope;
}

/* Of those that somebody holds still: what a scope says is over with the rest. */
static void clear_scopes(void)
{
	const struct table_entry *entry = NULL;
	struct collection *c;
	struct database *db;
	size_t bucket = 0;

	while ((c = table_next(&catalogue.by_number, &bucket, &entry)) != NULL) {
		catalogue.free_scope(c->scope);
		c->scope = NULL;
	}
	bucket = 0;
	entry = NULL;
	while ((db = table_next(&catalogue.databases_by_number, &bucket, &entry)) !=
	       NULL) {
		catalogue.free_scope(db->scope);
		db->scope = NULL;
	}
}

void catalogue_clear(void)
{
	struct database *db;

	while ((db = TAILQ_FIRST(&catalogue.list)) != NULL)
		database_set_gone(db);
	while (!TAILQ_EMPTY(&catalogue.tenant_list))
		catalogue_remove_tenant(TAILQ_FIRST(&catalogue.tenant_list)->name);
	table_clear(&catalogue.tenants);
	table_clear(&catalogue.databases);
	table_clear(&catalogue.by_uuid);
	clear_scopes();
	table_clear(&catalogue.by_number);
	table_clear(&catalogue.databases_by_number);
}

void catalogue_stop(void)
{
	catalogue_clear();
}
