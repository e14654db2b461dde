/* http/exchange.h - one client request from its first byte to its last: what read.c,
 * write.c and the others share. Private to http/.
 *
 * An exchange owns itself. It ends in exchange_finish(), the only door, which everything
 * that answers leads to. A client that leaves ends a read; a write that is in the log
 * goes on in wal/, only its answer is dropped. */
#ifndef HTTP_EXCHANGE_H
#define HTTP_EXCHANGE_H

#include <sys/queue.h>

#include "core/blob.h"
#include "core/json_scan.h"
#include "core/timer.h"
#include "http/access.h"
#include "http/alike.h"
#include "http/route.h"
#include "http/server.h"
#include "wal/wal.h"

struct errand;
struct relay;
struct repeat;
struct line;
struct trip;

#define RETRY_AFTER "1"        /* seconds, in our own errors */
#define READ_PATIENCE_MS 3000u /* with an instance, if another may be asked */

/* Of a read that may share a call with others (together.c). */
struct company {
	enum { COMPANY_NONE, COMPANY_UNDER_WAY, COMPANY_WAITING, COMPANY_RIDING } state;
	bool refused;      /* it has shared one that came to nothing */
	struct line *line; /* it has a place in; NULL: none */
	struct trip *trip; /* RIDING: the call it shares */
	msec since;        /* when it first had to wait; 0: never */
	struct alike alike;
	TAILQ_ENTRY(exchange) next;
};

struct exchange {
	struct client *client; /* NULL once it has been answered, or has left */
	struct errand *errand; /* instead of a client: it is for one of another proxy */
	const struct request_head *head;
	char address[ADDRESS_BYTES]; /* the client's */
	struct blob *body;
	struct route route;
	struct op *pending; /* the one thing it waits for */
	struct timer timer; /* and until when, or until it looks again */
	msec deadline;      /* REQUEST_TIMEOUT after it came */
	msec hold_until;    /* a read or an unlogged write gives up waiting then */
	void (*again)(struct exchange *ex);
	struct collection *collection; /* held */
	struct database *database;     /* held */
	struct relay *relay;
	struct repeat *repeat; /* NULL: no Idempotency-Key */
	struct company company;
	struct instance *chosen; /* for a read: whom to ask next; NULL: not chosen */
	unsigned tried;          /* instances, by bit */
	unsigned rounds;         /* of instances tried for a read */
	unsigned conflicts;      /* appends refused because a name was taken meanwhile */
	bool refreshed; /* at a proxy that follows: the catalogue is no older than it ...
	                 */
	const void
	        *refreshed_for; /* ... and what is known of that collection or database */
	wal_seq seq;
	const char *instance; /* that answered; for logs and headers */
	uint64_t started_us, log_us, upstream_us;
	uint64_t id;
	struct trace trace;
	int http; /* answered with */
	size_t bytes_out;
	uint64_t stale; /* records the answer may lack */
	void *wish;     /* what an administrator asks for; freed with it */
};

extern const struct conf *exchange_conf;
bool http_draining(void);
/* An error in Chroma's shape, instead of reading (more of) the body. */
void http_refuse(struct refusal *out, int http, const char *name, const char *message);

/* --- dispatch.c -------------------------------------------------------------------- */
void dispatch(struct exchange *ex);
bool dispatch_needs_catalogue(const struct exchange *ex);

/* --- exchange.c -------------------------------------------------------------------- */
/* `client` NULL: of an errand, which sets its address itself. */
struct exchange *exchange_create(struct client *client, const struct request_head *head,
                                 struct blob *body);
/* Our headers and `more` (may be NULL), then the end. `body` may be NULL. */
void exchange_reply(struct exchange *ex, int http, const struct headers *more,
                    struct blob *body);
void exchange_json(struct exchange *ex, int http, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
void exchange_json_text(struct exchange *ex, int http, struct text *json); /* clears it */
/* An error in Chroma's shape. */
void exchange_error(struct exchange *ex, int http, const char *name, const char *format,
                    ...) __attribute__((format(printf, 4, 5)));
/* Of our own: with Retry-After and X-Chromatid-Outcome ("none", "pending", "unknown"). */
void exchange_fail(struct exchange *ex, enum status s, const char *outcome);
/* The same in words of its own. */
void exchange_fail_saying(struct exchange *ex, enum status s, const char *outcome,
                          const char *message);
/* 404, or what Chroma says before it looks for a collection. */
void exchange_no_collection(struct exchange *ex);
/* An error body in Chroma's shape. */
void exchange_add_error(struct text *json, const char *name, const char *message);
void exchange_finish(struct exchange *ex);
/* Adds X-Chromatid-... and, on errors, chroma-trace-id. */
void exchange_headers(const struct exchange *ex, int http, struct headers *h);
msec exchange_left(const struct exchange *ex); /* until its deadline; at least 1 */
msec exchange_left_at(const struct exchange *ex, msec now);
/* Runs ex->again: by the catalogue as it is now, when there is one. */
void exchange_go_on(struct exchange *ex);
/* Runs `again` in `wait` ms, until the exchange has been held too long: then false. */
bool exchange_hold(struct exchange *ex, msec wait, void (*again)(struct exchange *ex));
/* At a proxy that follows: runs `again` when the catalogue is no older than now, and what
 * is known of ex->collection or, if there is none, ex->database. */
void exchange_refresh(struct exchange *ex, void (*again)(struct exchange *ex));
/* The same, if it was not done for this exchange and what it is about; else false. */
bool exchange_refreshes(struct exchange *ex, void (*again)(struct exchange *ex));
/* Runs `again` when the object is decided (collection_wait, database_wait). */
void exchange_wait_collection(struct exchange *ex, struct collection *c,
                              void (*again)(struct exchange *ex));
void exchange_wait_database(struct exchange *ex, struct database *db,
                            void (*again)(struct exchange *ex));
unsigned exchange_count(void);
uint64_t exchange_next_id(void);

/* One line for each request (ACCESS_LOG). */
struct access_entry {
	uint64_t id;
	struct trace trace;
	char address[ADDRESS_BYTES];
	const char *op, *instance, *collection; /* NULL: none */
	int http;                               /* 0: cut */
	uint64_t took_us;
	size_t bytes_in, bytes_out;
	wal_seq seq; /* 0: none */
};
void exchange_log(const struct access_entry *e);

struct exchange_figures {
	uint64_t total, timeouts, rejected, too_large, malformed;
	uint64_t classes[6]; /* answers by status class; [0]: cut */
};
extern struct exchange_figures exchange_totals;

/* --- find.c: whom a path means ----------------------------------------------------- */
enum found { FOUND, FOUND_NOTHING, FOUND_NOT_AN_ID, FOUND_UNDECIDED };
/* The database of the path, into ex->database. UNDECIDED: wait for *undecided. */
enum found find_database(struct exchange *ex);
/* Record routes: by any id, else by name, inside the path's database; ex->collection. */
enum found find_by_id_or_name(struct exchange *ex);
enum found find_by_id(struct exchange *ex);
/* By name, or by id if none has that name. */
enum found find_by_name(struct exchange *ex);

/* --- relay.c: from an instance to the client --------------------------------------- */
struct relay_plan {
	const char *method;
	bool read;   /* may be tried on another instance after any failure */
	bool exists; /* what is asked about exists: a 404 is that instance's loss */
	bool whole;  /* gather the answer whatever its size, for `edit` or `take` */
	/* The target at that instance. */
	void (*aim)(struct exchange *ex, struct instance *in, struct text *target);
	/* The next instance to try, not among ex->tried; NULL: none. */
	struct instance *(*choose)(struct exchange *ex);
	/* NULL, or: change a whole answer before it is passed on (same length). */
	void (*edit)(struct exchange *ex, struct instance *in, int http,
	             struct evbuffer *data);
	/* NULL, or: do something else with a whole answer than pass it on. */
	void (*take)(struct exchange *ex, struct instance *in, int http,
	             const struct headers *headers, struct blob *body);
	/* NULL, or: an instance has answered with an error, and another one that is up
	 * was not asked, for it is behind; false: pass the error on. */
	bool (*wait)(struct exchange *ex);
	/* No instance to try (any more). */
	void (*none)(struct exchange *ex);
	/* NULL, or: a call is over, with so many bytes of answer; 0: it was given up. */
	void (*over)(struct exchange *ex, size_t bytes);
};
/* `plan` must be static const. `body` may be NULL. */
void relay_start(struct exchange *ex, const struct relay_plan *plan, struct blob *body);
void relay_drained(struct exchange *ex);
void relay_stop(struct exchange *ex);
/* Parts that several plans share. */
bool relay_untried(const struct exchange *ex, const struct instance *in);
struct instance *relay_choose_any(struct exchange *ex); /* one that is up and untried */
void relay_aim_same(struct exchange *ex, struct instance *in, struct text *target);
/* Writes one id where the other stands. */
void relay_rename(struct evbuffer *data, const struct uuid *from, const struct uuid *to);
void relay_gave_up(struct exchange *ex); /* 503, no effect */

/* --- rounds.c: a read for which no instance is current ----------------------------- */
/* All that were current have failed it: ask again (ex->again), perhaps all of them. */
void rounds_next(struct exchange *ex);
/* One that is up was not asked, and there is a round left to ask it in. */
bool rounds_left(const struct exchange *ex);
bool rounds_another_comes(struct exchange *ex);
/* Ask again (ex->again) when one may be current; in the end by this plan, or nobody. */
void rounds_wait(struct exchange *ex, const struct relay_plan *stale, struct blob *body);

/* --- together.c: reads that share a call ------------------------------------------- */
/* A read of items that is about to ask this instance. True: it waits for its turn there,
 * and then hears its answer, or does ex->again. False: it is to be asked alone. */
bool together_waits(struct exchange *ex, struct instance *in);
void together_over(struct exchange *ex, size_t bytes); /* its own call is */
void together_leave(struct exchange *ex);              /* it ends, or goes another way */
void together_stop(void);

struct together_figures {
	uint64_t calls, reads; /* that carried more than one read; those */
};
extern struct together_figures together_totals;

/* --- who answers ------------------------------------------------------------------- */
void read_items(struct exchange *ex);
/* Where it is asked at that instance. */
void read_aim(const struct exchange *ex, struct instance *in, struct text *target);
void read_collection(struct exchange *ex); /* by name or id */
void read_any_instance(struct exchange *ex);
void list_collections(struct exchange *ex);
void list_databases(struct exchange *ex);
void get_database(struct exchange *ex);
void get_tenant(struct exchange *ex);
void count_collections(struct exchange *ex);
void write_items(struct exchange *ex);
void create_collection(struct exchange *ex);
void import_collection(struct exchange *ex); /* the same, with a public id it says */
void modify_collection(struct exchange *ex);
void delete_collection(struct exchange *ex);
void create_database(struct exchange *ex);
void delete_database(struct exchange *ex);
void create_tenant(struct exchange *ex);
void reset(struct exchange *ex);
void quarantine_retry(struct exchange *ex); /* quarantine_page.c */
void quarantine_skip(struct exchange *ex);
void adopt_page(struct exchange *ex);   /* adopt_page.c */
void verify_begin(struct exchange *ex); /* verify_page.c */
void verify_page(struct exchange *ex);
void resync_page(struct exchange *ex);
void resyncs_page(struct exchange *ex);
void history_page(struct exchange *ex);
void export_begin_page(struct exchange *ex);
void export_look_page(struct exchange *ex);
void export_collection_page(struct exchange *ex);
void export_items_page(struct exchange *ex);
void export_end_page(struct exchange *ex);
void cleanup(struct exchange *ex); /* retention_page.c */
void operator_answer(struct exchange *ex);
void timeline_page(struct exchange *ex);
void collections_page(struct exchange *ex);
void ui_page(struct exchange *ex);
void tally_answer(const struct exchange *ex); /* counts it, for the metrics */

/* --- protect.c --------------------------------------------------------------------- */
bool protect_covers(const char *name);
/* One that is protected; NULL: there is none. */
const struct collection *protect_in(const struct database *db);
const struct collection *protect_anywhere(void);
void protect_refuse(struct exchange *ex, const struct collection *c); /* 403 */

void export_stop(void); /* export.c */

/* --- refusal.c: ask an instance to refuse, in its own words ------------------------ */
/* Sends the request where it cannot have any effect (an id or a database that cannot
 * exist) and answers with the refusal that comes back, naming what the client named. If
 * it says nothing worse than that the target does not exist, `otherwise` goes on. */
void refusal_ask(struct exchange *ex, void (*otherwise)(struct exchange *ex));

/* --- killers.c --------------------------------------------------------------------- */
/* Why this request must not reach any Chroma, or NULL. */
const char *killer_in(const struct exchange *ex);

/* --- write.c ----------------------------------------------------------------------- */
void write_log(struct exchange *ex, const struct wal_write *w,
               void (*conflict)(struct exchange *ex));
/* True if it waits for an earlier record of the same write now (wal_join). */
bool write_joins(struct exchange *ex, const struct wal_write *w);
void write_appended(void *arg, wal_seq seq);
void write_answer(struct exchange *ex, const struct wal_outcome *outcome);
struct json_slice write_body(const struct exchange *ex);
/* By its Content-Type; so is one without any. */
bool write_is_json(const struct exchange *ex);
bool write_type_is_json(const char *type);
/* Can this body be a write at all? */
bool write_takes_part(const struct exchange *ex);
char *write_text(const struct exchange *ex, const char *key); /* NULL: no such text */
/* Nothing that Chroma could take for a create. */
bool write_cannot_create(const struct exchange *ex);
void write_no_sense(struct exchange *ex); /* 422 */

/* --- repeat.c: Idempotency-Key ----------------------------------------------------- */
bool repeat_named(const struct exchange *ex); /* it has a key */
/* The answer its key has already, or `answer`. */
void repeat_begin(struct exchange *ex, void (*answer)(struct exchange *ex));
void repeat_again(struct exchange *ex); /* its key may have been used meanwhile */
const struct wal_key *repeat_key(const struct exchange *ex); /* NULL: none */
/* It is known what becomes of its key: the next one with the same key may look. */
void repeat_settled(struct exchange *ex);
void repeat_end(struct exchange *ex);

#endif
