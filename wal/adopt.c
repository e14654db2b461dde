/* wal/adopt.c - what instances hold and the catalogue does not know is brought into it.
 *
 * The happy path:
 *   scan_next     ask each instance, in the order of preference (scan.c)
 *   adopt_some    what was found goes into the log, like any other write: tenants first,
 *                 then databases, then collections, many at a time. Executed, a tenant or
 *                 a database is found to be there already, or made where it is not; what
 *                 becomes of a collection is said in claim.c
 *   on_adopted    the next one; after the last of a kind, the next kind
 * When it does not go well:
 *   - an instance does not answer: what the others hold is adopted
 *   - the name is taken meanwhile, or the collection gone: it is left out, and the
 *     next scan finds what is still there
 *   - we die: the next leader scans again */
#include <stdlib.h>
#include <string.h>

#include "core/failpoint.h"
#include "core/mem.h"
#include "wal/strangers.h"

#define AT_ONCE 64u

struct adopt {
	struct op op;
	struct adopt_spec spec;
	adopt_fn *done;
	void *arg;
	unsigned instance; /* the one that is asked */
	unsigned scanned;
	struct stranger_list found;
	enum stranger_kind kind; /* being adopted ... */
	struct stranger *next;   /* ... from here on; NULL: no more */
	unsigned under_way;
	struct op *pending;
};

static void adopt_some(struct adopt *a);

/* --- its life ------------------------------------------------------------------------
 */

static void deliver(struct op *op)
{
	struct adopt *a = (struct adopt *)op;

	a->done(a->arg, a->scanned, &a->found);
}

static void release(struct op *op)
{
	struct adopt *a = (struct adopt *)op;

	op_cancel(&a->pending);
	strangers_free(&a->found);
	free((char *)(uintptr_t)a->spec.tenant);
	free((char *)(uintptr_t)a->spec.name);
	free(a);
}

/* What is in the log goes on; only we are not told. */
static void abandon(struct op *op)
{
	struct adopt *a = (struct adopt *)op;
	struct stranger *x;

	op_cancel(&a->pending);
	TAILQ_FOREACH (x, &a->found, link)
		op_cancel(&x->pending);
	op_end(op);
}

/* --- into the log --------------------------------------------------------------------
 */

/* A tenant or database that is there already is answered 409, and is one from now on. */
static const char *word_for(enum status s, const struct wal_outcome *o)
{
	if (s == STATUS_CONFLICT)
		return "name or id taken";
	if (s != STATUS_OK)
		return "not now";
	if (o->http == 404)
		return "gone";
	return o->http / 100 == 2 || o->http == 409 ? "adopted" : "not now";
}

static void on_adopted(void *arg, enum status s, const struct wal_outcome *outcome)
{
	struct stranger *x = arg;
	struct adopt *a = x->adopt;

	FAILPOINT("adopt_adopted");
	x->outcome = word_for(s, outcome);
	a->under_way--;
	adopt_some(a);
}

static void on_appended(void *arg, wal_seq seq)
{
	(void)arg;
	(void)seq;
}

static struct blob *body_of(const struct stranger *x)
{
	const char *name = x->kind == STRANGER_TENANT     ? x->tenant
	                   : x->kind == STRANGER_DATABASE ? x->database
	                                                  : x->name;
	struct text json = {0};
	size_t len;

	text_adds(&json, "{\"name\":");
	json_add_quoted(&json, name, strlen(name));
	if (x->kind == STRANGER_COLLECTION) {
		text_adds(&json, ",\"instance\":");
		json_add_quoted(&json, instance_name(health_instance(x->instance)),
		                strlen(instance_name(health_instance(x->instance))));
		text_addf(&json, ",\"id\":\"%s\"", x->id.text);
	}
	text_addc(&json, '}');
	len = json.len;
	return blob_adopt(text_detach(&json), len);
}

static void write_to_log(struct adopt *a, struct stranger *x, const struct wal_write *w)
{
	a->under_way++;
	x->adopt = a;
	wal_write(w, on_appended, on_adopted, x, &x->pending);
}

static void adopt_tenant(struct adopt *a, struct stranger *x, struct blob *body)
{
	struct wal_write w = {
	        .kind = RECORD_CREATE_TENANT, .tenant = x->tenant, .body = body};

	if (catalogue_tenant(x->tenant))
		x->outcome = "adopted";
	else
		write_to_log(a, x, &w);
}

static void adopt_database(struct adopt *a, struct stranger *x, struct blob *body)
{
	struct wal_write w = {.kind = RECORD_CREATE_DATABASE,
	                      .tenant = x->tenant,
	                      .name = x->database,
	                      .public_id = uuid_none(&x->id) ? NULL : &x->id,
	                      .body = body};

	if (catalogue_database(x->tenant, x->database) != NULL)
		x->outcome = "adopted";
	else
		write_to_log(a, x, &w);
}

static void adopt_collection(struct adopt *a, struct stranger *x, struct blob *body)
{
	struct database *db = catalogue_database(x->tenant, x->database);
	const struct wal_origin origin = {x->instance, x->id};
	struct wal_write w = {.kind = RECORD_ADOPT_COLLECTION,
	                      .database = db,
	                      .name = x->name,
	                      .origin = &origin,
	                      .body = body};

	if (db == NULL || db->life != LIFE_LIVE)
		x->outcome = "not now";
	else if (catalogue_named(db, x->name) != NULL)
		x->outcome = "name or id taken";
	else
		write_to_log(a, x, &w);
}

static void adopt_one(struct adopt *a, struct stranger *x)
{
	static void (*const how[])(struct adopt *, struct stranger *, struct blob *) = {
	        [STRANGER_TENANT] = adopt_tenant,
	        [STRANGER_DATABASE] = adopt_database,
	        [STRANGER_COLLECTION] = adopt_collection,
	};
	struct blob *body = body_of(x);

	how[x->kind](a, x, body);
	blob_unref(&body);
}

static bool is_meant(const struct adopt *a, const struct stranger *x)
{
	return a->spec.name == NULL || (x->kind == STRANGER_COLLECTION &&
	                                (strcmp(x->name, a->spec.name) == 0 ||
	                                 strcmp(x->id.text, a->spec.name) == 0));
}

/* A collection is in a database, and that in a tenant. */
static bool is_around(const struct stranger *x, const struct stranger *inner)
{
	return x->kind < inner->kind && strcmp(x->tenant, inner->tenant) == 0 &&
	       (x->kind == STRANGER_TENANT || strcmp(x->database, inner->database) == 0);
}

static bool is_needed(const struct adopt *a, const struct stranger *x)
{
	const struct stranger *inner;

	if (x->kind == STRANGER_COLLECTION)
		return false;
	TAILQ_FOREACH (inner, &a->found, link)
		if (is_meant(a, inner) && is_around(x, inner))
			return true;
	return false;
}

/* Of one collection that was asked for nothing else is left but what it is in. */
static void leave_out_the_rest(struct adopt *a)
{
	struct stranger_list rest = TAILQ_HEAD_INITIALIZER(rest);
	struct stranger *x, *next;

	for (x = TAILQ_FIRST(&a->found); x != NULL; x = next) {
		next = TAILQ_NEXT(x, link);
		if (is_meant(a, x) || is_needed(a, x))
			continue;
		TAILQ_REMOVE(&a->found, x, link);
		TAILQ_INSERT_TAIL(&rest, x, link);
	}
	strangers_free(&rest);
}

static void next_kind(struct adopt *a)
{
	if (a->kind == STRANGER_COLLECTION) {
		op_end(&a->op);
		return;
	}
	a->kind++;
	a->next = TAILQ_FIRST(&a->found);
	adopt_some(a);
}

static void adopt_some(struct adopt *a)
{
	while (a->next != NULL && a->under_way < AT_ONCE) {
		struct stranger *x = a->next;

		a->next = TAILQ_NEXT(x, link);
		if (x->kind == a->kind)
			adopt_one(a, x);
	}
	if (a->next == NULL && a->under_way == 0)
		next_kind(a);
}

/* --- scanning ------------------------------------------------------------------------
 */

static void scan_next(struct adopt *a);

static void on_scanned(void *arg, enum status s, struct stranger_list *found)
{
	struct adopt *a = arg;

	if (s == STATUS_OK || s == STATUS_BUSY)
		TAILQ_CONCAT(&a->found, found, link);
	if (s == STATUS_OK)
		a->scanned |= 1u << a->instance;
	a->instance++;
	scan_next(a);
}

static void all_scanned(struct adopt *a)
{
	FAILPOINT("adopt_scanned");
	if (a->spec.name != NULL)
		leave_out_the_rest(a);
	if (!a->spec.adopt) {
		op_end(&a->op);
		return;
	}
	a->kind = STRANGER_TENANT;
	a->next = TAILQ_FIRST(&a->found);
	adopt_some(a);
}

static bool is_to_scan(const struct adopt *a, unsigned i)
{
	return (a->spec.instances & 1u << i) != 0 &&
	       instance_writable(health_instance(i));
}

static void scan_next(struct adopt *a)
{
	struct scan_spec spec = {.tenant = a->spec.tenant, .count = a->spec.count};

	while (a->instance < health_count() && !is_to_scan(a, a->instance))
		a->instance++;
	if (a->instance >= health_count()) {
		all_scanned(a);
		return;
	}
	spec.instance = a->instance;
	scan_start(&spec, on_scanned, a, &a->pending);
}

void adopt_start(const struct adopt_spec *spec, adopt_fn *done, void *arg,
                 struct op **slot)
{
	struct adopt *a = mem_new(struct adopt);

	a->op.deliver = deliver;
	a->op.release = release;
	a->op.abandon = abandon;
	a->spec = *spec;
	a->spec.tenant = mem_string(spec->tenant);
	a->spec.name = mem_string(spec->name);
	a->done = done;
	a->arg = arg;
	TAILQ_INIT(&a->found);
	op_begin(&a->op, slot);
	scan_next(a);
}
