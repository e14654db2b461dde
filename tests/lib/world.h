/* tests/lib/world.h - the log and the engine between a model PostgreSQL and two model
 * Chromas, in virtual time, and a client who writes.
 *
 * The happy path of a test:
 *	world_start();                      two instances up, we lead
 *	docs = made("docs");                a collection
 *	w = add("docs", "a,b");             writes under way
 *	world_settle();
 *	assert_decided(w, 201);
 *	world_check();                      both hold what the log says, and all agrees
 *	world_stop();
 */
#ifndef TESTS_LIB_WORLD_H
#define TESTS_LIB_WORLD_H

#include "tests/lib/fake_pg.h"
#include "tests/lib/fake_random.h"
#include "tests/lib/fake_time.h"
#include "tests/lib/fake_upstream.h"
#include "tests/lib/model_chroma.h"
#include "wal/wal.h"

#define A 0u
#define B 1u
#define C 2u /* of three */

/* One write as its client sees it. Kept until world_stop(). */
struct write {
	int64_t number; /* in its body, as "op", or as an id or a URI op:number */
	enum record_kind kind;
	struct op *pending;
	bool appended, ended;
	enum status status; /* of the end */
	int http;
	wal_seq seq;
	char *body; /* the answer */
	int64_t collection;
	TAILQ_ENTRY(write) link;
};

void world_seed(uint64_t seed); /* first of all: what follows repeats with the seed */
void world_start(void);
void world_start_with(unsigned n); /* so many instances: 2 or 3 */
void world_workers(int64_t most);  /* MAX_WORKERS from the next boot on; 4 at first */
/* VERIFY_INTERVAL and REPAIR from the next boot on; 0 at first. */
void world_verifies(msec interval, bool repairs);
/* LOG_MAX_BYTES of the next world_start(), else none. A record takes FAKE_RECORD_BYTES.
 */
void world_log_limit(int64_t bytes);
void world_adopts(const char *cluster); /* ADOPT_CLUSTER from the next boot on */
void world_repairs(void);               /* REPAIR=auto from the next boot on, or start */
/* From now on what is written may be merged: nothing in a body keeps it from that. */
void world_merges(bool yes);
/* What is written from now on goes through another proxy, which follows: no write of it
 * is kept, and nothing is told to the one that leads. */
void world_elsewhere(bool yes);
/* From the next boot on what the instances hold besides is looked for, too. */
void world_adoption(enum conf_adopt policy);
/* Somebody has made it directly on an instance: in the default database, with such ids,
 * each with a document. */
void world_had(unsigned i, const char *name, const char *ids, const char *document);
void world_stop(void);
void world_clean_up(void);     /* after a test that has failed somewhere on its way */
void world_crash(void);        /* the proxy is gone, from one instruction to the next */
void world_boot(void);         /* and started again; does not wait */
void world_lead(msec most);    /* until we lead and everything that can be up is up */
void world_restart(msec most); /* all three */
void world_settle(void);       /* until nothing is owed: all must be well */
void world_finish(void);       /* settles, has nothing in quarantine, checks, and stops */
/* A test that cleans up after itself, also if it fails. Wants cmocka.h before. */
int world_tear_down(void **state);
#define world_story(f) cmocka_unit_test_teardown(f, world_tear_down)
bool world_quiet(void); /* is nothing owed and nobody waiting? */
void world_check(void); /* everything agrees: see world.c */
/* The same; but that one came back with an older disk, and may hold more besides. */
void world_check_but(unsigned i);
struct model *world_model(unsigned i);
struct upstream *world_upstream(unsigned i);
void world_down(unsigned i); /* the process of the instance ends, and we know */
void world_up(unsigned i);   /* it is back, and we know */
TAILQ_HEAD(write_list, write);
const struct write_list *world_writes(void);

/* Each begins a write; NULL if the catalogue has no such collection or database. */
struct write *create(const char *name);
struct write *create_in(struct database *db, const char *name);
struct write *create_as(const char *name, const struct uuid *public_id);
struct write *create_bad(const char *name); /* an instance refuses it */
struct write *rename_to(const char *name, const char *next);
struct write *modify(const char *name);
struct write *drop(const char *name);
struct write *add(const char *name, const char *ids);
struct write *add_embedded(const char *name, const char *ids, unsigned dimension,
                           bool bad);
struct write *upsert(const char *name, const char *ids);
struct write *update(const char *name, const char *ids);
struct write *take_out(const char *name, const char *ids);
struct write *take_out_where(const char *name, const char *where);
struct write *items(enum record_kind kind, struct collection *c, const char *ids,
                    unsigned dimension, bool bad);
struct write *items_where(struct collection *c, const char *where);
struct write *create_database(const char *name);
struct write *drop_database(const char *name);
struct write *create_tenant(const char *name);
struct write *reset(void);
struct write *modify_of(struct collection *c, const char *next);
struct write *drop_of(struct collection *c);

/* "docs" and "notes"; the replica refuses a write to "docs" which the primary takes. */
struct write *diverged(void);
struct collection *made(const char *name); /* create, and settle */
struct collection *named(const char *name);

void assert_decided(const struct write *w, int http);
void assert_ended(const struct write *w, enum status s);

#endif
