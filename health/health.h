/* health/health.h - the instances: who they are, whether they answer, who may be chosen.
 *
 * Two axes, kept apart: health (does it answer?) is here; position (has it caught up?)
 * is in wal/. An instance is probed on its data path, on a connection of its own; each
 * call's end is a signal too (health_report). State changes pass one door, which logs.
 *
 * An instance that goes down has its open calls ended (upstream_abort), so that what
 * hangs on it can be tried elsewhere; it comes up again through probes only.
 *
 * One that is up may still fail every write: a write of our own (canary.c) tells. Reads
 * go on there, and what is under way is not ended.
 *
 * One that answers may be another than it was: another server, or the same one with
 * another disk. Each bears a marker (marker.c), and is not up before the registrar, who
 * knows what it must say, has let it in. */
#ifndef HEALTH_HEALTH_H
#define HEALTH_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "core/conf.h"
#include "core/upstream.h"
#include "core/uuid.h"

enum health { HEALTH_UNKNOWN, HEALTH_DOWN, HEALTH_UP }; /* later is better */

struct instance; /* a Chroma server; lives from health_start to health_stop */

/* Told from the loop, never from inside health_report(): instance_health() is already
 * the new one, and what the listener starts on the instance is not aborted with the rest.
 * `was` is what it is now if only instance_writable() has changed. */
typedef void(health_change_fn)(struct instance *in, enum health was, void *arg);

/* A way to a server, with the token and the certificates of conf. */
struct upstream *health_upstream(const struct conf *conf, const char *url);
/* Creates the instances of conf and begins to probe them. */
void health_start(const struct conf *conf);
void health_stop(void);
void health_on_change(health_change_fn *fn, void *arg); /* up to 8 listeners */

unsigned health_count(void);                  /* how many instances there are */
struct instance *health_instance(unsigned i); /* in order of preference */
unsigned instance_index(const struct instance *in);
const char *instance_name(const struct instance *in);
enum health instance_health(const struct instance *in);
bool instance_up(const struct instance *in); /* HEALTH_UP */
/* Up, and writes to its canary end well: an instance with a full disk answers reads and
 * fails every write. After it was down: from its first canary on. Listeners of
 * health_on_change() are told when this changes too. */
bool instance_writable(const struct instance *in);
/* By hand, whatever its probes say: it counts as down, but what is under way there may
 * end. For `wait` ms, or (0) until it is put back; then its next good probes bring it
 * up. Told again, only how long may change. */
void instance_take_out(struct instance *in, msec wait, const char *by);
void instance_put_back(struct instance *in);
struct instance_out {
	bool is;
	int64_t since_wall_ms, until_wall_ms; /* 0: until it is put back */
	char by[80];
};
struct instance_out instance_out(const struct instance *in);
/* Up, but a call to it went wrong and no probe has settled yet what that means. */
bool instance_doubted(const struct instance *in);
/* Does it answer its probes, if only with errors? Not one that was taken out. */
bool instance_answers(const struct instance *in);
/* While something is done to it that makes it answer with errors for a moment (a reset):
 * they are not held against it. */
void instance_pardon(struct instance *in, bool yes);
struct upstream *instance_upstream(const struct instance *in);
unsigned health_up_count(void);
bool health_known(void); /* every instance has had its first verdict */

/* What a call to it has shown. A failure makes the next probes come at once and fast; a
 * refused connection alone takes the instance down without waiting for them. */
enum health_signal {
	SIGNAL_ANSWERED,
	SIGNAL_ERROR_5XX,
	SIGNAL_REFUSED,
	SIGNAL_BROKEN,
	SIGNAL_TIMED_OUT
};
const char *health_text(enum health h); /* "unknown", "down", "up" */
void health_report(struct instance *in, enum health_signal signal, const char *detail);
/* It does not know the collection: 404; or is just deleting it: "412 Missing field". That
 * is no verdict on what it was asked. */
bool health_is_lost(int http);
/* A call that we ended ourselves (STATUS_STOPPED) or whose reply was too large for us
 * shows nothing bad: SIGNAL_ANSWERED, which changes nothing. */
enum health_signal health_signal_of(const struct reply *reply);
/* Probe everything now; `done` is told when each has answered or failed. A probe that is
 * under way, or ended a moment ago, counts. */
typedef void(health_probed_fn)(void *arg);
void health_probe_now(health_probed_fn *done, void *arg, struct op **slot);

/* Reads: the one to ask among those that may serve it (share and strategy of conf, then
 * load); NULL if none. `may_serve` is asked only about instances that are up. */
typedef bool(health_pick_fn)(const struct instance *in, void *arg);
struct instance *health_choose_read(health_pick_fn *may_serve, void *arg);
/* With READ_AFFINITY always the same one for the same key, while that may serve. */
struct instance *health_choose_read_of(uint64_t key, health_pick_fn *may_serve,
                                       void *arg);

/* What an instance bears, in an item of our own: which one of which cluster it is, and a
 * number that grows with each writing. A copy of its disk has a lower one. */
struct marker {
	bool there;
	struct uuid cluster, instance;
	int64_t beat;
};

/* Where it is on an instance, and what is asked of `get` there. */
#define MARKER_DATABASES "/api/v2/tenants/ctd-chromatid/databases"
#define MARKER_COLLECTIONS MARKER_DATABASES "/ctd-canary/collections"
#define MARKER_COLLECTION MARKER_COLLECTIONS "/ctd-canary"
#define MARKER_QUESTION "{\"include\":[\"metadatas\"]}"
/* Pure: the youngest marker among the items of the collection. False: not understood.
 * `items`: how many there are. */
bool marker_parse(const struct blob *answer, struct marker *out, size_t *items);

/* Who knows what the markers must say (wal/). Told from the loop. */
struct registrar {
	bool (*judges)(void); /* not yet, or not any more: every instance is let in */
	/* What is to become of an instance that bears this and is not up? To be answered
	 * with one of the words below, at once or later. */
	void (*judge)(struct instance *in, const struct marker *found);
	/* It does not answer any more; the question is void. */
	void (*forget)(struct instance *in);
	/* It is up and bears this now: is that as it should be? */
	bool (*trusts)(struct instance *in, const struct marker *found);
	/* What is to be written next; false: another proxy writes it. */
	bool (*next)(struct instance *in, struct marker *next);
	/* That was written, or not (only after instance_mark()). */
	void (*written)(struct instance *in, const struct marker *marker, bool good);
};
void health_identified_by(const struct registrar *registrar);
/* Its knowledge has changed: each instance must be let in anew. */
void health_identify_all(void);
/* The answers to judge(): `as` is a word for the status. */
void instance_let_in(struct instance *in, const char *as);
/* It stays down; asked again some seconds later. */
void instance_refuse(struct instance *in, const char *as, const char *why);
void instance_ask_again(struct instance *in); /* soon: it cannot be said now */
/* Write the next marker, then judge goes on: written(). */
void instance_mark(struct instance *in);
/* Something that is there was not found there: its marker is looked at, at once. */
void instance_look(struct instance *in);
/* What it bears, for one who does not lead but is to work there; STATUS_OK: `found`. */
typedef void(instance_marker_fn)(void *arg, enum status s, const struct marker *found);
void instance_read_marker(struct instance *in, instance_marker_fn *done, void *arg,
                          struct op **slot);
/* How long it was not up. */
msec instance_away(const struct instance *in);

struct instance_figures {
	const char *identity; /* a word: what its marker says */
	uint64_t requests, successes, reads, writes, failures;
	uint64_t write_failures;                /* of the failures */
	uint64_t signals[SIGNAL_TIMED_OUT + 1]; /* what calls have shown, by enum */
	uint64_t probes_good, probes_bad;
	uint64_t canaries_good, canaries_bad;
	unsigned consecutive_failures;
	int64_t last_check_wall_ms, since_wall_ms;
	uint64_t probe_us;      /* the last probe that answered */
	char reason[160];       /* why it is in its state */
	char write_reason[160]; /* why it takes writes or does not */
};
struct instance_figures instance_figures(const struct instance *in);
/* A client's request was served (or tried) by it. */
void instance_count(struct instance *in, bool read, bool success);

#endif
