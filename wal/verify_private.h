/* wal/verify_private.h - what the files of verification share.
 *
 *	verify.c           what is verified when
 *	verify_found.c     what was found last
 *	verify_pass.c      one collection, from its start to its end
 *	verify_alone.c     its items that are too large for an answer with two
 *	verify_round.c     the same question to several instances; at rest if it must be
 *	verify_index.c     does an instance find what it holds?
 *	verify_heal.c      who is right, and what follows from that
 *	verify_rescue.c    what would be lost by that is logged again
 *	verify_look.c      pure: what differs between answers
 *	verify_evidence.c  pure: what a record says of that
 *	verify_decide.c    pure: who is right
 *	verify_probe.c     pure: questions to a search index, and how many it has answered
 *
 * Sets of instances are bits, by index. */
#ifndef WAL_VERIFY_PRIVATE_H
#define WAL_VERIFY_PRIVATE_H

#include "wal/compare.h"
#include "wal/wal.h"

/* --- verify_look.c: what differs ----------------------------------------------------
 */
enum look_kind {                 /* named by wal_verified_kinds */
	         LOOK_MISSING,   /* an item that is not everywhere */
	         LOOK_CONTENT,   /* its document, URI or metadata */
	         LOOK_EMBEDDING, /* its vector */
	         LOOK_ORDER,     /* the items stand in another order */
	         LOOK_SHAPE, /* the collection itself: name, metadata, configuration */
	         LOOK_KINDS
};

#define LOOK_ITEMS_MOST 100u

struct look_item {
	char *id;       /* as it stands in an answer, with its quotes; NULL: no item */
	unsigned kind;  /* enum look_kind */
	unsigned right; /* who has it as the log says; 0: the log does not say */
	/* Equal numbers: equal there. 0: it is not there, or that one was not asked. */
	unsigned char group[CONF_MAX_INSTANCES];
};

struct look {
	struct look_item items[LOOK_ITEMS_MOST];
	size_t n;
	uint64_t found[LOOK_KINDS]; /* all of them, also those there was no room for */
};

void look_clear(struct look *look);
uint64_t look_total(const struct look *look);
/* Windows of the same places differ: the `get` that tells what of their rows does, for
 * at most so many ids; NULL: no row does, they only stand in another order. *moved: those
 * that all have do not stand in one order. */
struct blob *look_question(struct blob *const windows[], unsigned who, size_t most,
                           bool *moved);
/* The same, of windows of nothing but ids: whom of them who has. */
struct blob *look_question_ids(struct blob *const windows[], unsigned who, bool *moved);
/* The answers to such a question: adds what differs, returns how many. */
size_t look_add(struct look *look, struct blob *const answers[], unsigned who);
/* One of the whole; `group` as in look_item. */
void look_add_whole(struct look *look, enum look_kind kind, const unsigned char *group,
                    unsigned right);
/* The `get` for all items that were found; NULL: none is known by its id. */
struct blob *look_question_again(const struct look *look);
/* The answer to that is too large: half of them are not asked for any more, and what was
 * seen of these stands. False: none was asked for. */
bool look_fewer(struct look *look);
/* What an instance says of the collection itself. False: equal everywhere. `right`: who
 * has it by that name, if not all. */
bool look_shapes(struct blob *const answers[], unsigned who, const char *name,
                 unsigned char *group, unsigned *right);

/* --- verify_evidence.c: what the log says -------------------------------------------
 */
struct evidence; /* about the items of a look, each of which wants an answer */
struct evidence *evidence_create(struct look *look, struct blob *const answers[],
                                 unsigned who);
void evidence_destroy(struct evidence **e);
/* The next older record; its body, or its ids if it is a delete by filter. False: nothing
 * older can say more. */
bool evidence_take(struct evidence *e, enum record_kind kind, const char *body,
                   size_t len);

/* --- verify_decide.c: who is right --------------------------------------------------
 */
enum decide_rule {
	RULE_MAJORITY,  /* more than half have it so */
	RULE_LOG,       /* the latest record that names it */
	RULE_TROUBLED,  /* one was down since they were last equal, another was not */
	RULE_KEEP,      /* who has it: no data is thrown away */
	RULE_PREFERRED, /* a guess: the first in the settings */
	RULES
};
struct decide_facts {
	unsigned who, troubled;
};
enum decide_rule decide_item(const struct look_item *item,
                             const struct decide_facts *facts, unsigned *right);
struct decided {
	unsigned winner;
	unsigned losers;
	size_t wrong[CONF_MAX_INSTANCES];
	size_t by[RULES]; /* so many items were decided by it */
};
/* Nothing differs: no losers. */
struct decided decide(const struct look *look, const struct decide_facts *facts);

/* --- verify_probe.c: questions to a search index ------------------------------------
 */
/* So many results: the more a Chroma is asked for, the more thoroughly it searches. */
#define PROBE_RESULTS 3u
#define PROBE_THOROUGH 500u
enum probe_space { SPACE_L2, SPACE_COSINE, SPACE_IP };
enum probe_space probe_space_of(const struct blob *shape);
/* Asks for what a `get` with embeddings has shown, each by its own vector; vectors of
 * nothing but zeros are left out. NULL: there is none. */
struct probe;
struct probe *probe_create(const struct blob *sample, enum probe_space space);
void probe_destroy(struct probe **p);
struct blob *probe_question(const struct probe *p, unsigned results);
size_t probe_asked(const struct probe *p);
/* What an instance has answered. False: not understood. */
bool probe_take(struct probe *p, unsigned i, const struct blob *answer);
/* After all have: how many an instance did not find; their ids are added to *list, with
 * commas, unless it is there already. */
size_t probe_missed(const struct probe *p, unsigned i, struct text *list);
/* Whose index is damaged, of those asked so many with so many not found; `was`: what a
 * new index there has not found either. */
struct probe_score {
	size_t asked, missed;
	bool all;   /* everything there is was asked for */
	double was; /* share found by an index that was just made; 1: all, or not known */
};
double probe_recall(const struct probe_score *s);
unsigned probe_damaged(const struct probe_score *scores, unsigned who,
                       enum probe_space space);

/* --- verify_round.c: one question to several ----------------------------------------
 */
/* So large an answer may be; less in tests. */
struct verify_sizes {
	size_t window;
	size_t alone; /* with one field of one item */
};
extern struct verify_sizes verify_sizes;

struct round;
struct round_question {
	struct round *round;
	unsigned instance;
	struct op *call;
};
struct round {
	struct collection *collection; /* the owner holds it */
	unsigned who;                  /* were asked */
	struct blob *answers[CONF_MAX_INSTANCES];
	int http[CONF_MAX_INSTANCES]; /* 0: no answer */
	wal_seq at;                   /* at rest: how far they all are */
	bool rests;                   /* their lanes are held, and at rest */
	msec began;                   /* the asking */
	struct round_question questions[CONF_MAX_INSTANCES];
	unsigned left;
	enum status status;
	bool held;
	msec until;
	struct timer timer;
	void (*done)(void *arg, enum status s);
	void *arg;
};
/* May it be asked about the collection, and will it come to rest? */
bool round_may_ask(const struct collection *c, unsigned i);
/* `verb` with its slash, NULL: what the collection is like. Ends with
 *   STATUS_OK         all have answered 200
 *   STATUS_TOO_LARGE  an answer was
 *   STATUS_BUSY       they were at rest, and it took too long: they are not any more
 *   STATUS_BAD_REPLY  another answer, or none: see `http` */
void round_ask(struct round *r, unsigned who, const char *verb, struct blob *body,
               void (*done)(void *arg, enum status s), void *arg);
/* The same, for one field of one item. */
void round_ask_much(struct round *r, unsigned who, const char *verb, struct blob *body,
                    void (*done)(void *arg, enum status s), void *arg);
/* New records of the collection wait until round_release(), a second at most. STATUS_OK:
 * those instances are at rest, and equally far; STATUS_BUSY: they did not come to it. */
void round_rest(struct round *r, unsigned who, void (*done)(void *arg, enum status s),
                void *arg);
void round_release(struct round *r);
/* Nobody is told, and no lane is kicked: for the end of all. May come twice. */
void round_clear(struct round *r);

/* --- verify_pass.c: one collection --------------------------------------------------
 */
enum pass_level {
	LEVEL_IDS = 1,     /* which ids, in which order */
	LEVEL_CONTENT = 2, /* and everything else of them */
	LEVEL_INDEX = 4,   /* does the index find them? */
};

struct pass {
	/* what is to be done */
	struct collection *collection; /* held */
	unsigned levels;
	unsigned share; /* of an instance's time: one part in so many */
	bool repair;
	unsigned troubled; /* down since all were equal */
	double was[CONF_MAX_INSTANCES];
	void (*done)(void *arg);
	void *arg;

	/* what was found */
	const char *unfinished; /* why it could not be compared; NULL: it was */
	uint64_t items;         /* looked at so far ... */
	uint64_t total;         /* ... of about so many */
	struct look look;       /* what differs ... */
	bool partly;            /* ... and more may */
	unsigned lost;          /* it is not there */
	unsigned unreadable;    /* its vectors cannot be read */
	unsigned damaged;       /* its index does not find what it holds */
	struct probe_score scores[CONF_MAX_INSTANCES];
	struct decided decided;
	unsigned wrong; /* to be made anew */
	bool guessed;
	uint64_t rescued; /* items given to the log from one that is made anew */
	wal_seq at;

	/* on its way */
	unsigned who; /* still compared */
	struct round round;
	struct timer timer;
	void (*step)(struct pass *p);
	bool rests; /* the step wants them at rest */
	unsigned tries, looks, windows, odd_windows;
	uint64_t offset;
	size_t limit;
	bool moved, whole_order;
	struct blob *held[CONF_MAX_INSTANCES]; /* windows that differ */
	uint64_t *seen; /* hashes of the ids of the window before */
	size_t n_seen;
	struct {
		struct text ids; /* of the items, as a list */
		unsigned at;     /* the field of the item that is asked for */
		size_t found, bytes;
		bool odd; /* something differs */
	} alone;
	enum probe_space space;
	struct probe *probe;
	unsigned probes, sampler;
	struct text missed;
	struct evidence *evidence;
	wal_seq searched; /* the log, down to here */
	unsigned pages;
	struct op *pending;
};
/* Those that are well are compared, at least two; for the index alone one will do. */
void pass_begin(struct pass *p);
void pass_clear(struct pass *p); /* nobody is told; may come twice */
/* The next step, after a while; `rests`: with all that are compared at rest. */
void pass_go(struct pass *p, msec wait, void (*step)(struct pass *p), bool rests);
/* The step has failed: again, for so many times, each time later. */
void pass_again(struct pass *p, const char *why);
msec pass_rest(const struct pass *p); /* after a round, to take no more than the share */
void pass_over(struct pass *p, const char *unfinished);
unsigned pass_failed(const struct pass *p, int http); /* who has answered so */

/* For verify_alone.c: of the answers of the round, or of the windows that are held. */
#define SECOND_LOOK_MS 30u
bool pass_answers_equal(const struct pass *p);
size_t pass_largest(const struct pass *p); /* answer */
void pass_hold(struct pass *p);            /* the answers, as windows */
bool pass_has_seen(const struct pass *p, uint64_t hash);
void pass_not_read(struct pass *p);
/* The windows that are held differ, at rest, in so many rows; or they are equal. */
void pass_judged(struct pass *p, size_t n);
void pass_equal(struct pass *p);
void pass_alone(struct pass *p); /* verify_alone.c; then one of these two */

void pass_index(struct pass *p);  /* verify_index.c; then pass_heal() */
void pass_heal(struct pass *p);   /* verify_heal.c; then pass_over() */
void pass_rescue(struct pass *p); /* verify_rescue.c; then ... */
void pass_park(struct pass *p);

/* --- verify_found.c: what was found -------------------------------------------------
 */
struct verified {
	struct collection *collection; /* held */
	msec due[3];                   /* ids, content, index; 0: not by itself */
	msec not_before;               /* it could not be compared */
	unsigned failures;
	bool demanded, soon;
	bool known; /* compared since this proxy leads: */
	struct wal_verification found;
	unsigned levels;                /* that were compared then */
	unsigned made_anew;             /* their indexes, since the last probe; by bit */
	double was[CONF_MAX_INSTANCES]; /* found by an index that was just made */
	TAILQ_ENTRY(verified) link;
};
/* Of this comparison; what an earlier one has found may stand. */
enum wal_verified found_take(struct verified *v, const struct pass *p);
void found_say(const struct verified *v);
void found_keep(const struct verified *v, wal_seq seq);
void found_clear(void);

#endif
