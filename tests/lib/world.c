/* tests/lib/world.c - see world.h. */
#include "tests/lib/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/json_scan.h"
#include "core/mem.h"
#include "wal/append.h"
#include "wal/engine.h"
#include "wal/record.h"

static char a_name[] = "primary", b_name[] = "replica", c_name[] = "third",
            a_url[] = "a.test:8000", b_url[] = "b.test:8000", c_url[] = "c.test:8000",
            database_url[] = "postgres://test";

static struct {
	struct conf conf;
	struct model *models[3];
	unsigned n;
	struct write_list writes;
	int64_t numbers;
	bool booted, merges, elsewhere, adopts;
	struct had {
		unsigned instance;
		char *name, *items;
	} * had; /* before us */
	size_t n_had;
} world;

/* --- its life
 * ----------------------------------------------------------------------------
 */

static bool repairs_next; /* in the next world */

static const struct conf usual = {
        .instances = {{a_name, a_url}, {b_name, b_url}, {c_name, c_url}},
        .database_url = database_url,
        .check_interval = 1000,
        .check_timeout = 1000,
        .failure_threshold = 2,
        .recovery_threshold = 2,
        .read_replica_ratio = 0.8,
        .connect_timeout = 2000,
        .connection_pool_size = 20,
        .max_workers = 4,
        .default_batch_size = 50,
        .max_batch_size = 200,
        .max_batch_bytes = 1024 * 1024,
        .max_memory_mb = 20,
        .late_check = 60000,
        .wal_retention = 3600000,
};

struct model *world_model(unsigned i)
{
	return world.models[i];
}

struct upstream *world_upstream(unsigned i)
{
	return instance_upstream(health_instance(i));
}

const struct write_list *world_writes(void)
{
	return &world.writes;
}

void world_boot(void)
{
	if (world.booted)
		return;
	health_start(&world.conf);
	for (unsigned i = 0; i < world.n; i++)
		model_serve(world.models[i], world_upstream(i));
	wal_start(&world.conf);
	if (world.adopts)
		wal_adopt_start(&world.conf);
	world.booted = true;
}

void world_adoption(enum conf_adopt policy)
{
	world.conf.adopt = (int)policy;
	world.conf.adopt_interval = 1000;
	world.adopts = true;
}

/* {"ids":[...],"documents":[...]} */
static char *items_with(const char *ids, const char *document)
{
	struct text body = {0}, texts = {0};
	const char *at = ids;

	text_adds(&body, "{\"ids\":[");
	while (*at != '\0') {
		size_t len = strcspn(at, ",");

		text_addf(&body, "%s\"%.*s\"", at == ids ? "" : ",", (int)len, at);
		text_addf(&texts, "%s\"%s\"", at == ids ? "" : ",", document);
		at += len + (at[len] == ',');
	}
	text_addf(&body, "],\"documents\":[%s]}", text_string(&texts));
	text_clear(&texts);
	return text_detach(&body);
}

/* Made there; its id is put into `local`. */
static void make_had(struct model *m, const struct had *had, struct uuid *local)
{
	static const char path[] = "/api/v2/tenants/default_tenant/databases/"
	                           "default_database/collections";
	char *body = mem_format("{\"name\":\"%s\"}", had->name), *target;
	struct text answer = {0};
	struct json_slice id;

	assert_int_equal(model_execute(m, "POST", path, body, strlen(body), &answer),
	                 200);
	id = json_member(json_whole(answer.s, answer.len), "id");
	assert_true(uuid_parse(id.at + 1, UUID_LEN, local));
	target = mem_format("%s/%s/add", path, local->text);
	assert_int_equal(
	        model_execute(m, "POST", target, had->items, strlen(had->items), NULL),
	        201);
	free(target);
	free(body);
	text_clear(&answer);
}

void world_had(unsigned i, const char *name, const char *ids, const char *document)
{
	struct uuid local;

	world.had = mem_resize(world.had, (world.n_had + 1) * sizeof(*world.had));
	world.had[world.n_had] = (struct had){.instance = i,
	                                      .name = mem_string(name),
	                                      .items = items_with(ids, document)};
	make_had(world.models[i], &world.had[world.n_had++], &local);
}

void world_merges(bool yes)
{
	world.merges = yes;
}

void world_verifies(msec interval, bool repairs)
{
	world.conf.verify_interval = interval;
	world.conf.repair = repairs ? REPAIR_AUTO : REPAIR_REPORT;
}

void world_adopts(const char *cluster)
{
	world.conf.adopt_cluster = (char *)(uintptr_t)cluster;
}

void world_repairs(void)
{
	repairs_next = true;
	world.conf.repair = REPAIR_AUTO;
}

void world_workers(int64_t most)
{
	world.conf.max_workers = most;
}

static int64_t log_limit;

void world_log_limit(int64_t bytes)
{
	log_limit = bytes;
}

/* Their connections break with the proxy: they never hear. */
static void clients_lose_us(void)
{
	struct write *w;

	TAILQ_FOREACH (w, &world.writes, link) {
		if (w->ended)
			continue;
		op_cancel(&w->pending);
		w->ended = true;
		w->status = STATUS_UNKNOWN;
	}
}

void world_crash(void)
{
	if (!world.booted)
		return;
	clients_lose_us();
	if (world.adopts)
		wal_adopt_stop();
	wal_stop();
	health_stop();
	world.booted = false;
	pass_ms(0);
}

void world_lead(msec most)
{
	msec until = clock_ms() + most;

	while (!wal_ready() || !health_known()) {
		if (clock_ms() >= until)
			fail_msg("not leading after %llu ms", (unsigned long long)most);
		pass_ms(10);
	}
}

void world_start(void)
{
	world_start_with(2);
}

void world_start_with(unsigned n)
{
	assert_in_range(n, 2, 3);
	const char *level = getenv("CHROMATID_TEST_LOG");

	log_start(level != NULL ? LOG_DEBUG : LOG_ERROR, LOG_FORMAT_LOGFMT, NULL);
	memset(&world, 0, sizeof(world));
	world.conf = usual;
	world.conf.repair = repairs_next ? REPAIR_AUTO : REPAIR_REPORT;
	repairs_next = false;
	world.conf.log_max_bytes = log_limit;
	log_limit = 0;
	world.conf.n_instances = n;
	world.n = n;
	TAILQ_INIT(&world.writes);
	fake_pg_start();
	for (unsigned i = 0; i < n; i++)
		world.models[i] = model_create(world.conf.instances[i].name);
	world_boot();
	world_lead(1000);
}

void world_clean_up(void)
{
	if (world.models[A] != NULL)
		world_stop();
}

void world_stop(void)
{
	struct write *w;

	repairs_next = false;
	if (world.booted)
		world_crash();
	while ((w = TAILQ_FIRST(&world.writes)) != NULL) {
		TAILQ_REMOVE(&world.writes, w, link);
		free(w->body);
		free(w);
	}
	for (unsigned i = 0; i < world.n; i++)
		model_destroy(&world.models[i]);
	for (size_t k = 0; k < world.n_had; k++) {
		free(world.had[k].name);
		free(world.had[k].items);
	}
	free(world.had);
	fake_pg_stop();
	log_start(LOG_ERROR, LOG_FORMAT_LOGFMT, NULL);
	assert_int_equal(timers_running(), 0);
}

/* What is only done once in the life of a process. */
static void begin_the_process(void)
{
	static bool begun;

	if (!begun) {
		begun = true;
		fake_random_seed(0);
		world_start();
		world_stop();
	}
}

void world_seed(uint64_t seed)
{
	begin_the_process();
	fake_random_seed(seed);
	fake_time_reset();
}

static void until_health(unsigned i, enum health h)
{
	msec until = clock_ms() + 5000;

	while (instance_health(health_instance(i)) != h) {
		assert_true(clock_ms() < until);
		pass_ms(10);
	}
}

void world_down(unsigned i)
{
	model_down(world.models[i], false);
	until_health(i, HEALTH_DOWN);
}

void world_up(unsigned i)
{
	model_up(world.models[i]);
	until_health(i, HEALTH_UP);
}

bool world_quiet(void)
{
	struct wal_figures f;
	struct write *w;

	TAILQ_FOREACH (w, &world.writes, link)
		if (!w->ended)
			return false;
	wal_figures(&f);
	return wal_ready() && f.owed == 0;
}

static void print_state(void)
{
	struct wal_figures f;
	const struct record *r;
	struct write *w;

	wal_figures(&f);
	fprintf(stderr, "leads %d, owed %llu, undecided %llu\n", f.leads,
	        (unsigned long long)f.owed, (unsigned long long)f.undecided);
	for (unsigned i = 0; i < world.n; i++)
		fprintf(stderr, "  instance %u: %s, owed %llu, %u in flight, %s\n", i,
		        instance_writable(health_instance(i)) ? "well"
		        : instance_up(health_instance(i))     ? "up"
		                                              : "down",
		        (unsigned long long)f.instances[i].owed, f.instances[i].in_flight,
		        f.instances[i].last_error);
	TAILQ_FOREACH (w, &world.writes, link)
		if (!w->ended)
			fprintf(stderr, "  write %lld (%s) seq %lld still waits\n",
			        (long long)w->number, record_kind_name(w->kind),
			        (long long)w->seq);
	TAILQ_FOREACH (r, engine_records(), link)
		fprintf(stderr, "  record %lld (%s), decision %d%s; turns %d %d\n",
		        (long long)r->seq, record_kind_name(r->kind), (int)r->decision,
		        r->decision_durable ? ", durable" : "", (int)r->turns[0].state,
		        (int)r->turns[1].state);
}

void world_restart(msec most)
{
	world_crash();
	world_boot();
	world_lead(most);
}

void world_settle(void)
{
	msec until = clock_ms() + 90000;

	pass_ms(5);
	while (!world_quiet()) {
		if (clock_ms() >= until) {
			print_state();
			fail_msg("it does not settle");
		}
		pass_ms(10);
	}
}

/* --- writing
 * ----------------------------------------------------------------------------- */

static void on_appended(void *arg, wal_seq seq)
{
	struct write *w = arg;

	w->appended = true;
	w->seq = seq;
}

static void on_decided(void *arg, enum status s, const struct wal_outcome *outcome)
{
	struct write *w = arg;

	w->ended = true;
	w->status = s;
	if (s != STATUS_OK)
		return;
	assert_true(outcome->seq == w->seq && w->appended);
	w->http = outcome->http;
	w->body = mem_substring(blob_bytes(outcome->body), blob_len(outcome->body));
}

/* By another proxy, whose client hears of the outcome there. */
static void append_elsewhere(const struct wal_write *with)
{
	struct pg_unit *unit = pg_unit_create();
	struct uuid op, public_id;

	uuid_random(&op);
	uuid_random(&public_id);
	append_sql_add(unit, with, &op, &public_id, NULL);
	fake_pg_elsewhere(unit);
}

void world_elsewhere(bool yes)
{
	world.elsewhere = yes;
}

static struct write *begin(struct wal_write *with, char *body)
{
	struct write *w = mem_new(struct write);

	w->number = world.numbers;
	w->kind = with->kind;
	w->collection = with->collection != NULL ? with->collection->id : 0;
	if (body != NULL)
		with->body = blob_adopt(body, strlen(body));
	if (world.elsewhere) {
		append_elsewhere(with);
		blob_unref(&with->body);
		free(w);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&world.writes, w, link);
	wal_write(with, on_appended, on_decided, w, &w->pending);
	blob_unref(&with->body);
	return w;
}

struct collection *named(const char *name)
{
	struct database *db = catalogue_database(TENANT_DEFAULT, DATABASE_DEFAULT);
	struct collection *c = db != NULL ? catalogue_named(db, name) : NULL;

	return c != NULL && c->life == LIFE_LIVE ? c : NULL;
}

static struct write *create_with(struct database *db, const char *name, const char *says)
{
	struct wal_write with = {
	        .kind = RECORD_CREATE_COLLECTION, .database = db, .name = name};

	return begin(&with, mem_format("{\"name\":\"%s\",\"metadata\":{\"n\":%lld}}",
	                               says, (long long)++world.numbers));
}

struct write *create_in(struct database *db, const char *name)
{
	return db != NULL ? create_with(db, name, name) : NULL;
}

struct write *create(const char *name)
{
	return create_in(catalogue_database(TENANT_DEFAULT, DATABASE_DEFAULT), name);
}

struct write *create_bad(const char *name)
{
	struct database *db = catalogue_database(TENANT_DEFAULT, DATABASE_DEFAULT);

	return db != NULL ? create_with(db, name, "x") : NULL;
}

struct write *create_as(const char *name, const struct uuid *public_id)
{
	struct wal_write with = {
	        .kind = RECORD_CREATE_COLLECTION,
	        .database = catalogue_database(TENANT_DEFAULT, DATABASE_DEFAULT),
	        .name = name,
	        .public_id = public_id};

	return begin(&with, mem_format("{\"name\":\"%s\"}", name));
}

struct write *modify_of(struct collection *c, const char *next)
{
	struct wal_write with = {
	        .kind = RECORD_MODIFY_COLLECTION, .collection = c, .name = next};
	long long n = (long long)++world.numbers;

	if (next != NULL)
		return begin(&with, mem_format("{\"new_name\":\"%s\"}", next));
	return begin(&with, mem_format("{\"new_metadata\":{\"n\":%lld}}", n));
}

struct write *drop_of(struct collection *c)
{
	struct wal_write with = {.kind = RECORD_DELETE_COLLECTION, .collection = c};

	world.numbers++;
	return begin(&with, NULL);
}

struct write *rename_to(const char *name, const char *next)
{
	struct collection *c = named(name);

	return c != NULL ? modify_of(c, next) : NULL;
}

struct write *modify(const char *name)
{
	struct collection *c = named(name);

	return c != NULL ? modify_of(c, NULL) : NULL;
}

struct write *drop(const char *name)
{
	struct collection *c = named(name);

	return c != NULL ? drop_of(c) : NULL;
}

/* "key":[ the same n times ] */
__attribute__((format(printf, 4, 5))) static void add_list(struct text *to,
                                                           const char *key, size_t n,
                                                           const char *format, ...)
{
	va_list args;
	char one[100];

	va_start(args, format);
	vsnprintf(one, sizeof(one), format, args);
	va_end(args);
	text_addf(to, ",\"%s\":[", key);
	for (size_t k = 0; k < n; k++)
		text_addf(to, "%s%s", k > 0 ? "," : "", one);
	text_addc(to, ']');
}

static void add_embedding(struct text *to, unsigned dimension, size_t n)
{
	struct text one = {0};

	for (unsigned k = 0; k < dimension; k++)
		text_addf(&one, "%s%u", k > 0 ? "," : "", k);
	add_list(to, "embeddings", n, "[%s]", text_string(&one));
	text_clear(&one);
}

/* `bad`: with an id that Chroma refuses, after it has looked at the embeddings */
static char *items_body(enum record_kind kind, const char *ids, unsigned dimension,
                        bool bad)
{
	char *copy = mem_string(ids), *at = copy, *id;
	long long n = (long long)++world.numbers;
	struct text out = {0};
	size_t count = 0;

	text_addc(&out, '{');
	if (!world.merges)
		text_addf(&out, "\"op\":%lld,", n);
	text_adds(&out, "\"ids\":[");
	while ((id = strsep(&at, ",")) != NULL)
		text_addf(&out, "%s\"%s\"", count++ > 0 ? "," : "", id);
	if (bad && ++count > 0)
		text_adds(&out, ",\"\"");
	if (world.merges && kind == RECORD_DELETE) /* nobody is called that */
		text_addf(&out, ",\"op:%lld\"", n);
	text_addc(&out, ']');
	if (world.merges && kind != RECORD_DELETE)
		add_list(&out, "uris", count, "\"op:%lld\"", n);
	if (kind != RECORD_DELETE) {
		add_list(&out, "documents", count, "\"v%lld\"", n);
		add_list(&out, "metadatas", count, "{\"%c\":\"%c\"}",
		         n % 3 == 0 ? 'b' : 'a', "xyz"[n % 7 % 3]);
	}
	if (dimension > 0)
		add_embedding(&out, dimension, count);
	text_addc(&out, '}');
	free(copy);
	return text_detach(&out);
}

struct write *items(enum record_kind kind, struct collection *c, const char *ids,
                    unsigned dimension, bool bad)
{
	struct wal_write with = {.kind = kind,
	                         .collection = c,
	                         .embeddings = dimension > 0 && !c->dimension_known};

	return begin(&with, items_body(kind, ids, dimension, bad));
}

struct write *items_where(struct collection *c, const char *where)
{
	struct wal_write with = {.kind = RECORD_DELETE_WHERE, .collection = c};
	long long n = (long long)++world.numbers;

	return begin(&with, mem_format("{\"op\":%lld,\"where\":%s}", n, where));
}

static struct write *items_of(enum record_kind kind, const char *name, const char *ids)
{
	struct collection *c = named(name);

	return c != NULL ? items(kind, c, ids, 0, false) : NULL;
}

struct write *add(const char *name, const char *ids)
{
	return items_of(RECORD_ADD, name, ids);
}

struct write *upsert(const char *name, const char *ids)
{
	return items_of(RECORD_UPSERT, name, ids);
}

struct write *update(const char *name, const char *ids)
{
	return items_of(RECORD_UPDATE, name, ids);
}

struct write *take_out(const char *name, const char *ids)
{
	return items_of(RECORD_DELETE, name, ids);
}

struct write *take_out_where(const char *name, const char *where)
{
	struct collection *c = named(name);

	return c != NULL ? items_where(c, where) : NULL;
}

struct write *add_embedded(const char *name, const char *ids, unsigned dimension,
                           bool bad)
{
	struct collection *c = named(name);

	return c != NULL ? items(RECORD_ADD, c, ids, dimension, bad) : NULL;
}

struct write *create_database(const char *name)
{
	struct wal_write with = {
	        .kind = RECORD_CREATE_DATABASE, .tenant = TENANT_DEFAULT, .name = name};

	world.numbers++;
	return begin(&with, mem_format("{\"name\":\"%s\"}", name));
}

struct write *drop_database(const char *name)
{
	struct wal_write with = {.kind = RECORD_DELETE_DATABASE,
	                         .database = catalogue_database(TENANT_DEFAULT, name)};

	world.numbers++;
	if (with.database == NULL || with.database->life != LIFE_LIVE)
		return NULL;
	return begin(&with, NULL);
}

struct write *create_tenant(const char *name)
{
	struct wal_write with = {.kind = RECORD_CREATE_TENANT, .tenant = name};

	world.numbers++;
	return begin(&with, mem_format("{\"name\":\"%s\"}", name));
}

struct write *reset(void)
{
	struct wal_write with = {.kind = RECORD_RESET};

	world.numbers++;
	return begin(&with, NULL);
}

struct collection *made(const char *name)
{
	struct write *w = create(name);

	world_settle();
	assert_decided(w, 200);
	return named(name);
}

struct write *diverged(void)
{
	struct write *w;

	made("docs");
	made("notes");
	model_refuse_ids(world_model(B), true);
	w = add("docs", "a");
	pass_ms(50);
	model_refuse_ids(world_model(B), false);
	assert_decided(w, 201);
	return w;
}

void assert_decided(const struct write *w, int http)
{
	assert_non_null(w);
	assert_true(w->ended);
	assert_string_equal(status_text(w->status), status_text(STATUS_OK));
	assert_int_equal(w->http, http);
}

void assert_ended(const struct write *w, enum status s)
{
	assert_non_null(w);
	assert_true(w->ended);
	assert_string_equal(status_text(w->status), status_text(s));
}

/* --- checking
 * ------------------------------------------------------------------------------
 */

/* The accepted log, replayed in order on a model of its own. */
struct replay {
	struct model *m;
	struct {
		int64_t id;
		struct uuid local;
	} * made;
	size_t n;
};

static const char *replay_local(const struct replay *p, int64_t collection)
{
	for (size_t k = 0; k < p->n; k++)
		if (p->made[k].id == collection)
			return p->made[k].local.text;
	return "unknown";
}

static char *target_of(int64_t database, const char *tail)
{
	const char *tenant, *name;
	struct text out = {0};

	fake_pg_database(database, &tenant, &name);
	text_adds(&out, "/api/v2/tenants/");
	rewrite_add_segment(&out, tenant);
	text_adds(&out, "/databases");
	if (tail != NULL) {
		text_addc(&out, '/');
		rewrite_add_segment(&out, name);
		text_adds(&out, tail);
	}
	return text_detach(&out);
}

static int replay_send(struct replay *p, const char *method, char *target,
                       const char *body, struct text *answer)
{
	int http = model_execute(p->m, method, target, body,
	                         body != NULL ? strlen(body) : 0, answer);

	free(target);
	return http;
}

/* In the end, or later on: a reset brings the default one back, under its number. */
static bool loses_its_database(const struct fake_log *l)
{
	const struct fake_log *later;

	if (fake_pg_database_gone(l->database))
		return true;
	for (unsigned k = fake_pg_log_count(); k > 0; k--) {
		later = fake_pg_log(k - 1);
		if (later->seq <= l->seq)
			return false;
		if (later->kind == RECORD_DELETE_DATABASE &&
		    later->database == l->database &&
		    later->decision == DECISION_ACCEPTED)
			return true;
	}
	return false;
}

static void replay_create(struct replay *p, const struct fake_log *l)
{
	struct text answer = {0};
	struct json_slice id;
	int http = replay_send(p, "POST", target_of(l->database, "/collections"), l->body,
	                       &answer);

	if (http != 200 && loses_its_database(l)) {
		text_clear(&answer);
		return;
	}
	assert_int_equal(http, 200);
	id = json_member(json_whole(answer.s, answer.len), "id");
	p->made = mem_resize(p->made, (p->n + 1) * sizeof(*p->made));
	p->made[p->n].id = l->collection;
	assert_true(uuid_parse(id.at + 1, UUID_LEN, &p->made[p->n++].local));
	text_clear(&answer);
}

/* As it was there: "1/id" is at the first instance. */
static void replay_adopt(struct replay *p, const struct fake_log *l)
{
	const struct had *had = NULL;

	for (size_t k = 0; k < world.n_had; k++)
		if (strcmp(world.had[k].name, l->name) == 0 &&
		    (unsigned)atoi(l->old_name) == world.had[k].instance + 1)
			had = &world.had[k];
	assert_non_null(had);
	p->made = mem_resize(p->made, (p->n + 1) * sizeof(*p->made));
	p->made[p->n].id = l->collection;
	make_had(p->m, had, &p->made[p->n++].local);
}

static int on_replay(struct replay *p, const struct fake_log *l, const char *method,
                     const char *verb, const char *body, struct text *answer)
{
	char *tail =
	        mem_format("/collections/%s%s", replay_local(p, l->collection), verb);
	int http = replay_send(p, method, target_of(l->database, tail), body, answer);

	free(tail);
	return http;
}

/* Behind a reset it may be gone already. */
static void replay_delete(struct replay *p, const struct fake_log *l)
{
	if (on_replay(p, l, "PUT", "", "{\"new_name\":\"ctd-replay\"}", NULL) == 404)
		return;
	assert_int_equal(replay_send(p, "DELETE",
	                             target_of(l->database, "/collections/ctd-replay"),
	                             NULL, NULL),
	                 200);
}

/* The ids that were stored are the ones the filter finds at this place. */
static void replay_where(struct replay *p, const struct fake_log *l)
{
	struct text answer = {0};
	struct json_slice ids;
	char *found;

	assert_int_equal(on_replay(p, l, "POST", "/get", l->body, &answer), 200);
	ids = json_member(json_whole(answer.s, answer.len), "ids");
	found = mem_format("{\"ids\":%.*s}", (int)ids.len, ids.at);
	assert_non_null(l->ids);
	assert_string_equal(l->ids, found);
	assert_int_equal(on_replay(p, l, "POST", "/delete", found, NULL), 200);
	free(found);
	text_clear(&answer);
}

static void replay_items(struct replay *p, const struct fake_log *l)
{
	static const char *const verbs[] = {[RECORD_ADD] = "/add",
	                                    [RECORD_UPSERT] = "/upsert",
	                                    [RECORD_UPDATE] = "/update",
	                                    [RECORD_DELETE] = "/delete"};
	int http = on_replay(p, l, "POST", verbs[l->kind], l->body, NULL);

	/* 404: it was being deleted by then, and lost before that where it was asked. */
	if (l->decision == DECISION_REJECTED_EVERYWHERE && l->http != 404)
		assert_in_range(http, 400, 404);
	else if (l->decision == DECISION_ACCEPTED)
		assert_in_range(http, 200, 201);
}

static void replay_record(struct replay *p, const struct fake_log *l)
{
	if (getenv("CHROMATID_TEST_LOG") != NULL)
		fprintf(stderr,
		        "replay %lld: %s collection %lld database %lld %s, decision %d "
		        "http %d at %lld\n",
		        (long long)l->seq, record_kind_name((enum record_kind)l->kind),
		        (long long)l->collection, (long long)l->database,
		        l->name != NULL ? l->name : "", l->decision, l->http,
		        (long long)l->at_ms % 1000000);
	switch (l->kind) {
	case RECORD_CREATE_COLLECTION:
		replay_create(p, l);
		break;
	case RECORD_ADOPT_COLLECTION:
		replay_adopt(p, l);
		break;
	case RECORD_MODIFY_COLLECTION:
		assert_int_equal(on_replay(p, l, "PUT", "", l->body, NULL), 200);
		break;
	case RECORD_DELETE_COLLECTION:
		replay_delete(p, l);
		break;
	case RECORD_CREATE_DATABASE:
		replay_send(p, "POST", target_of(l->database, NULL), l->body, NULL);
		break;
	case RECORD_DELETE_DATABASE:
		replay_send(p, "DELETE", target_of(l->database, ""), NULL, NULL);
		break;
	case RECORD_CREATE_TENANT:
		replay_send(p, "POST", mem_string("/api/v2/tenants"), l->body, NULL);
		break;
	case RECORD_RESET:
		replay_send(p, "POST", mem_string("/api/v2/reset"), NULL, NULL);
		break;
	case RECORD_DELETE_WHERE:
		replay_where(p, l);
		break;
	default:
		replay_items(p, l);
	}
}

/* A write into a collection whose database is deleted: whether it was executed before,
 * and what was said of it, depends on who came first. Nothing is left of it. */
static bool without_database(const struct fake_log *l)
{
	return l->collection != 0 && loses_its_database(l) &&
	       (record_is_item((enum record_kind)l->kind) ||
	        l->kind == RECORD_MODIFY_COLLECTION);
}

static char *replayed(void)
{
	struct replay p = {.m = model_create("replay")};
	char *dump;

	for (unsigned k = 0; k < fake_pg_log_count(); k++) {
		const struct fake_log *l = fake_pg_log(k);

		/* An outcome that PostgreSQL refused to store is lost with us when the
		 * position behind it was stored: of item writes only, and executing
		 * them again says the same. */
		if (l->decision == 0 && !record_is_item((enum record_kind)l->kind))
			fail_msg("record %lld is not decided", (long long)l->seq);
		if (l->decision != DECISION_REJECTED &&
		    l->decision != DECISION_GIVEN_UP && !without_database(l))
			replay_record(&p, l);
	}
	dump = model_dump(p.m);
	model_destroy(&p.m);
	free(p.made);
	return dump;
}

static bool in_log(const struct write *w)
{
	char *mark = mem_format("\"op\":%lld,", (long long)w->number);
	char *other = mem_format("\"op:%lld\"", (long long)w->number);
	bool found = false;

	for (unsigned k = 0; k < fake_pg_log_count(); k++)
		if (fake_pg_log(k)->body != NULL &&
		    (strstr(fake_pg_log(k)->body, mark) != NULL ||
		     strstr(fake_pg_log(k)->body, other) != NULL))
			found = true;
	free(mark);
	free(other);
	return found;
}

/* What a client was told is what the log says. */
static void check_write(const struct write *w)
{
	const struct fake_log *l = w->seq > 0 ? fake_pg_log_seq(w->seq) : NULL;

	if (!w->ended)
		fail_msg("write %lld was never answered", (long long)w->number);
	if (w->appended)
		assert_non_null(l);
	if (w->status == STATUS_OK && w->http < 300 && l->decision > DECISION_ACCEPTED)
		fail_msg("write %lld (seq %lld, %s) was answered %d, then not accepted: "
		         "%d, %d",
		         (long long)w->number, (long long)w->seq,
		         record_kind_name(w->kind), w->http, l->decision, l->http);
	if (w->status == STATUS_OK && w->http >= 400 && l->decision == DECISION_ACCEPTED)
		fail_msg("write %lld (seq %lld) was answered %d, then accepted",
		         (long long)w->number, (long long)w->seq, w->http);
	if ((w->status == STATUS_LOG_UNAVAILABLE || w->status == STATUS_CONFLICT ||
	     w->status == STATUS_NOT_FOUND || w->status == STATUS_BUSY) &&
	    in_log(w))
		fail_msg("write %lld was refused but is in the log",
		         (long long)w->number);
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The catalogue in memory, in the form of fake_pg_catalogue(); each collection is where
 * it says, on both instances. */
static char *catalogue_lines(void)
{
	const struct collection *c;
	struct database *db = NULL;
	struct text out = {0};
	char **lines = NULL;
	size_t n = 0;

	while ((db = catalogue_next_database(db)) != NULL) {
		assert_int_equal(db->life, LIFE_LIVE);
		TAILQ_FOREACH (c, &db->collections, link) {
			assert_int_equal(c->life, LIFE_LIVE);
			assert_null(c->next_name);
			for (unsigned i = 0; i < world.n; i++)
				assert_true(model_has_collection(world.models[i],
				                                 c->local[i].text));
			lines = mem_resize(lines, (n + 1) * sizeof(char *));
			lines[n++] =
			        mem_format("%s/%s/%s\n", db->tenant, db->name, c->name);
		}
	}
	if (n > 0)
		qsort(lines, n, sizeof(char *), compare);
	text_adds(&out, "");
	for (size_t k = 0; k < n; k++) {
		text_adds(&out, lines[k]);
		free(lines[k]);
	}
	free(lines);
	return text_detach(&out);
}

static void same(char *a, char *b, const char *what)
{
	const char *of_a = a != NULL ? a : "", *of_b = b != NULL ? b : "";

	if (strcmp(of_a, of_b) != 0)
		fail_msg("%s differ:\n%s---\n%s", what, of_a, of_b);
	free(a);
	free(b);
}

static void check_figures(void)
{
	struct wal_figures f;

	wal_figures(&f);
	assert_int_equal(f.owed, 0);
	assert_int_equal(f.undecided, 0);
	for (unsigned i = 0; i < world.n; i++) {
		assert_int_equal(f.instances[i].owed, 0);
		assert_int_equal(f.instances[i].owed_bytes, 0);
		assert_int_equal(f.instances[i].in_flight, 0);
	}
}

static void same_collection(const struct collection *c, unsigned i, unsigned j)
{
	same(model_dump_collection(world.models[i], c->local[i].text),
	     model_dump_collection(world.models[j], c->local[j].text), c->name);
}

void world_check_but(unsigned i)
{
	unsigned well = i == A ? B : A;
	const struct collection *c;
	struct database *db = NULL;
	struct write *w;

	check_figures();
	TAILQ_FOREACH (w, &world.writes, link)
		check_write(w);
	for (unsigned j = 0; j < world.n; j++)
		assert_int_equal(model_aside(world.models[j]),
		                 j == i ? model_lost(world.models[j]) : 0);
	while ((db = catalogue_next_database(db)) != NULL)
		TAILQ_FOREACH (c, &db->collections, link)
			for (unsigned j = 0; j < world.n; j++)
				same_collection(c, well, j);
	same(model_dump(world.models[well]), replayed(), "instance and log");
	same(catalogue_lines(), fake_pg_catalogue(), "catalogue and its tables");
}

void world_check(void)
{
	struct write *w;

	check_figures();
	for (unsigned i = 0; i < world.n; i++)
		assert_int_equal(model_aside(world.models[i]), 0);
	TAILQ_FOREACH (w, &world.writes, link)
		check_write(w);
	for (unsigned i = 1; i < world.n; i++)
		same(model_dump(world.models[A]), model_dump(world.models[i]),
		     "instances");
	same(model_dump(world.models[A]), replayed(), "instance and log");
	same(catalogue_lines(), fake_pg_catalogue(), "catalogue and its tables");
}

/* --- the end of a story ------------------------------------------------------------- */

void world_finish(void)
{
	world_settle();
	assert_int_equal(wal_quarantined(), 0);
	world_check();
	world_stop();
}

int world_tear_down(void **state)
{
	(void)state;
	world_clean_up();
	return 0;
}
