/* tests/lib/fake_pg_tables.c - the tables of the log, and what each statement does. */
#include "tests/lib/fake_pg_tables.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/text.h"
#include "core/uuid.h"
#include "tests/lib/fake_pg.h"
#include "tests/lib/fake_pg_tasks.h"

struct tenant_row {
	char *name;
	int64_t seq;
};

struct database_row {
	int64_t id;
	char *public_id, *tenant, *name;
	int life;
};

struct collection_row {
	int64_t id, database;
	char *public_id, *name, *next_name;
	int life;
	bool dimension_known;
};

struct name_row {
	int64_t database, collection;
	char *name;
};

struct binding_row {
	int64_t collection, instance;
	char *local;
};

struct instance_row {
	int64_t id, floor, seen_ms, beat;
	bool marked;
	char *name;
	bool detached;
};

struct partition_row {
	int64_t lo, hi;
};

struct position_row {
	int64_t instance, scope, seq;
};

struct key_row {
	char *key;
	unsigned char fingerprint[16];
	int64_t seq, at_ms;
};

struct quarantine_row {
	int64_t instance, collection, seq, cause, http, attempts, since_ms, apart;
	char *error;
};

struct doubt_row {
	int64_t seq, instance, collection, looks;
	msec due;
};

struct verification_row {
	int64_t collection, at_ms, equal_ms;
	char *result;
};

struct rebuild_row {
	int64_t instance, collection, donor, attempt, base, items, total, since_ms;
	bool complete, switched;
	char *made, *old, *name;
};

struct unproven_row {
	int64_t instance, collection, since_ms;
};

struct leftover_row {
	int64_t instance, collection, attempt;
	char *tenant, *database;
};

#define rows_of(type)                                                                    \
	struct {                                                                         \
		struct type *at;                                                         \
		size_t n;                                                                \
	}
#define add_row(rows, ...)                                                               \
	((rows)->at = mem_resize((rows)->at, ((rows)->n + 1) * sizeof(*(rows)->at)),     \
	 (rows)->at[(rows)->n] = __VA_ARGS__, &(rows)->at[(rows)->n++])
#define each_row(row, rows)                                                              \
	for (row = (rows)->at; row != NULL && row < (rows)->at + (rows)->n; row++)

static struct {
	int64_t version, clock, epoch, cluster;
	char *holder, *holder_name;
	bool adoption_closed;
	bool followed; /* by those who do not lead */
	msec until;
	rows_of(fake_log) log;
	rows_of(tenant_row) tenants;
	rows_of(database_row) databases;
	rows_of(collection_row) collections;
	rows_of(name_row) names;
	rows_of(binding_row) bindings;
	rows_of(instance_row) instances;
	rows_of(partition_row) partitions;
	int64_t last_instance;
	rows_of(position_row) positions;
	rows_of(key_row) keys;
	rows_of(quarantine_row) quarantines;
	rows_of(doubt_row) doubts;
	rows_of(rebuild_row) rebuilds;
	rows_of(verification_row) verifications;
	rows_of(leftover_row) leftovers;
	rows_of(unproven_row) unproven;
} db;

/* --- results --------------------------------------------------------------------------
 */

static void put_len(struct fake_set *set, const char *text, size_t len)
{
	size_t n = (size_t)(set->rows * set->columns);
	size_t have = n; /* cells of whole rows; the open row is counted in `changed` */

	have += (size_t)set->changed++;
	set->cells = mem_resize(set->cells, (have + 1) * sizeof(struct fake_cell));
	set->cells[have].text = text != NULL ? mem_substring(text, len) : NULL;
	set->cells[have].len = len;
}

static void put(struct fake_set *set, const char *text)
{
	put_len(set, text, text != NULL ? strlen(text) : 0);
}

static void put_number(struct fake_set *set, int64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)n);
	put(set, text);
}

static void put_number_or_null(struct fake_set *set, int64_t n)
{
	if (n == 0)
		put(set, NULL);
	else
		put_number(set, n);
}

static void end_row(struct fake_set *set)
{
	set->columns = (int)set->changed;
	set->changed = 0;
	set->rows++;
}

void fake_set_number(struct fake_set *set, int64_t n)
{
	put_number(set, n);
	end_row(set);
}

static void free_set(struct fake_set *set)
{
	for (int k = 0; k < set->rows * set->columns; k++)
		free(set->cells[k].text);
	free(set->cells);
}

void fake_results_clear(struct pg_results *r)
{
	for (int i = 0; i < r->n; i++)
		free_set(&r->sets[i]);
	free(r->sets);
	*r = (struct pg_results){0};
}

int pg_rows(const struct pg_results *r, int statement)
{
	return statement < r->n ? r->sets[statement].rows : 0;
}

int64_t pg_changed(const struct pg_results *r, int statement)
{
	return statement < r->n ? r->sets[statement].changed : 0;
}

static const struct fake_cell *cell(const struct pg_results *r, int statement, int row,
                                    int column)
{
	const struct fake_set *set = &r->sets[statement];

	assert(statement < r->n && row < set->rows && column < set->columns);
	return &set->cells[row * set->columns + column];
}

bool pg_is_null(const struct pg_results *r, int statement, int row, int column)
{
	return cell(r, statement, row, column)->text == NULL;
}

const char *pg_get_text(const struct pg_results *r, int statement, int row, int column)
{
	const char *text = cell(r, statement, row, column)->text;

	return text != NULL ? text : "";
}

int64_t pg_get_int8(const struct pg_results *r, int statement, int row, int column)
{
	return strtoll(pg_get_text(r, statement, row, column), NULL, 10);
}

bool pg_get_bool(const struct pg_results *r, int statement, int row, int column)
{
	return pg_get_text(r, statement, row, column)[0] == 't';
}

const void *pg_get_bytes(const struct pg_results *r, int statement, int row, int column,
                         size_t *len)
{
	*len = cell(r, statement, row, column)->len;
	return pg_get_text(r, statement, row, column);
}

const char *pg_sqlstate(const struct pg_results *r)
{
	return r->sqlstate;
}

const char *pg_message(const struct pg_results *r)
{
	return r->message != NULL ? r->message : "";
}

/* --- finding ---------------------------------------------------------------------------
 */

static struct collection_row *collection_of(int64_t id)
{
	struct collection_row *c;

	each_row(c, &db.collections) if (c->id == id) return c;
	return NULL;
}

static struct database_row *database_of(int64_t id)
{
	struct database_row *d;

	each_row(d, &db.databases) if (d->id == id) return d;
	return NULL;
}

static struct fake_log *log_of(int64_t seq)
{
	struct fake_log *l;

	each_row(l, &db.log) if (l->seq == seq) return l;
	return NULL;
}

static bool name_taken(int64_t database, const char *name)
{
	const struct name_row *n;

	each_row(n, &db.names) if (n->database == database &&
	                           strcmp(n->name, name) == 0) return true;
	return false;
}

/* 0 or NULL stand for any. */
static void delete_names(int64_t database, int64_t collection, const char *name,
                         int64_t before)
{
	for (size_t k = 0; k < db.names.n; k++) {
		struct name_row *n = &db.names.at[k];

		if ((database != 0 && n->database != database) ||
		    (collection != 0 && n->collection != collection) ||
		    (name != NULL && strcmp(n->name, name) != 0) ||
		    (before != 0 && n->collection >= before))
			continue;
		free(n->name);
		*n = db.names.at[--db.names.n];
		k--;
	}
}

static void replace(char **at, const char *text)
{
	char *old = *at;

	*at = mem_string(text);
	free(old);
}

static struct fake_part now; /* the statement being executed */

static int64_t number(int k)
{
	assert(k <= now.n);
	return now.params[k - 1].number;
}

static const char *text(int k)
{
	assert(k <= now.n);
	return now.params[k - 1].text;
}

static char *bytes_copy(int k)
{
	const struct fake_param *p = &now.params[k - 1];

	return p->kind == PG_BYTES ? mem_substring(p->bytes, p->len) : NULL;
}

/* --- appending
 * -------------------------------------------------------------------------- */

static void append(struct fake_set *set, int64_t collection, int64_t database)
{
	struct fake_log l = {
	        .seq = db.clock,
	        .kind = (int)number(2),
	        .collection = collection,
	        .database = database,
	        .name = mem_string(text(5)),
	        .old_name = mem_string(text(6)),
	        .body = bytes_copy(7),
	        .body_len = (int)number(8),
	        .no_body = now.params[6].kind == PG_NULL,
	        .embeddings = number(9) != 0,
	        .epoch = number(10),
	        .at_ms = clock_wall_ms(),
	};

	snprintf(l.op, sizeof(l.op), "%s", text(1));
	l.no_digest = now.params[10].kind == PG_NULL;
	if (!l.no_digest)
		memcpy(l.digest, now.params[10].bytes, sizeof(l.digest));
	snprintf(l.trace, sizeof(l.trace), "%s", text(12) != NULL ? text(12) : "");
	add_row(&db.log, l);
	fake_set_number(set, db.clock);
}

static void append_next(struct fake_set *set)
{
	db.clock++;
	append(set, number(3), number(4));
}

static void append_plain(struct fake_set *set)
{
	const struct collection_row *c = collection_of(number(3));

	if (number(3) == 0 || (c != NULL && c->life < 2))
		append_next(set);
}

static void create_collection(struct fake_set *set, const char *public_id)
{
	const struct database_row *d = database_of(number(4));

	if (d == NULL || d->life != 1 || name_taken(number(4), text(5)))
		return;
	db.clock++;
	add_row(&db.names, (struct name_row){number(4), db.clock, mem_string(text(5))});
	add_row(&db.collections,
	        (struct collection_row){.id = db.clock,
	                                .database = number(4),
	                                .public_id = mem_string(public_id),
	                                .name = mem_string(text(5))});
	append(set, db.clock, number(4));
}

static void append_create_collection(struct fake_set *set)
{
	create_collection(set, text(13));
}

/* The id in "1/id". */
static const char *id_there(void)
{
	const char *slash = strchr(text(6), '/');

	return slash != NULL ? slash + 1 : "";
}

static bool id_known(const char *id)
{
	const struct collection_row *c;
	const struct binding_row *b;

	each_row(c, &db.collections) if (c->public_id != NULL &&
	                                 strcmp(c->public_id, id) == 0) return true;
	each_row(b, &db.bindings) if (strcmp(b->local, id) == 0) return true;
	return false;
}

static void append_adopt_collection(struct fake_set *set)
{
	if (!id_known(id_there()))
		create_collection(set, NULL);
}

static void append_rename(struct fake_set *set)
{
	struct collection_row *c = collection_of(number(3));

	if (c == NULL || c->life != 1 || c->next_name != NULL ||
	    name_taken(number(4), text(5)))
		return;
	add_row(&db.names, (struct name_row){number(4), c->id, mem_string(text(5))});
	c->next_name = mem_string(text(5));
	append_next(set);
}

static void append_delete_collection(struct fake_set *set)
{
	struct collection_row *c = collection_of(number(3));

	if (c == NULL || c->life != 1)
		return;
	c->life = 2;
	delete_names(0, c->id, NULL, 0);
	append_next(set);
}

static bool is_default(const char *tenant, const char *database)
{
	return strcmp(tenant, "default_tenant") == 0 &&
	       strcmp(database, "default_database") == 0;
}

static bool is_being_reset(void)
{
	const struct fake_log *l;

	each_row(l, &db.log) if (l->kind == 40 && l->decision == 0) return true;
	return false;
}

static void append_create_database(struct fake_set *set)
{
	const struct database_row *d;

	each_row(d, &db.databases) if (d->life < 2 && strcmp(d->tenant, text(14)) == 0 &&
	                               strcmp(d->name, text(5)) == 0) return;
	if (is_default(text(14), text(5)) && is_being_reset())
		return;
	db.clock++;
	add_row(&db.databases, (struct database_row){.id = db.clock,
	                                             .public_id = mem_string(text(13)),
	                                             .tenant = mem_string(text(14)),
	                                             .name = mem_string(text(5))});
	append(set, number(3), db.clock);
}

static void append_delete_database(struct fake_set *set)
{
	struct database_row *d = database_of(number(4));
	struct collection_row *c;

	if (d == NULL || d->life != 1)
		return;
	d->life = 2;
	each_row(c, &db.collections) if (c->database == d->id) c->life = 2;
	delete_names(d->id, 0, NULL, 0);
	append_next(set);
}

static void append_create_tenant(struct fake_set *set)
{
	const struct tenant_row *t;

	each_row(t, &db.tenants) if (strcmp(t->name, text(5)) == 0) return;
	append_plain(set);
	add_row(&db.tenants, (struct tenant_row){mem_string(text(5)), db.clock});
}

static void find_op(struct fake_set *set)
{
	const struct fake_log *l;

	each_row(l, &db.log) if (strcmp(l->op, text(1)) == 0)
	{
		assert(l->seq > number(2)); /* only there it is looked for */
		fake_set_number(set, l->seq);
	}
}

/* --- keys
 * --------------------------------------------------------------------------------- */

static const struct key_row *key_of(const char *key)
{
	const struct key_row *k;

	each_row(k, &db.keys) if (strcmp(k->key, key) == 0) return k;
	return NULL;
}

static void note_key(struct fake_set *set)
{
	struct key_row row = {.at_ms = clock_wall_ms()};
	const struct fake_log *l;

	(void)set;
	each_row(l, &db.log) if (strcmp(l->op, text(3)) == 0) row.seq = l->seq;
	assert(row.seq == 0 || row.seq > number(4));
	if (row.seq == 0)
		return;
	row.key = mem_string(text(1));
	memcpy(row.fingerprint, now.params[1].bytes, sizeof(row.fingerprint));
	add_row(&db.keys, row);
}

static void find_key(struct fake_set *set)
{
	const struct key_row *k = key_of(text(1));
	const struct fake_log *l = k != NULL ? log_of(k->seq) : NULL;

	if (k == NULL)
		return;
	put_number(set, k->seq);
	put_len(set, (const char *)k->fingerprint, sizeof(k->fingerprint));
	put_number_or_null(set, l != NULL ? l->http : 0);
	put(set, l != NULL ? l->answer : NULL);
	put_number_or_null(set, l != NULL ? l->instance : 0);
	put(set, NULL);
	put(set, NULL);
	end_row(set);
}

/* Of those the log is kept for. */
static int64_t least_floor(void)
{
	const struct instance_row *i;
	int64_t floor = INT64_MAX;

	each_row(i, &db.instances) if (!i->detached && i->floor < floor) floor = i->floor;
	return floor;
}

static void delete_keys(int64_t upto, int64_t before_ms)
{
	for (size_t n = 0; n < db.keys.n; n++) {
		struct key_row *k = &db.keys.at[n];

		if (k->seq > upto || k->at_ms >= before_ms)
			continue;
		free(k->key);
		*k = db.keys.at[--db.keys.n];
		n--;
	}
}

static void trim_keys(struct fake_set *set)
{
	(void)set;
	delete_keys(least_floor(), clock_wall_ms() - number(1));
}

static void forget_keys(struct fake_set *set)
{
	(void)set;
	delete_keys(number(1) - 1, INT64_MAX);
}

unsigned fake_pg_keys(void)
{
	return (unsigned)db.keys.n;
}

static void fetch(struct fake_set *set)
{
	const struct fake_log *l = log_of(number(1));

	if (l == NULL)
		return;
	put_len(set, l->body, (size_t)l->body_len);
	put_len(set, l->trace[0] != '\0' ? l->trace : NULL, strlen(l->trace));
	end_row(set);
}

/* --- outcomes and positions
 * -------------------------------------------------------------- */

static void store_ids(struct fake_set *set)
{
	struct fake_log *l = log_of(number(1));

	(void)set;
	assert(l != NULL);
	if (l->ids == NULL)
		l->ids = bytes_copy(3);
}

static void outcome(struct fake_set *set)
{
	struct fake_log *l = log_of(number(1));

	(void)set;
	assert(l != NULL && number(2) >= 1 && number(2) <= 4);
	if (l->decision != 0)
		return;
	l->decision = (int)number(2);
	l->http = (int)number(3);
	l->instance = (int)number(5);
	l->answer = bytes_copy(4);
}

static void position(struct fake_set *set)
{
	const struct fake_log *l = log_of(number(3));
	struct position_row *p;

	(void)set;
	/* what changes the catalogue is not passed anywhere before it is decided */
	assert(l == NULL || l->collection != number(2) || l->decision != 0 ||
	       l->kind < 10);
	each_row(p, &db.positions) if (p->instance == number(1) && p->scope == number(2))
	{
		if (p->seq < number(3))
			p->seq = number(3);
		return;
	}
	add_row(&db.positions, (struct position_row){number(1), number(2), number(3)});
}

static void binding(struct fake_set *set)
{
	struct binding_row *b;

	(void)set;
	each_row(b,
	         &db.bindings) if (b->collection == number(1) && b->instance == number(2))
	{
		replace(&b->local, text(3));
		return;
	}
	add_row(&db.bindings,
	        (struct binding_row){number(1), number(2), mem_string(text(3))});
}

static void unbind_gone(struct fake_set *set)
{
	(void)set;
	for (size_t k = 0; k < db.bindings.n; k++) {
		struct binding_row *b = &db.bindings.at[k];

		if (b->instance != number(1) || strcmp(b->local, text(2)) != 0 ||
		    collection_of(b->collection)->life != 2)
			continue;
		free(b->local);
		*b = db.bindings.at[--db.bindings.n];
		k--;
	}
}

static void load_adoption(struct fake_set *set)
{
	put(set, db.adoption_closed ? "f" : "t");
	end_row(set);
}

static void close_adoption(struct fake_set *set)
{
	(void)set;
	db.adoption_closed = true;
}

static void collection_live(struct fake_set *set)
{
	struct collection_row *c = collection_of(number(1));

	(void)set;
	if (c == NULL || c->life != 0)
		return;
	c->life = 1;
	replace(&c->public_id, text(2));
}

static void refused_create(struct fake_set *set)
{
	struct collection_row *c = collection_of(number(1));

	(void)set;
	delete_names(0, number(1), NULL, 0);
	c->life = 2;
}

static void rename_accepted(struct fake_set *set)
{
	struct collection_row *c = collection_of(number(1));

	(void)set;
	delete_names(0, number(1), text(2), 0);
	replace(&c->name, text(3));
	replace(&c->next_name, NULL);
}

static void rename_refused(struct fake_set *set)
{
	struct collection_row *c = collection_of(number(1));

	(void)set;
	delete_names(0, number(1), text(2), 0);
	replace(&c->next_name, NULL);
}

static void dimension(struct fake_set *set)
{
	(void)set;
	collection_of(number(1))->dimension_known = true;
}

static void database_live(struct fake_set *set)
{
	struct database_row *d = database_of(number(1));

	(void)set;
	if (d->life == 0)
		d->life = 1;
}

static void database_refused(struct fake_set *set)
{
	(void)set;
	database_of(number(1))->life = 2;
}

static void remove_tenants(const char *but, const char *name, int64_t before)
{
	for (size_t k = 0; k < db.tenants.n; k++) {
		struct tenant_row *t = &db.tenants.at[k];

		if ((but != NULL && strcmp(t->name, but) == 0) ||
		    (name != NULL && strcmp(t->name, name) != 0) ||
		    (before != 0 && t->seq >= before))
			continue;
		free(t->name);
		*t = db.tenants.at[--db.tenants.n];
		k--;
	}
}

static void tenant_refused(struct fake_set *set)
{
	(void)set;
	remove_tenants(NULL, text(1), 0);
}

/* What is older than the reset ($1) goes with it. */
static void reset_all(struct fake_set *set)
{
	int64_t before = number(1);
	struct collection_row *c;
	struct database_row *d;

	(void)set;
	remove_tenants("default_tenant", NULL, before);
	each_row(d, &db.databases) if (d->id != 1 && d->id < before) d->life = 2;
	each_row(c, &db.collections)
	{
		d = database_of(c->database);
		if (c->id >= before && d->life < 2)
			continue;
		c->life = 2;
		delete_names(0, c->id, NULL, 0);
	}
}

/* The database that every Chroma has; the tenant nothing here takes away. */
static void reset_default(struct fake_set *set)
{
	const struct database_row *d;
	const struct fake_log *l;

	(void)set;
	each_row(l, &db.log)
	{
		d = l->database != 0 ? database_of(l->database) : NULL;
		if (l->seq > number(1) && l->kind == number(2) &&
		    is_default(d->tenant, d->name))
			return;
	}
	database_of(1)->life = 1;
}

static void nothing(struct fake_set *set)
{
	(void)set;
}

/* --- the lease
 * -------------------------------------------------------------------------- */

static void grant(msec holds_for)
{
	db.epoch++;
	db.until = clock_ms() + holds_for;
}

static void lease_acquire(struct fake_set *set)
{
	if (db.holder != NULL && db.until >= clock_ms() &&
	    strcmp(db.holder, text(1)) != 0)
		return;
	replace(&db.holder, text(1));
	replace(&db.holder_name, text(2));
	grant(5000);
	fake_set_number(set, db.epoch);
}

static void lease_renew(struct fake_set *set)
{
	if (db.epoch != number(1) || db.holder == NULL || strcmp(db.holder, text(2)) != 0)
		return;
	db.until = clock_ms() + 5000;
	set->changed = 1;
}

static void lease_who(struct fake_set *set)
{
	put(set, db.holder_name != NULL ? db.holder_name : "");
	put_number(set, db.until > clock_ms() ? (int64_t)(db.until - clock_ms()) : 0);
	end_row(set);
}

static void lease_release(struct fake_set *set)
{
	if (db.epoch != number(1) || db.holder == NULL || strcmp(db.holder, text(2)) != 0)
		return;
	replace(&db.holder, NULL);
	db.until = 0;
	set->changed = 1;
}

void fake_pg_take_lease(msec holds_for)
{
	replace(&db.holder, "another");
	replace(&db.holder_name, "another");
	grant(holds_for);
}

bool fake_pg_has_epoch(int64_t epoch)
{
	return db.epoch == epoch;
}

int64_t fake_pg_epoch(void)
{
	return db.epoch;
}

/* --- loading
 * ----------------------------------------------------------------------------- */

static void clock_now(struct fake_set *set)
{
	fake_set_number(set, db.clock);
}

static void register_instance(struct fake_set *set)
{
	struct instance_row *i;

	each_row(i, &db.instances) if (strcmp(i->name, text(1)) == 0) break;
	if (i == NULL || i == db.instances.at + db.instances.n)
		i = add_row(&db.instances,
		            (struct instance_row){.id = ++db.last_instance,
		                                  .name = mem_string(text(1))});
	i->seen_ms = clock_wall_ms();
	put_number(set, i->id);
	put_number(set, i->floor);
	put(set, i->detached ? "t" : "f");
	end_row(set);
}

const char *fake_cluster(char out[40])
{
	snprintf(out, 40, "c1c1c1c1-0000-4000-8000-%012lld", (long long)db.cluster);
	return out;
}

static void marker_of(int64_t instance, char out[40])
{
	snprintf(out, 40, "a0a0a0a0-0000-4000-8000-%012lld", (long long)instance);
}

static void load_cluster(struct fake_set *set)
{
	char cluster[40];

	put(set, fake_cluster(cluster));
	end_row(set);
}

static void load_markers(struct fake_set *set)
{
	const struct instance_row *i;
	char marker[40];

	each_row(i, &db.instances)
	{
		marker_of(i->id, marker);
		put_number(set, i->id);
		put(set, i->name);
		put(set, marker);
		put_number(set, i->beat);
		put(set, i->marked ? "t" : "f");
		end_row(set);
	}
}

static void set_beat(bool marked)
{
	struct instance_row *i;

	each_row(i, &db.instances)
	{
		if (i->id != number(1) || i->beat >= number(2))
			continue;
		i->marked = marked;
		i->beat = number(2);
	}
}

static void note_beat(struct fake_set *set)
{
	(void)set;
	set_beat(true);
}

static void unmark(struct fake_set *set)
{
	(void)set;
	set_beat(false);
}

static bool log_names(int64_t collection, int64_t database, int64_t above)
{
	const struct fake_log *l;

	each_row(l,
	         &db.log) if (l->seq > above &&
	                      ((collection != 0 && l->collection == collection) ||
	                       (database != 0 && l->database == database))) return true;
	return false;
}

static void load_tenants(struct fake_set *set)
{
	const struct tenant_row *t;

	each_row(t, &db.tenants)
	{
		put(set, t->name);
		put_number(set, t->seq);
		end_row(set);
	}
}

static bool holds_named_collection(int64_t database, int64_t above)
{
	const struct collection_row *c;

	each_row(c, &db.collections) if (c->database == database &&
	                                 log_names(c->id, 0, above)) return true;
	return false;
}

static void load_databases(struct fake_set *set)
{
	const struct database_row *d;

	each_row(d, &db.databases)
	{
		if (d->life == 2 && !log_names(0, d->id, number(1)) &&
		    !holds_named_collection(d->id, number(1)))
			continue;
		put_number(set, d->id);
		put(set, d->public_id);
		put(set, d->tenant);
		put(set, d->name);
		put_number(set, d->life);
		end_row(set);
	}
}

static void load_collections(struct fake_set *set)
{
	const struct collection_row *c;

	each_row(c, &db.collections)
	{
		if (c->life == 2 && !log_names(c->id, 0, number(1)))
			continue;
		put_number(set, c->id);
		put(set, c->public_id != NULL ? c->public_id : "");
		put_number(set, c->database);
		put(set, c->name);
		put(set, c->next_name);
		put_number(set, c->life);
		put(set, c->dimension_known ? "t" : "f");
		put_number(set, 1000);
		put_number(set, 2000);
		end_row(set);
	}
}

static void load_bindings(struct fake_set *set)
{
	const struct binding_row *b;

	each_row(b, &db.bindings)
	{
		const struct collection_row *c = collection_of(b->collection);

		if (c->life == 2 && !log_names(c->id, 0, number(1)))
			continue;
		put_number(set, b->collection);
		put_number(set, b->instance);
		put(set, b->local);
		end_row(set);
	}
}

static void load_positions(struct fake_set *set)
{
	const struct position_row *p;

	each_row(p, &db.positions)
	{
		put_number(set, p->instance);
		put_number(set, p->scope);
		put_number(set, p->seq);
		end_row(set);
	}
}

/* Shorter than was asked for, so that there are several. */
#define SHORT_PAGE 7

static void put_log_row(struct fake_set *set, const struct fake_log *l)
{
	put_number(set, l->seq);
	put_number(set, l->kind);
	put_number_or_null(set, l->collection);
	put_number_or_null(set, l->database);
	put(set, l->name);
	put(set, l->old_name);
	put_number(set, l->body_len);
	put(set, l->embeddings ? "t" : "f");
	put_number(set, l->at_ms);
	put_len(set, l->no_digest ? NULL : (const char *)l->digest, sizeof(l->digest));
	put(set, l->trace[0] != '\0' ? l->trace : NULL);
}

static void load_log(struct fake_set *set)
{
	const struct fake_log *l;
	unsigned n = 0;

	assert(number(2) >= SHORT_PAGE);
	each_row(l, &db.log)
	{
		if (l->seq <= number(1) || l->seq > number(3) || n++ >= SHORT_PAGE)
			continue;
		put_log_row(set, l);
		put_number_or_null(set, l->decision);
		put_number_or_null(set, l->http);
		put_number_or_null(set, l->instance);
		put(set, l->decision == 2 ? NULL : l->ids);
		end_row(set);
	}
}

/* Of a create of a database its tenant is in the row of the database. */
static void tail_log(struct fake_set *set)
{
	const struct fake_log *l;

	each_row(l, &db.log)
	{
		const struct database_row *d =
		        l->kind == 20 ? database_of(l->database) : NULL;
		const struct collection_row *c = collection_of(l->collection);

		if (l->seq <= number(1))
			continue;
		put_log_row(set, l);
		put(set, d != NULL ? d->public_id : "");
		put(set, d != NULL ? d->tenant : NULL);
		put(set, c != NULL && c->public_id != NULL ? c->public_id : "");
		put_number_or_null(set, c != NULL ? c->database : 0);
		put(set, c != NULL ? c->name : NULL);
		end_row(set);
	}
}

static bool is_listed(const char *list, int64_t n)
{
	const char *at = list;

	while (at != NULL && *at != '\0') {
		if (strtoll(at, NULL, 10) == n)
			return true;
		at = strchr(at, ',');
		at = at != NULL ? at + 1 : NULL;
	}
	return false;
}

static void find_outcomes(struct fake_set *set)
{
	const struct fake_log *l;

	each_row(l, &db.log)
	{
		if (l->decision == 0 || !is_listed(text(1), l->seq))
			continue;
		put_number(set, l->seq);
		put_number(set, l->http);
		put(set, l->answer);
		put_number_or_null(set, l->instance);
		put(set, NULL);
		put(set, NULL);
		end_row(set);
	}
}

static bool is_passed(const struct fake_log *l)
{
	const struct position_row *p;
	const struct instance_row *i;

	each_row(p, &db.positions)
	        each_row(i, &db.instances) if (i->id == p->instance && !i->detached &&
	                                       p->scope == l->collection &&
	                                       p->seq >= l->seq) return true;
	return false;
}

static void find_inferred(struct fake_set *set)
{
	const struct fake_log *l;

	each_row(l, &db.log)
	{
		if (l->decision != 0 || l->kind >= 10 || !is_listed(text(1), l->seq) ||
		    !is_passed(l))
			continue;
		put_number(set, l->seq);
		put_number(set, l->kind == 1 ? 201 : 200);
		for (int k = 0; k < 4; k++)
			put(set, NULL);
		end_row(set);
	}
}

static void count_others(struct fake_set *set)
{
	fake_set_number(set, 0);
}

/* Nobody is followed, unless a test wants that: they wait until they lead. */
static void mirror_clock(struct fake_set *set)
{
	put_number(set, db.clock);
	put(set, db.followed ? "t" : "f");
	end_row(set);
}

static void mirror_leader(struct fake_set *set)
{
	put(set, db.followed ? "t" : "f");
	end_row(set);
}

static void mirror_instances(struct fake_set *set)
{
	const struct instance_row *i;

	each_row(i, &db.instances)
	{
		put_number(set, i->id);
		put(set, i->name);
		end_row(set);
	}
}

static int64_t position_at(const struct instance_row *i, int64_t scope)
{
	const struct position_row *p;
	int64_t seq = i->floor;

	each_row(p, &db.positions) if (p->instance == i->id && p->scope == scope &&
	                               p->seq > seq) seq = p->seq;
	return seq;
}

static struct unproven_row *unproven_of(int64_t instance, int64_t collection);

static void put_standing(struct fake_set *set, const struct collection_row *c,
                         const struct instance_row *i)
{
	const struct binding_row *b;
	const struct quarantine_row *q;
	const char *local = "", *cause = NULL;
	char number_text[24];

	each_row(b, &db.bindings) if (b->collection == c->id && b->instance == i->id)
	        local = b->local;
	each_row(q, &db.quarantines) if (q->collection == c->id && q->instance == i->id)
	{
		snprintf(number_text, sizeof(number_text), "%lld", (long long)q->cause);
		cause = number_text;
	}
	put_number(set, c->id);
	put_number(set, i->id);
	put(set, local);
	put_number(set, position_at(i, c->id));
	put_number(set, position_at(i, c->database));
	put(set, i->detached ? "t" : "f");
	put(set, cause);
	put(set, unproven_of(i->id, c->id) != NULL ? "t" : "f");
	end_row(set);
}

static void standing_collections(struct fake_set *set)
{
	const struct collection_row *c;
	const struct instance_row *i;

	each_row(c, &db.collections)
	{
		if (c->life == 2 || !is_listed(text(1), c->id))
			continue;
		each_row(i, &db.instances) put_standing(set, c, i);
	}
}

void fake_pg_is_followed(bool yes)
{
	db.followed = yes;
}

int64_t fake_pg_append_elsewhere(int kind, int64_t collection, int64_t database,
                                 const char *name, const char *body)
{
	static int last;
	char op[40];
	struct fake_param p[13] = {0};
	struct fake_part part = {.name = kind == 10   ? "append_create_collection"
	                                 : kind == 12 ? "append_delete_collection"
	                                              : "append",
	                         .n = 13,
	                         .params = p};
	struct fake_set set = {0};

	snprintf(op, sizeof(op), "00000000-0000-0000-0000-%012d", ++last);
	p[0] = (struct fake_param){.kind = PG_TEXT, .text = op};
	p[1].number = kind;
	p[2].number = collection;
	p[3].number = database;
	p[4].text = (char *)(uintptr_t)name;
	p[6].kind = body != NULL ? PG_BYTES : PG_NULL;
	p[6].bytes = body;
	p[6].len = body != NULL ? strlen(body) : 0;
	p[7].number = (int64_t)p[6].len;
	fake_tables_execute(&part, &set);
	free_set(&set);
	return set.rows == 1 ? db.clock : 0;
}

/* --- quarantine and doubt
 * ------------------------------------------------------------------ */

static struct quarantine_row *quarantine_of(int64_t instance, int64_t collection)
{
	struct quarantine_row *q;

	each_row(q, &db.quarantines) if (q->instance == instance &&
	                                 q->collection == collection) return q;
	return NULL;
}

static void quarantine(struct fake_set *set)
{
	struct quarantine_row *q = quarantine_of(number(1), number(2));

	(void)set;
	if (q == NULL)
		q = add_row(&db.quarantines,
		            (struct quarantine_row){.instance = number(1),
		                                    .collection = number(2),
		                                    .since_ms = clock_wall_ms()});
	q->seq = number(3);
	q->cause = number(4);
	q->http = number(5);
	q->attempts = number(7);
	q->apart = number(8);
	replace(&q->error, text(6));
}

static void quarantine_all(struct fake_set *set)
{
	const char *c = text(2) + 1, *s = text(3) + 1;
	char *end_c, *end_s;

	(void)set;
	for (;; c = end_c + 1, s = end_s + 1) {
		int64_t collection = strtoll(c, &end_c, 10), seq = strtoll(s, &end_s, 10);
		struct quarantine_row *q = quarantine_of(number(1), collection);

		assert(end_c != c && end_s != s);
		if (q == NULL)
			q = add_row(&db.quarantines,
			            (struct quarantine_row){.instance = number(1),
			                                    .collection = collection,
			                                    .since_ms = clock_wall_ms()});
		q->seq = q->apart = seq;
		q->cause = number(4);
		q->http = q->attempts = 0;
		replace(&q->error, text(5));
		if (*end_c == '}')
			break;
	}
}

static void quarantine_end(struct fake_set *set)
{
	struct quarantine_row *q = quarantine_of(number(1), number(2));

	(void)set;
	if (q == NULL)
		return;
	free(q->error);
	*q = db.quarantines.at[--db.quarantines.n];
}

static void load_quarantine(struct fake_set *set)
{
	const struct quarantine_row *q;

	each_row(q, &db.quarantines)
	{
		put_number(set, q->instance);
		put_number(set, q->collection);
		put_number(set, q->seq);
		put_number(set, q->cause);
		put_number(set, q->http);
		put(set, q->error);
		put_number(set, q->attempts);
		put_number(set, q->since_ms);
		put_number(set, q->apart);
		end_row(set);
	}
}

static struct doubt_row *doubt_of(int64_t seq, int64_t instance)
{
	struct doubt_row *d;

	each_row(d, &db.doubts) if (d->seq == seq && d->instance == instance) return d;
	return NULL;
}

static void doubt_note(struct fake_set *set)
{
	(void)set;
	if (doubt_of(number(1), number(2)) == NULL)
		add_row(&db.doubts, (struct doubt_row){number(1), number(2), number(3), 0,
		                                       clock_ms() + (msec)number(4)});
}

static void doubt_looked(struct fake_set *set)
{
	struct doubt_row *d = doubt_of(number(1), number(2));

	(void)set;
	if (d == NULL)
		return;
	d->looks++;
	d->due = clock_ms() + (msec)number(3);
}

static void doubt_settled(struct fake_set *set)
{
	struct doubt_row *d = doubt_of(number(1), number(2));

	(void)set;
	if (d != NULL)
		*d = db.doubts.at[--db.doubts.n];
}

static void load_doubt(struct fake_set *set)
{
	const struct doubt_row *d;

	each_row(d, &db.doubts)
	{
		put_number(set, d->seq);
		put_number(set, d->instance);
		put_number(set, d->collection);
		put_number(set, d->looks);
		put_number(set, d->due > clock_ms() ? (int64_t)(d->due - clock_ms()) : 0);
		end_row(set);
	}
}

static void doubt_find(struct fake_set *set)
{
	const struct fake_log *l = log_of(number(1));

	if (l == NULL)
		return;
	put_len(set, l->ids != NULL ? l->ids : l->body,
	        l->ids != NULL ? strlen(l->ids) : (size_t)l->body_len);
	end_row(set);
}

/* --- compared
 * ------------------------------------------------------------------------- */

static struct unproven_row *unproven_of(int64_t instance, int64_t collection)
{
	struct unproven_row *u;

	each_row(u, &db.unproven) if (u->instance == instance &&
	                              u->collection == collection) return u;
	return NULL;
}

static void unproven(struct fake_set *set)
{
	(void)set;
	if (unproven_of(number(1), number(2)) == NULL)
		add_row(&db.unproven, (struct unproven_row){.instance = number(1),
		                                            .collection = number(2),
		                                            .since_ms = clock_wall_ms()});
}

static void unproven_end(struct fake_set *set)
{
	struct unproven_row *u = unproven_of(number(1), number(2));

	(void)set;
	if (u != NULL)
		*u = db.unproven.at[--db.unproven.n];
}

static void load_unproven(struct fake_set *set)
{
	const struct unproven_row *u;

	each_row(u, &db.unproven)
	{
		put_number(set, u->instance);
		put_number(set, u->collection);
		put_number(set, u->since_ms);
		end_row(set);
	}
}

void fake_pg_prove(void)
{
	db.unproven.n = 0;
}

unsigned fake_pg_unproven(void)
{
	return (unsigned)db.unproven.n;
}

/* --- verification
 * ------------------------------------------------------------------------- */

static void verify_keep(struct fake_set *set)
{
	struct verification_row *v;

	(void)set;
	each_row(v, &db.verifications) if (v->collection == number(1)) break;
	if (v == NULL || v == db.verifications.at + db.verifications.n)
		v = add_row(&db.verifications,
		            (struct verification_row){.collection = number(1)});
	v->at_ms = clock_wall_ms();
	replace(&v->result, text(3));
	if (number(5) != 0)
		v->equal_ms = clock_wall_ms();
}

static void load_verification(struct fake_set *set)
{
	const struct verification_row *v;

	each_row(v, &db.verifications)
	{
		put_number(set, v->collection);
		put_number(set, v->at_ms);
		put_number(set, v->equal_ms);
		end_row(set);
	}
}

/* The latest first, a page of 20. */
static void verify_records(struct fake_set *set)
{
	int rows = 0;

	for (size_t k = db.log.n; k > 0 && rows < 20; k--) {
		const struct fake_log *l = &db.log.at[k - 1];

		if (l->collection != number(1) || l->seq >= number(2) ||
		    l->seq <= number(3) || l->kind >= 10 || l->decision != 1)
			continue;
		put_number(set, l->seq);
		put_number(set, l->kind);
		if (l->ids != NULL)
			put(set, l->ids);
		else
			put_len(set, l->body_len <= number(4) ? l->body : NULL,
			        (size_t)l->body_len);
		end_row(set);
		rows++;
	}
}

const char *fake_pg_verified(int64_t collection)
{
	const struct verification_row *v;

	each_row(v, &db.verifications) if (v->collection == collection) return v->result;
	return "";
}

/* --- what was touched
 * ---------------------------------------------------------------------------- */

static void touched_end(struct fake_set *set)
{
	fake_set_number(set, db.clock);
}

static void touched_records(struct fake_set *set)
{
	const struct fake_log *l;

	each_row(l, &db.log)
	{
		if (l->collection != number(1) || l->seq <= number(2) ||
		    l->seq > number(3) || set->rows == 500 ||
		    ((l->kind < 1 || l->kind > 5) && l->kind != 11))
			continue;
		put_number(set, l->seq);
		put_number(set, l->kind);
		put_number(set, l->body_len);
		if (l->ids != NULL)
			put_number(set, (int64_t)strlen(l->ids));
		else
			put(set, NULL);
		put_number_or_null(set, l->decision);
		end_row(set);
	}
}

static void touched_position(struct fake_set *set)
{
	const struct position_row *p;

	each_row(p, &db.positions) if (p->instance == number(1) && p->scope == number(2))
	        fake_set_number(set, p->seq);
}

/* --- rebuild
 * ------------------------------------------------------------------------------ */

static struct rebuild_row *rebuild_of(int64_t instance, int64_t collection)
{
	struct rebuild_row *b;

	each_row(b, &db.rebuilds) if (b->instance == instance &&
	                              b->collection == collection) return b;
	return NULL;
}

static void rebuild_row_clear(struct rebuild_row *b)
{
	free(b->made);
	free(b->old);
	free(b->name);
}

static void rebuild_begin(struct fake_set *set)
{
	struct rebuild_row *b = rebuild_of(number(1), number(2));

	(void)set;
	if (b == NULL)
		b = add_row(&db.rebuilds, (struct rebuild_row){.instance = number(1),
		                                               .collection = number(2)});
	rebuild_row_clear(b);
	*b = (struct rebuild_row){.instance = number(1),
	                          .collection = number(2),
	                          .donor = number(3),
	                          .attempt = number(4),
	                          .since_ms = clock_wall_ms()};
}

static void rebuild_progress(struct fake_set *set)
{
	struct rebuild_row *b = rebuild_of(number(1), number(2));

	(void)set;
	if (b == NULL)
		return;
	replace(&b->made, text(3));
	b->base = number(4);
	b->items = number(5);
	b->total = number(6);
	b->complete = number(7) != 0;
}

static void rebuild_distrust_rows(struct fake_set *set)
{
	struct rebuild_row *b;

	(void)set;
	each_row(b, &db.rebuilds)
	{
		if (b->instance != number(1))
			continue;
		replace(&b->made, NULL);
		b->base = b->items = b->total = 0;
		b->complete = b->switched = false;
	}
}

static void rebuild_switch(struct fake_set *set)
{
	struct rebuild_row *b = rebuild_of(number(1), number(2));

	(void)set;
	assert(b != NULL);
	b->switched = true;
	replace(&b->old, text(3));
	replace(&b->name, text(4));
}

static void rebuild_end(struct fake_set *set)
{
	struct rebuild_row *b = rebuild_of(number(1), number(2));

	(void)set;
	if (b == NULL)
		return;
	rebuild_row_clear(b);
	*b = db.rebuilds.at[--db.rebuilds.n];
}

static void leftover(struct fake_set *set)
{
	(void)set;
	add_row(&db.leftovers, (struct leftover_row){.instance = number(1),
	                                             .collection = number(2),
	                                             .attempt = number(3),
	                                             .tenant = mem_string(text(4)),
	                                             .database = mem_string(text(5))});
}

static void leftover_row_clear(struct leftover_row *l)
{
	free(l->tenant);
	free(l->database);
}

static void leftover_end(struct fake_set *set)
{
	struct leftover_row *l;

	(void)set;
	for (size_t k = db.leftovers.n; k-- > 0;) {
		l = &db.leftovers.at[k];
		if (l->instance != number(1) || l->collection != number(2) ||
		    l->attempt != number(3))
			continue;
		leftover_row_clear(l);
		*l = db.leftovers.at[--db.leftovers.n];
	}
}

static void load_leftover(struct fake_set *set)
{
	const struct leftover_row *l;

	each_row(l, &db.leftovers)
	{
		put_number(set, l->instance);
		put_number(set, l->collection);
		put_number(set, l->attempt);
		put(set, l->tenant);
		put(set, l->database);
		end_row(set);
	}
}

static void becomes_leftover(const struct rebuild_row *b)
{
	const struct collection_row *c = collection_of(b->collection);
	const struct database_row *d = database_of(c->database);

	add_row(&db.leftovers, (struct leftover_row){.instance = b->instance,
	                                             .collection = b->collection,
	                                             .attempt = b->attempt,
	                                             .tenant = mem_string(d->tenant),
	                                             .database = mem_string(d->name)});
}

static void sweep_rebuild(struct fake_set *set)
{
	struct rebuild_row *b;

	(void)set;
	for (size_t k = db.rebuilds.n; k-- > 0;) {
		b = &db.rebuilds.at[k];
		if (quarantine_of(b->instance, b->collection) != NULL)
			continue;
		becomes_leftover(b);
		rebuild_row_clear(b);
		*b = db.rebuilds.at[--db.rebuilds.n];
	}
}

static void load_rebuild(struct fake_set *set)
{
	const struct rebuild_row *b;

	each_row(b, &db.rebuilds)
	{
		put_number(set, b->instance);
		put_number(set, b->collection);
		put_number(set, b->donor);
		put_number(set, b->attempt);
		put(set, b->made);
		put_number(set, b->base);
		put_number(set, b->items);
		put_number(set, b->total);
		put(set, b->complete ? "t" : "f");
		put(set, b->switched ? "t" : "f");
		put(set, b->old);
		put(set, b->name);
		put_number(set, b->since_ms);
		end_row(set);
	}
}

/* --- upkeep
 * ------------------------------------------------------------------------------- */

static struct instance_row *instance_of(int64_t id)
{
	struct instance_row *i;

	each_row(i, &db.instances) if (i->id == id) return i;
	return NULL;
}

static void set_floor(struct fake_set *set)
{
	struct instance_row *i = instance_of(number(1));

	(void)set;
	if (i->floor < number(2))
		i->floor = number(2);
	i->seen_ms = clock_wall_ms();
}

static void set_seen(struct fake_set *set)
{
	(void)set;
	instance_of(number(1))->seen_ms = clock_wall_ms();
}

static void set_detached(struct fake_set *set)
{
	(void)set;
	instance_of(number(1))->detached = true;
}

static void set_attached(struct fake_set *set)
{
	struct instance_row *i = instance_of(number(1));

	(void)set;
	i->detached = false;
	if (i->floor < number(2))
		i->floor = number(2);
}

static void log_row_clear(struct fake_log *l)
{
	free(l->name);
	free(l->old_name);
	free(l->body);
	free(l->ids);
	free(l->answer);
}

static bool is_in(const struct partition_row *p, int64_t seq)
{
	return seq >= p->lo && seq < p->hi;
}

static bool has_partition(int64_t seq)
{
	const struct partition_row *p;

	each_row(p, &db.partitions) if (is_in(p, seq)) return true;
	return false;
}

static void look_partitions(struct fake_set *set)
{
	const struct partition_row *p;
	const struct fake_log *l;

	each_row(p, &db.partitions)
	{
		int64_t n = 0, oldest = -1, newest = -1;

		each_row(l, &db.log) if (is_in(p, l->seq))
		{
			newest = clock_wall_ms() - l->at_ms;
			oldest = n++ == 0 ? newest : oldest;
		}
		put_number(set, p->lo);
		put_number(set, p->hi);
		put_number(set, n * FAKE_RECORD_BYTES);
		put_number(set, oldest);
		put_number(set, newest);
		end_row(set);
	}
}

static void look_beside(struct fake_set *set)
{
	put_number(set, db.clock);
	put_number(set, 0);
	end_row(set);
}

static void look_instances(struct fake_set *set)
{
	const struct instance_row *i;

	each_row(i, &db.instances)
	{
		put_number(set, i->id);
		put(set, i->name);
		put_number(set, i->floor);
		put(set, i->detached ? "t" : "f");
		put_number(set, clock_wall_ms() - i->seen_ms);
		end_row(set);
	}
}

static void log_add(struct fake_set *set)
{
	(void)set;
	assert(number(1) < number(2) && !has_partition(number(1)));
	add_row(&db.partitions, (struct partition_row){number(1), number(2)});
}

static void log_close(struct fake_set *set)
{
	assert(has_partition(number(1)));
	if (db.clock >= number(1) - 1)
		return;
	fake_set_number(set, db.clock);
	db.clock = number(1) - 1;
}

static void count_records(struct fake_set *set)
{
	const struct fake_log *l;
	int64_t n = 0;

	each_row(l, &db.log) n += l->seq >= number(1) && l->seq < number(2);
	fake_set_number(set, n);
}

/* What is owed, or undecided, would be lost. */
static void assert_not_needed(const struct fake_log *l)
{
	assert(l->decision != 0 && l->seq <= least_floor());
}

static void log_drop(struct fake_set *set)
{
	struct partition_row *p = db.partitions.at;
	size_t gone = 0;

	assert(p->lo == number(1) && p->hi == number(2)); /* the oldest */
	while (gone < db.log.n && db.log.at[gone].seq < p->hi) {
		assert_not_needed(&db.log.at[gone]);
		log_row_clear(&db.log.at[gone++]);
	}
	memmove(p, p + 1, --db.partitions.n * sizeof(*p));
	if (gone > 0) {
		memmove(db.log.at, db.log.at + gone,
		        (db.log.n - gone) * sizeof(*db.log.at));
		db.log.n -= gone;
	}
	put(set, "t");
	end_row(set);
}

/* --- for fake_pg_tasks.c
 * ------------------------------------------------------------------ */

int64_t fake_number(int k)
{
	return number(k);
}

const char *fake_text(int k)
{
	return text(k);
}

void fake_put(struct fake_set *set, const char *s)
{
	put(set, s);
}

void fake_put_number(struct fake_set *set, int64_t n)
{
	put_number(set, n);
}

void fake_end_row(struct fake_set *set)
{
	end_row(set);
}

static int64_t instance_id(const char *name);

int64_t fake_instance_id(const char *name)
{
	return instance_id(name);
}

bool fake_is_rebuilt(int64_t instance, int64_t collection, int64_t attempt)
{
	const struct rebuild_row *b = rebuild_of(instance, collection);

	return b != NULL && b->attempt == attempt && !b->complete;
}

const char *fake_instance(int64_t id, char marker[40], int64_t *beat)
{
	const struct instance_row *i = instance_of(id);

	marker_of(id, marker);
	*beat = i->beat;
	return i->name;
}

/* --- executing
 * ---------------------------------------------------------------------------- */

static const struct fake_statement statements[] = {
        {"append", append_plain},
        {"append_create_collection", append_create_collection},
        {"append_rename", append_rename},
        {"append_delete_collection", append_delete_collection},
        {"append_create_database", append_create_database},
        {"append_delete_database", append_delete_database},
        {"append_create_tenant", append_create_tenant},
        {"find_op", find_op},
        {"note_key", note_key},
        {"find_key", find_key},
        {"trim_keys", trim_keys},
        {"tails", nothing},
        {"count_others", count_others},
        {"tell_appended", nothing},
        {"tell_decided", nothing},
        {"tell_free", nothing},
        {"tail_clock", clock_now},
        {"tail_log", tail_log},
        {"find_outcomes", find_outcomes},
        {"find_inferred", find_inferred},
        {"mirror_clock", mirror_clock},
        {"shown_look", nothing}, /* of an older version, it tells nothing */
        {"mirror_instances", mirror_instances},
        {"mirror_leader", mirror_leader},
        {"mirror_tail", nothing},
        {"standing_collections", standing_collections},
        {"standing_databases", nothing},
        {"mirror_places", nothing},
        {"mirror_undecided", nothing},
        {"fetch", fetch},
        {"store_ids", store_ids},
        {"outcome", outcome},
        {"position", position},
        {"binding", binding},
        {"collection_live", collection_live},
        {"refused_create", refused_create},
        {"rename_accepted", rename_accepted},
        {"rename_refused", rename_refused},
        {"dimension", dimension},
        {"database_live", database_live},
        {"database_refused", database_refused},
        {"tenant_refused", tenant_refused},
        {"reset_all", reset_all},
        {"reset_default", reset_default},
        {"lease_acquire", lease_acquire},
        {"lease_renew", lease_renew},
        {"lease_who", lease_who},
        {"lease_release", lease_release},
        {"clock_now", clock_now},
        {"register_instance", register_instance},
        {"forget_places", nothing},
        {"load_tenants", load_tenants},
        {"load_databases", load_databases},
        {"load_collections", load_collections},
        {"load_bindings", load_bindings},
        {"load_positions", load_positions},
        {"load_log", load_log},
        {"quarantine", quarantine},
        {"quarantine_all", quarantine_all},
        {"load_cluster", load_cluster},
        {"load_markers", load_markers},
        {"note_beat", note_beat},
        {"unmark", unmark},
        {"quarantine_end", quarantine_end},
        {"sweep_quarantine", nothing},
        {"append_adopt_collection", append_adopt_collection},
        {"unbind_gone", unbind_gone},
        {"load_adoption", load_adoption},
        {"close_adoption", close_adoption},
        {"rebuild_begin", rebuild_begin},
        {"rebuild_progress", rebuild_progress},
        {"rebuild_switch", rebuild_switch},
        {"rebuild_distrust", rebuild_distrust_rows},
        {"rebuild_end", rebuild_end},
        {"sweep_rebuild", sweep_rebuild},
        {"load_rebuild", load_rebuild},
        {"leftover", leftover},
        {"leftover_end", leftover_end},
        {"load_leftover", load_leftover},
        {"load_quarantine", load_quarantine},
        {"doubt_note", doubt_note},
        {"doubt_looked", doubt_looked},
        {"doubt_settled", doubt_settled},
        {"doubt_find", doubt_find},
        {"touched_end", touched_end},
        {"touched_records", touched_records},
        {"touched_position", touched_position},
        {"touched_body", doubt_find},
        {"verify_keep", verify_keep},
        {"verify_records", verify_records},
        {"sweep_verification", nothing},
        {"load_verification", load_verification},
        {"unproven", unproven},
        {"unproven_end", unproven_end},
        {"sweep_unproven", nothing},
        {"load_unproven", load_unproven},
        {"sweep_doubt", nothing},
        {"load_doubt", load_doubt},
        {"set_floor", set_floor},
        {"set_seen", set_seen},
        {"set_detached", set_detached},
        {"set_attached", set_attached},
        {"trim_outcomes", nothing},
        {"trim_resolved", nothing},
        {"look_partitions", look_partitions},
        {"look_beside", look_beside},
        {"look_instances", look_instances},
        {"log_add", log_add},
        {"log_close", log_close},
        {"forget_keys", forget_keys},
        {"count_records", count_records},
        {"log_drop", log_drop},
};

static void once(const char *sql, struct fake_set *set)
{
	static const char mark[] = "INSERT INTO chromatid.migration (version) VALUES (";

	if (strstr(sql, "max(version)") != NULL)
		fake_set_number(set, db.version);
	else if (strncmp(sql, mark, strlen(mark)) == 0)
		db.version = atoi(sql + strlen(mark));
}

const char *fake_tables_violates(const struct fake_part *part)
{
	if (part->name == NULL)
		return "";
	if (strncmp(part->name, "append", 6) == 0 && !has_partition(db.clock + 1))
		return "23514";
	if (strcmp(part->name, "note_key") == 0 && key_of(part->params[0].text) != NULL)
		return "23505";
	/* one that a dead process has sent, when the next has added it already */
	if (strcmp(part->name, "log_add") == 0 && has_partition(part->params[0].number))
		return "42P07";
	return "";
}

static bool is_written_to(int64_t collection, int64_t after)
{
	const struct fake_log *l;

	each_row(l,
	         &db.log) if (l->collection == collection && l->seq > after) return true;
	return false;
}

const char *fake_tables_execute(const struct fake_part *part, struct fake_set *set)
{
	now = *part;
	if (part->name == NULL) {
		once(part->sql, set);
		return "";
	}
	if (strcmp(part->name, "fence") == 0)
		return number(1) == db.epoch ? "" : "CT001";
	if (strcmp(part->name, "unless") == 0)
		return is_written_to(number(1), number(2)) ? "CT003" : "";
	for (size_t k = 0; k < sizeof(statements) / sizeof(statements[0]); k++)
		if (strcmp(statements[k].name, part->name) == 0) {
			statements[k].run(set);
			return "";
		}
	for (size_t k = 0; fake_task_statements[k].name != NULL; k++)
		if (strcmp(fake_task_statements[k].name, part->name) == 0) {
			fake_task_statements[k].run(set);
			return "";
		}
	for (size_t k = 0; fake_operator_statements[k].name != NULL; k++)
		if (strcmp(fake_operator_statements[k].name, part->name) == 0) {
			fake_operator_statements[k].run(set);
			return "";
		}
	for (size_t k = 0; fake_errand_statements[k].name != NULL; k++)
		if (strcmp(fake_errand_statements[k].name, part->name) == 0) {
			fake_errand_statements[k].run(set);
			return "";
		}
	fprintf(stderr, "fake_pg does not know the statement %s\n", part->name);
	abort();
}

void fake_tables_start(void)
{
	db.clock = 1;
	add_row(&db.partitions, (struct partition_row){0, 100001});
	add_row(&db.partitions, (struct partition_row){100001, 300001});
	add_row(&db.tenants, (struct tenant_row){mem_string("default_tenant"), 0});
	add_row(&db.databases,
	        (struct database_row){
	                .id = 1,
	                .public_id = mem_string("00000000-0000-0000-0000-000000000000"),
	                .tenant = mem_string("default_tenant"),
	                .name = mem_string("default_database"),
	                .life = 1});
}

void fake_tables_stop(void)
{
	fake_tasks_stop();
	fake_operator_stop();
	fake_errands_stop();
	struct fake_log *l;
	struct tenant_row *t;
	struct database_row *d;
	struct collection_row *c;
	struct name_row *n;
	struct binding_row *b;
	struct instance_row *i;
	struct quarantine_row *q;

	each_row(q, &db.quarantines) free(q->error);
	free(db.quarantines.at);
	free(db.doubts.at);
	for (size_t k = 0; k < db.rebuilds.n; k++)
		rebuild_row_clear(&db.rebuilds.at[k]);
	free(db.rebuilds.at);
	for (size_t k = 0; k < db.verifications.n; k++)
		free(db.verifications.at[k].result);
	free(db.verifications.at);
	for (size_t k = 0; k < db.leftovers.n; k++)
		leftover_row_clear(&db.leftovers.at[k]);
	free(db.leftovers.at);
	free(db.unproven.at);
	each_row(l, &db.log) log_row_clear(l);
	each_row(t, &db.tenants) free(t->name);
	each_row(d, &db.databases)
	{
		free(d->public_id);
		free(d->tenant);
		free(d->name);
	}
	each_row(c, &db.collections)
	{
		free(c->public_id);
		free(c->name);
		free(c->next_name);
	}
	each_row(n, &db.names) free(n->name);
	each_row(b, &db.bindings) free(b->local);
	each_row(i, &db.instances) free(i->name);
	free(db.log.at);
	free(db.tenants.at);
	free(db.databases.at);
	free(db.collections.at);
	free(db.names.at);
	free(db.bindings.at);
	free(db.instances.at);
	free(db.positions.at);
	free(db.partitions.at);
	for (size_t k = 0; k < db.keys.n; k++)
		free(db.keys.at[k].key);
	free(db.keys.at);
	free(db.holder);
	free(db.holder_name);
	memset(&db, 0, sizeof(db));
}

/* --- looking at it
 * ------------------------------------------------------------------------ */

static int64_t instance_id(const char *name)
{
	const struct instance_row *i;

	each_row(i, &db.instances) if (strcmp(i->name, name) == 0) return i->id;
	return 0;
}

unsigned fake_pg_log_count(void)
{
	return (unsigned)db.log.n;
}

unsigned fake_pg_partitions(void)
{
	return (unsigned)db.partitions.n;
}

void fake_pg_add_instance(const char *name, int64_t floor)
{
	add_row(&db.instances, (struct instance_row){.id = ++db.last_instance,
	                                             .floor = floor,
	                                             .seen_ms = clock_wall_ms(),
	                                             .name = mem_string(name)});
}

bool fake_pg_detached(const char *instance)
{
	return instance_of(instance_id(instance))->detached;
}

void fake_pg_lose_partitions(void)
{
	db.clock = db.partitions.at[db.partitions.n - 1].hi - 1;
}

const struct fake_log *fake_pg_log(unsigned k)
{
	return &db.log.at[k];
}

const struct fake_log *fake_pg_log_seq(int64_t seq)
{
	return log_of(seq);
}

int64_t fake_pg_position(const char *instance, int64_t scope)
{
	const struct position_row *p;

	each_row(p, &db.positions) if (p->instance == instance_id(instance) &&
	                               p->scope == scope) return p->seq;
	return 0;
}

int64_t fake_pg_beat(const char *instance, bool *marked)
{
	const struct instance_row *i;

	*marked = false;
	each_row(i, &db.instances)
	{
		if (strcmp(i->name, instance) != 0)
			continue;
		*marked = i->marked;
		return i->beat;
	}
	return 0;
}

void fake_pg_another_cluster(void)
{
	struct instance_row *i;

	db.cluster++;
	each_row(i, &db.instances)
	{
		i->marked = false;
		i->beat = 0;
	}
}

unsigned fake_pg_quarantines(const char *instance)
{
	const struct quarantine_row *q;
	unsigned n = 0;

	each_row(q, &db.quarantines) n += q->instance == instance_id(instance);
	return n;
}

const char *fake_pg_binding(int64_t collection, const char *instance)
{
	const struct binding_row *b;

	each_row(b,
	         &db.bindings) if (b->collection == collection &&
	                           b->instance == instance_id(instance)) return b->local;
	return "";
}

bool fake_pg_database_gone(int64_t id)
{
	const struct database_row *d = database_of(id);

	return d == NULL || d->life == 2;
}

void fake_pg_database(int64_t id, const char **tenant, const char **name)
{
	const struct database_row *d = database_of(id);

	assert(d != NULL);
	*tenant = d->tenant;
	*name = d->name;
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

char *fake_pg_catalogue(void)
{
	char **lines = mem_array(db.collections.n + 1, sizeof(char *));
	const struct collection_row *c;
	struct text out = {0};
	size_t n = 0;

	each_row(c, &db.collections)
	{
		const struct database_row *d = database_of(c->database);

		if (c->life == 1)
			lines[n++] =
			        mem_format("%s/%s/%s\n", d->tenant, d->name, c->name);
	}
	qsort(lines, n, sizeof(char *), compare_lines);
	text_adds(&out, "");
	for (size_t k = 0; k < n; k++) {
		text_adds(&out, lines[k]);
		free(lines[k]);
	}
	free(lines);
	return text_detach(&out);
}
