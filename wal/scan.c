/* wal/scan.c - what does an instance hold that the catalogue does not know?
 *
 * The happy path, for each tenant:
 *   ask_tenant       one that is not known: is it there?
 *   ask_databases    a page after the other
 *   ask_collections  of each of them, a page after the other; what is not ours is a find
 *   ask_count        at last, how many items the first of them have
 * What we do ourselves there must not look like a stranger: a collection that was just
 * created and is not bound yet, one whose delete or rename is still owed. All of that is
 * executed in the lane of its database (databases themselves: in that of everything). So
 * a place is asked about while its lane there is at rest, and if something was executed
 * in it meanwhile, again. Writes of items do not matter. When it does not go well:
 *   - a lane does not come to rest: that place is left out, and we say so
 *   - the instance does not answer: that is the end */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "wal/lead.h"
#include "wal/record.h"
#include "wal/scope.h"
#include "wal/strangers.h"

#define PAGE 500u
#define ANSWER_MS 15000u
#define AGAIN_MS 20u
#define TRIES_MOST 100u /* to find it at rest; to have asked in vain ... */
#define TRIES_ASKED 20u /* ... is as much as so many */
#define TENANTS_MOST 64u

struct place {
	char *tenant, *database; /* database NULL: the tenant itself */
	STAILQ_ENTRY(place) link;
};

STAILQ_HEAD(place_list, place);

struct scan {
	struct op op;
	struct scan_spec spec;
	scan_fn *done;
	void *arg;
	enum status status;
	bool incomplete;
	struct stranger_list found;
	struct place_list places;  /* to be asked about; the first is being asked about */
	struct place_list inside;  /* of that one: its databases, so far ... */
	struct stranger_list page; /* ... and its strangers */
	struct stranger *counted;
	struct table names; /* of those: pages may overlap */
	uint64_t offset;
	unsigned tries, n_counted;
	int64_t epoch;
	wal_seq at; /* what had been executed there when we began to ask */
	struct timer again;
	struct op *pending;
};

static char *configured;

static void next_place(struct scan *s);

/* --- strangers -----------------------------------------------------------------------
 */

static void stranger_free(struct stranger *x)
{
	op_cancel(&x->pending);
	free(x->tenant);
	free(x->database);
	free(x->name);
	free(x);
}

void strangers_free(struct stranger_list *list)
{
	struct stranger *x;

	while ((x = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, x, link);
		stranger_free(x);
	}
}

static struct stranger *add_stranger(struct scan *s, enum stranger_kind kind,
                                     const struct place *p, const char *name)
{
	struct stranger *x = mem_new(struct stranger);

	x->kind = kind;
	x->instance = s->spec.instance;
	x->items = -1;
	x->tenant = mem_string(p->tenant);
	x->database = mem_string(p->database != NULL ? p->database : name);
	x->name = p->database != NULL ? mem_string(name) : NULL;
	TAILQ_INSERT_TAIL(&s->page, x, link);
	return x;
}

static bool is_reserved(const char *name)
{
	return strncmp(name, RESERVED_PREFIX, strlen(RESERVED_PREFIX)) == 0;
}

/* --- its life ------------------------------------------------------------------------
 */

static void first_place_free(struct place_list *list)
{
	struct place *p = STAILQ_FIRST(list);

	STAILQ_REMOVE_HEAD(list, link);
	free(p->tenant);
	free(p->database);
	free(p);
}

static void places_free(struct place_list *list)
{
	while (!STAILQ_EMPTY(list))
		first_place_free(list);
}

static void add_place(struct place_list *list, const char *tenant, const char *database)
{
	struct place *p = mem_new(struct place);

	p->tenant = mem_string(tenant);
	p->database = mem_string(database);
	STAILQ_INSERT_TAIL(list, p, link);
}

static void deliver(struct op *op)
{
	struct scan *s = (struct scan *)op;

	s->done(s->arg, s->status, &s->found);
}

static void stop(struct scan *s)
{
	op_cancel(&s->pending);
	timer_stop(&s->again);
}

static void release(struct op *op)
{
	struct scan *s = (struct scan *)op;

	stop(s);
	places_free(&s->places);
	places_free(&s->inside);
	strangers_free(&s->page);
	strangers_free(&s->found);
	table_clear(&s->names);
	free((char *)(uintptr_t)s->spec.tenant);
	free(s);
}

static void abandon(struct op *op)
{
	stop((struct scan *)op);
	op_end(op);
}

static void end(struct scan *s, enum status status)
{
	stop(s);
	s->status = status == STATUS_OK && s->incomplete ? STATUS_BUSY : status;
	op_end(&s->op);
}

/* --- asking --------------------------------------------------------------------------
 */

static void add_path(struct text *target, const struct place *p)
{
	text_adds(target, "/api/v2/tenants/");
	rewrite_add_segment(target, p->tenant);
	if (p->database == NULL)
		return;
	text_adds(target, "/databases/");
	rewrite_add_segment(target, p->database);
}

static void ask(struct scan *s, const struct text *target, upstream_fn *done)
{
	struct call call = {.method = "GET",
	                    .target = target->s,
	                    .timeout = ANSWER_MS,
	                    .repeatable = true};

	upstream_call(instance_upstream(health_instance(s->spec.instance)), &call, done,
	              s, &s->pending);
}

/* Of a page, with limit and offset; then what was found is not to be had in one. */
static void ask_page(struct scan *s, const char *what, upstream_fn *done)
{
	struct text target = {0};

	add_path(&target, STAILQ_FIRST(&s->places));
	text_addf(&target, "/%s?limit=%u&offset=%llu", what, PAGE,
	          (unsigned long long)s->offset);
	ask(s, &target, done);
	text_clear(&target);
}

static bool is_list(const struct reply *reply, struct json_slice *list)
{
	*list = json_whole(blob_bytes(reply->body), blob_len(reply->body));
	return reply->status == STATUS_OK && reply->http == 200 &&
	       json_kind(*list) == JSON_LIST;
}

/* --- at rest? ------------------------------------------------------------------------
 */

/* The one in which what changes the place is executed; NULL: not in any, now. */
static const struct lane *lane_of(const struct scan *s)
{
	const struct place *p = STAILQ_FIRST(&s->places);
	struct database *db = NULL;

	if (p->database != NULL)
		db = catalogue_database(p->tenant, p->database);
	if (db != NULL && db->life != LIFE_LIVE)
		return NULL;
	return &(db != NULL ? scope_of_database(db) : scope_all())
	                ->lanes[s->spec.instance];
}

struct healing {
	const struct scan *scan;
	bool any;
};

/* What is adopted, and was not copied there yet: nothing of it is there, by no name. */
static bool is_only_adopted(const struct collection *c, unsigned i)
{
	const struct member *head = c->scope->lanes[i].head;

	return head != NULL && head->record->kind == RECORD_ADOPT_COLLECTION;
}

static void see_quarantine(void *arg, const struct wal_quarantine *q)
{
	struct healing *h = arg;
	const struct place *p = STAILQ_FIRST(&h->scan->places);
	const struct collection *c = q->collection;
	unsigned i = instance_index(q->in);

	h->any |= p->database != NULL && i == h->scan->spec.instance &&
	          strcmp(c->db->name, p->database) == 0 &&
	          strcmp(c->db->tenant, p->tenant) == 0 && !is_only_adopted(c, i);
}

/* What is made anew there has two collections for a while, and what stands apart there
 * may be known by other names. */
static bool something_heals(const struct scan *s)
{
	struct healing h = {.scan = s};

	wal_each_quarantine(see_quarantine, &h);
	return h.any;
}

static bool is_at_rest(const struct scan *s, wal_seq *at)
{
	const struct lane *lane = lane_of(s);

	if (lane == NULL || lane->behind > 0 || lane->undurable > 0 || something_heals(s))
		return false;
	*at = lane->done;
	return true;
}

static bool was_at_rest(const struct scan *s)
{
	wal_seq at;

	return is_at_rest(s, &at) && at == s->at;
}

/* --- a place has been asked about ----------------------------------------------------
 */

static void forget_page(struct scan *s)
{
	places_free(&s->inside);
	strangers_free(&s->page);
	table_clear(&s->names);
	s->offset = 0;
}

static void place_done(struct scan *s)
{
	TAILQ_CONCAT(&s->found, &s->page, link);
	STAILQ_CONCAT(&s->places, &s->inside);
	forget_page(s);
	first_place_free(&s->places);
	s->tries = 0;
	next_place(s);
}

static void on_again(void *arg)
{
	next_place(arg);
}

static void place_again(struct scan *s)
{
	s->tries += s->offset > 0 ? TRIES_ASKED : 1;
	forget_page(s);
	if (s->tries < TRIES_MOST) {
		timer_start(&s->again, AGAIN_MS, on_again, s);
		return;
	}
	s->incomplete = true;
	place_done(s);
}

/* Then the catalogue was forgotten, and everything would be a stranger. */
static bool is_deposed(const struct scan *s)
{
	return !wal_leads() || lease_epoch() != s->epoch;
}

/* True: the page was the last, or of no use; that has been dealt with. */
static bool is_over(struct scan *s, bool answered, size_t n)
{
	if (is_deposed(s))
		end(s, STATUS_DEPOSED);
	else if (!answered)
		end(s, STATUS_BAD_REPLY);
	else if (!was_at_rest(s))
		place_again(s);
	else if (n < PAGE)
		place_done(s);
	else
		return false;
	return true;
}

/* What is on it; then the next one, if there may be one. */
static void take_page(struct scan *s, const struct reply *reply,
                      void (*take)(struct scan *s, struct json_slice element),
                      void (*ask_next)(struct scan *s))
{
	struct json_slice list;
	bool answered = is_list(reply, &list);
	struct json_walk w = json_walk(list);
	size_t n = 0;

	while (answered && json_step(&w)) {
		take(s, w.value);
		n++;
	}
	s->offset += n;
	if (!is_over(s, answered, n))
		ask_next(s);
}

/* --- collections ---------------------------------------------------------------------
 */

static bool is_ours(const struct scan *s, const struct place *p, const char *name,
                    const struct uuid *id)
{
	const struct database *db = catalogue_database(p->tenant, p->database);
	const struct collection *c = catalogue_by_uuid(id);

	if (c != NULL && uuid_compare(&c->local[s->spec.instance], id) == 0)
		return true;
	return is_reserved(name) || (db != NULL && catalogue_named(db, name) != NULL);
}

static void take_collection(struct scan *s, struct json_slice element)
{
	const struct place *p = STAILQ_FIRST(&s->places);
	char *name = json_text(json_member(element, "name"), NULL);
	struct uuid id;

	if (name != NULL && uuid_parse_json(json_member(element, "id"), &id) &&
	    !is_ours(s, p, name, &id) && table_get(&s->names, name) == NULL) {
		struct stranger *x = add_stranger(s, STRANGER_COLLECTION, p, name);

		x->id = id;
		table_put(&s->names, name, x);
	}
	free(name);
}

static void ask_collections(struct scan *s);

static void on_collections(void *arg, const struct reply *reply)
{
	take_page(arg, reply, take_collection, ask_collections);
}

static void ask_collections(struct scan *s)
{
	ask_page(s, "collections", on_collections);
}

/* --- databases -----------------------------------------------------------------------
 */

static void take_database(struct scan *s, struct json_slice element)
{
	const struct place *p = STAILQ_FIRST(&s->places);
	char *name = json_text(json_member(element, "name"), NULL);

	if (name != NULL && !is_reserved(name) && table_get(&s->names, name) == NULL) {
		table_put(&s->names, name, s);
		if (catalogue_database(p->tenant, name) == NULL)
			uuid_parse_json(json_member(element, "id"),
			                &add_stranger(s, STRANGER_DATABASE, p, name)->id);
		add_place(&s->inside, p->tenant, name);
	}
	free(name);
}

static void ask_databases(struct scan *s);

static void on_databases(void *arg, const struct reply *reply)
{
	take_page(arg, reply, take_database, ask_databases);
}

static void ask_databases(struct scan *s)
{
	ask_page(s, "databases", on_databases);
}

/* --- tenants -------------------------------------------------------------------------
 */

static void on_tenant(void *arg, const struct reply *reply)
{
	struct scan *s = arg;
	bool there = reply->status == STATUS_OK && reply->http == 200;

	if (!there && reply->http != 404) {
		end(s, STATUS_BAD_REPLY);
		return;
	}
	if (there)
		add_stranger(s, STRANGER_TENANT, STAILQ_FIRST(&s->places), NULL);
	ask_databases(s); /* there may be some even so */
}

static void ask_tenant(struct scan *s)
{
	struct text target = {0};

	add_path(&target, STAILQ_FIRST(&s->places));
	ask(s, &target, on_tenant);
	text_clear(&target);
}

/* --- how many items ------------------------------------------------------------------
 */

static void count_next(struct scan *s, struct stranger *x);

static void on_counted(void *arg, const struct reply *reply)
{
	struct scan *s = arg;
	struct json_slice n = {blob_bytes(reply->body), blob_len(reply->body)};

	if (reply->status != STATUS_OK) {
		end(s, reply->status);
		return;
	}
	s->counted->items = reply->http == 200 ? json_int64(n, -1) : -1;
	count_next(s, TAILQ_NEXT(s->counted, link));
}

static void count_next(struct scan *s, struct stranger *x)
{
	struct text target = {0};

	while (x != NULL && x->kind != STRANGER_COLLECTION)
		x = TAILQ_NEXT(x, link);
	if (x == NULL || !s->spec.count || s->n_counted++ >= STRANGERS_TOLD) {
		end(s, STATUS_OK);
		return;
	}
	s->counted = x;
	add_path(&target, &(struct place){.tenant = x->tenant, .database = x->database});
	text_addf(&target, "/collections/%s/count", x->id.text);
	ask(s, &target, on_counted);
	text_clear(&target);
}

/* --- the whole -----------------------------------------------------------------------
 */

static void next_place(struct scan *s)
{
	const struct place *p = STAILQ_FIRST(&s->places);

	if (is_deposed(s))
		end(s, STATUS_DEPOSED);
	else if (p == NULL)
		count_next(s, TAILQ_FIRST(&s->found));
	else if (!is_at_rest(s, &s->at))
		place_again(s);
	else if (p->database != NULL)
		ask_collections(s);
	else if (catalogue_tenant(p->tenant))
		ask_databases(s);
	else
		ask_tenant(s);
}

static void on_begin(void *arg)
{
	next_place(arg);
}

static void add_tenant(void *arg, const char *name)
{
	struct scan *s = arg;

	add_place(&s->places, name, NULL);
}

static void add_configured(struct scan *s)
{
	const char *at = configured != NULL ? configured : "";

	for (unsigned n = 0; *at != '\0' && n < TENANTS_MOST; n++) {
		size_t len = strcspn(at, ",");
		char *name = mem_substring(at, len);

		if (name[0] != '\0' && !is_reserved(name) && !catalogue_tenant(name))
			add_place(&s->places, name, NULL);
		free(name);
		at += len + (at[len] == ',');
	}
}

void scan_configure(const char *tenants)
{
	free(configured);
	configured = mem_string(tenants);
}

void scan_start(const struct scan_spec *spec, scan_fn *done, void *arg, struct op **slot)
{
	struct scan *s = mem_new(struct scan);

	s->op.deliver = deliver;
	s->op.release = release;
	s->op.abandon = abandon;
	s->spec = *spec;
	s->spec.tenant = mem_string(spec->tenant);
	s->done = done;
	s->arg = arg;
	TAILQ_INIT(&s->found);
	TAILQ_INIT(&s->page);
	STAILQ_INIT(&s->places);
	STAILQ_INIT(&s->inside);
	s->epoch = lease_epoch();
	op_begin(&s->op, slot);
	if (spec->tenant != NULL) {
		add_place(&s->places, spec->tenant, NULL);
	} else {
		catalogue_each_tenant(add_tenant, s);
		add_configured(s);
	}
	timer_start(&s->again, 0, on_begin, s);
}
