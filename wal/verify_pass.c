/* wal/verify_pass.c - one collection, compared at all instances that are well, while
 * clients go on.
 *
 *   ask_shape     is it there, by that name, with those settings?
 *   ask_count     about how many items
 *   ask_window    the same places of all, one window after the other, in order
 *   on_window     equal, as nearly always: the next, after a rest
 *   on_suspects   they differ, even at rest: what does?
 *   pass_alone    two items do not fit in an answer: one by one (verify_alone.c)
 *   pass_index    does each find what it holds? (verify_index.c)
 *   pass_heal     who is right, and what follows (verify_heal.c)
 * When it does not go well:
 *   - it does not come to rest, or somebody does not answer: the same again, later and
 *     later; in the end it was not compared, and that is said
 *   - one is not well any more, or the collection is deleted: the same
 *
 * While it is read items are deleted, and all behind them move to the front: the places
 * we go on from are then behind items that nobody has looked at. So each window begins
 * with the last item of the one before; if it is not there, one further to the front is
 * read, until we are among what was seen. (An item that is deleted and added again
 * between two windows may hide that. What is passed over then has its turn next time.) */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/table.h"
#include "wal/verify_private.h"

#define TRIES_MOST 6u
#define AGAIN_FIRST_MS 50u
#define REST_MOST_MS 10000u
#define WINDOW_BYTES (1024u * 1024u) /* of each; all are looked at in one turn */
#define WINDOW_FIRST 20u
#define WINDOW_ITEMS 200u
#define WINDOW_IDS 5000u
#define WINDOW_LEAST 2u
#define SUSPECTS_MOST 200u
#define ODD_WINDOWS_MOST 20u /* seen at rest: each holds clients up */

static void ask_shape(struct pass *p);
static void ask_window(struct pass *p);
static void smaller(struct pass *p);

static bool has(unsigned who, unsigned i)
{
	return (who >> i & 1) != 0;
}

static unsigned first_of(unsigned who)
{
	return (unsigned)__builtin_ctz(who);
}

/* --- from step to step ---------------------------------------------------------------
 */

static void drop_windows(struct pass *p)
{
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++)
		blob_unref(&p->held[i]);
}

void pass_clear(struct pass *p)
{
	round_clear(&p->round);
	timer_stop(&p->timer);
	op_cancel(&p->pending);
	drop_windows(p);
	look_clear(&p->look);
	probe_destroy(&p->probe);
	evidence_destroy(&p->evidence);
	text_clear(&p->missed);
	text_clear(&p->alone.ids);
	free(p->seen);
	p->seen = NULL;
	collection_release(&p->collection);
}

void pass_over(struct pass *p, const char *unfinished)
{
	p->unfinished = unfinished;
	round_release(&p->round);
	p->done(p->arg);
}

static bool are_well(const struct pass *p)
{
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++)
		if (has(p->who, i) && !round_may_ask(p->collection, i))
			return false;
	return true;
}

static void on_rest(void *arg, enum status s)
{
	struct pass *p = arg;

	if (s == STATUS_OK)
		p->step(p);
	else
		pass_again(p, "it does not come to rest");
}

static void on_time(void *arg)
{
	struct pass *p = arg;

	if (p->collection->life != LIFE_LIVE)
		pass_over(p, "it is deleted");
	else if (!wal_ready())
		pass_over(p, "the log cannot be reached");
	else if (!are_well(p))
		pass_over(p, "an instance is not well, or far behind");
	else if (p->rests)
		round_rest(&p->round, p->who, on_rest, p);
	else
		p->step(p);
}

void pass_go(struct pass *p, msec wait, void (*step)(struct pass *p), bool rests)
{
	round_release(&p->round);
	p->step = step;
	p->rests = rests;
	timer_start(&p->timer, wait, on_time, p);
}

void pass_again(struct pass *p, const char *why)
{
	if (++p->tries > TRIES_MOST)
		pass_over(p, why);
	else
		pass_go(p, (msec)AGAIN_FIRST_MS << p->tries, p->step, p->rests);
}

msec pass_rest(const struct pass *p)
{
	msec wait = (clock_ms() - p->round.began) * (p->share - 1);

	return wait < REST_MOST_MS ? wait : REST_MOST_MS;
}

unsigned pass_failed(const struct pass *p, int http)
{
	unsigned found = 0;

	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++)
		if (has(p->round.who, i) && p->round.http[i] == http)
			found |= 1u << i;
	return found;
}

/* --- items -------------------------------------------------------------------------- */

static void items_over(struct pass *p)
{
	p->tries = 0;
	if ((p->levels & LEVEL_INDEX) != 0 && p->who != 0)
		pass_index(p);
	else
		pass_heal(p);
}

static size_t ids_of(const struct blob *window, uint64_t **hashes)
{
	struct columns c = columns_of(blob_bytes(window), blob_len(window));
	size_t n = 0, room = 0;

	*hashes = NULL;
	while (columns_next(&c)) {
		if (n == room) {
			room = room > 0 ? 2 * room : 64;
			*hashes = mem_resize(*hashes, room * sizeof(**hashes));
		}
		(*hashes)[n++] = table_hash(c.row[COLUMN_IDS].at, c.row[COLUMN_IDS].len);
	}
	return n;
}

static size_t place_of(const struct pass *p, uint64_t hash)
{
	size_t k = 0;

	while (k < p->n_seen && p->seen[k] != hash)
		k++;
	return k;
}

bool pass_has_seen(const struct pass *p, uint64_t hash)
{
	return place_of(p, hash) < p->n_seen;
}

/* Does a window begin among what was seen? Two in a row: one alone may have been deleted
 * and come again, behind what nobody has seen. */
static bool goes_on(const struct pass *p, const uint64_t *ids, size_t n)
{
	size_t at = n > 0 ? place_of(p, ids[0]) : p->n_seen, second;

	if (p->offset == 0)
		return true;
	if (at == p->n_seen)
		return false;
	second = at + 1 < p->n_seen && n > 1 ? place_of(p, ids[1]) : at + 1;
	return second > at && (second < p->n_seen || at + 1 == p->n_seen || n == 1);
}

static size_t largest(struct blob *const windows[])
{
	size_t len = 0;

	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++)
		len = blob_len(windows[i]) > len ? blob_len(windows[i]) : len;
	return len;
}

size_t pass_largest(const struct pass *p)
{
	return largest(p->round.answers);
}

static size_t next_limit(const struct pass *p, size_t n, size_t bytes)
{
	size_t most = (p->levels & LEVEL_CONTENT) != 0 ? WINDOW_ITEMS : WINDOW_IDS;
	size_t fit = n > 0 ? WINDOW_BYTES / (bytes / n + 1) : most;

	fit = fit < 2 * p->limit ? fit : 2 * p->limit;
	fit = fit < most ? fit : most;
	return fit > WINDOW_LEAST ? fit : WINDOW_LEAST;
}

static bool is_enough(const struct pass *p)
{
	return p->look.n == LOOK_ITEMS_MOST || p->odd_windows == ODD_WINDOWS_MOST ||
	       p->whole_order;
}

/* So many are read if none moves; and some more if many are deleted. */
static bool is_too_much(const struct pass *p)
{
	return p->windows > 200 + 8 * p->total / p->limit;
}

static void step_back(struct pass *p)
{
	uint64_t by = p->limit - 1;

	p->offset = p->offset > by ? p->offset - by : 0;
	pass_go(p, pass_rest(p), ask_window, false);
}

/* Of windows that differ the one with most rows tells where to go on. */
static const struct blob *longest(struct blob *const windows[])
{
	const struct blob *found = NULL;
	size_t most = 0, n;

	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++) {
		if (windows[i] == NULL)
			continue;
		n = json_count(json_member(
		        json_whole(blob_bytes(windows[i]), blob_len(windows[i])), "ids"));
		if (found == NULL || n > most) {
			found = windows[i];
			most = n;
		}
	}
	return found;
}

static void go_on(struct pass *p, struct blob *const windows[])
{
	size_t bytes = largest(windows) + p->alone.bytes, n, limit = p->limit;
	uint64_t *ids;

	p->alone.bytes = 0;

	n = ids_of(longest(windows), &ids);
	p->tries = p->looks = 0;
	p->windows++;
	if (is_too_much(p)) {
		free(ids);
		pass_over(p, "items are deleted faster than they are compared");
		return;
	}
	if (!goes_on(p, ids, n)) {
		free(ids);
		step_back(p);
		return;
	}
	free(p->seen);
	p->seen = ids;
	p->n_seen = n;
	p->items = p->offset + n;
	p->limit = next_limit(p, n, bytes);
	p->partly = is_enough(p) && n >= limit;
	if (n < limit || is_enough(p)) {
		items_over(p);
		return;
	}
	p->offset += n - 1;
	pass_go(p, pass_rest(p), ask_window, false);
}

/* --- windows that differ ------------------------------------------------------------ */

static void add_order(struct pass *p)
{
	unsigned char group[CONF_MAX_INSTANCES] = {0};

	if (p->whole_order)
		return;
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++)
		if (has(p->who, i))
			group[i] = 1 + !compare_windows(p->held[first_of(p->who)],
			                                p->held[i]);
	look_add_whole(&p->look, LOOK_ORDER, group, 0);
	p->whole_order = true;
}

static void go_on_behind(struct pass *p)
{
	struct blob *windows[CONF_MAX_INSTANCES];

	memcpy(windows, p->held, sizeof(windows));
	memset(p->held, 0, sizeof(p->held));
	go_on(p, windows); /* which may be the end of the pass */
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++)
		blob_unref(&windows[i]);
}

/* If every item is everywhere, and nothing else is missing that would move them, they
 * stand in another order. */
void pass_judged(struct pass *p, size_t n)
{
	if (p->moved || (n == 0 && p->look.found[LOOK_MISSING] == 0))
		add_order(p);
	p->odd_windows++;
	go_on_behind(p);
}

void pass_equal(struct pass *p)
{
	go_on_behind(p);
}

static void on_suspects(void *arg, enum status s)
{
	struct pass *p = arg;

	if (s == STATUS_OK) {
		pass_judged(p, look_add(&p->look, p->round.answers, p->who));
		return;
	}
	drop_windows(p);
	p->rests = true;
	if (s == STATUS_TOO_LARGE) {
		smaller(p);
		return;
	}
	p->limit = p->limit / 2 > WINDOW_LEAST ? p->limit / 2 : WINDOW_LEAST;
	p->step = ask_window;
	pass_again(p, "an instance does not answer");
}

void pass_hold(struct pass *p)
{
	drop_windows(p);
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++)
		p->held[i] = blob_ref(p->round.answers[i]);
}

static void look_closer(struct pass *p)
{
	struct blob *question;

	pass_hold(p);
	question = look_question(p->held, p->who, SUSPECTS_MOST, &p->moved);
	if (question == NULL)
		pass_judged(p, 0);
	else
		round_ask(&p->round, p->who, "/get", question, on_suspects, p);
	blob_unref(&question);
}

/* --- windows ------------------------------------------------------------------------ */

bool pass_answers_equal(const struct pass *p)
{
	const struct blob *first = p->round.answers[first_of(p->who)];

	for (unsigned i = first_of(p->who) + 1; i < CONF_MAX_INSTANCES; i++)
		if (has(p->who, i) && !compare_windows(first, p->round.answers[i]))
			return false;
	return true;
}

/* One cannot show the vectors it should have, again and again, and another can. */
static bool is_unreadable(struct pass *p)
{
	unsigned failed = pass_failed(p, 500);

	if ((p->levels & LEVEL_CONTENT) == 0 || p->tries < TRIES_MOST - 1 ||
	    failed == 0 || (failed | pass_failed(p, 200)) != p->who || failed == p->who)
		return false;
	p->unreadable |= failed;
	p->who &= ~failed;
	return true;
}

void pass_not_read(struct pass *p)
{
	if (is_unreadable(p)) {
		items_over(p);
		return;
	}
	if ((pass_failed(p, 404) | pass_failed(p, 412)) != 0)
		p->step = ask_shape;
	p->rests = true;
	pass_again(p, "an instance does not answer");
}

static void smaller(struct pass *p)
{
	if (p->limit == WINDOW_LEAST) {
		pass_alone(p);
		return;
	}
	p->limit = p->limit / 2 > WINDOW_LEAST ? p->limit / 2 : WINDOW_LEAST;
	pass_go(p, 0, ask_window, p->rests);
}

/* Once more at once, for what was on its way; then at rest. */
static void differs(struct pass *p)
{
	if (p->round.rests)
		look_closer(p);
	else
		pass_go(p, SECOND_LOOK_MS, ask_window, p->looks++ > 0);
}

static void on_window(void *arg, enum status s)
{
	struct pass *p = arg;

	switch (s) {
	case STATUS_OK:
		if (pass_answers_equal(p))
			go_on(p, p->round.answers);
		else
			differs(p);
		break;
	case STATUS_TOO_LARGE:
		smaller(p);
		break;
	case STATUS_BUSY:
		p->limit = p->limit / 2 > WINDOW_LEAST ? p->limit / 2 : WINDOW_LEAST;
		pass_again(p, "it takes too long at rest");
		break;
	default:
		pass_not_read(p);
	}
}

static void ask_window(struct pass *p)
{
	bool content = (p->levels & LEVEL_CONTENT) != 0;
	struct text body = {0};
	struct blob *question;
	size_t len;

	text_addf(&body, "{\"limit\":%zu,\"offset\":%llu,\"include\":[%s]}", p->limit,
	          (unsigned long long)p->offset,
	          content ? "\"documents\",\"metadatas\",\"uris\",\"embeddings\"" : "");
	len = body.len;
	question = blob_adopt(text_detach(&body), len);
	round_ask(&p->round, p->who, "/get", question, on_window, p);
	blob_unref(&question);
}

/* --- the collection itself ---------------------------------------------------------- */

static void begin_items(struct pass *p)
{
	p->tries = 0;
	if ((p->levels & (LEVEL_IDS | LEVEL_CONTENT)) == 0 ||
	    __builtin_popcount(p->who) < 2)
		items_over(p);
	else
		pass_go(p, pass_rest(p), ask_window, false);
}

static void on_count(void *arg, enum status s)
{
	struct pass *p = arg;
	const struct blob *answer = p->round.answers[first_of(p->who)];

	if (s != STATUS_OK) {
		pass_again(p, "an instance does not answer");
		return;
	}
	p->total =
	        (uint64_t)json_int64(json_whole(blob_bytes(answer), blob_len(answer)), 0);
	begin_items(p);
}

static void ask_count(struct pass *p)
{
	round_ask(&p->round, 1u << first_of(p->who), "/count", NULL, on_count, p);
}

/* Not there, at rest, where the log says that it is. */
static void is_lost(struct pass *p, unsigned lost)
{
	if (lost == p->who) {
		pass_over(p, "no instance has it");
		return;
	}
	p->lost |= lost;
	p->who &= ~lost;
	pass_go(p, 0, ask_shape, false);
}

static void on_shape(void *arg, enum status s)
{
	struct pass *p = arg;
	unsigned char group[CONF_MAX_INSTANCES];
	unsigned lost = pass_failed(p, 404), right;
	bool rests = p->round.rests;

	if (s == STATUS_BAD_REPLY && lost != 0 && rests) {
		is_lost(p, lost);
	} else if (s != STATUS_OK) {
		p->rests = true;
		pass_again(p, "an instance does not answer");
	} else if (look_shapes(p->round.answers, p->who, p->collection->name, group,
	                       &right) &&
	           !rests) {
		pass_go(p, SECOND_LOOK_MS, ask_shape, true);
	} else {
		p->space = probe_space_of(p->round.answers[first_of(p->who)]);
		if (look_shapes(p->round.answers, p->who, p->collection->name, group,
		                &right) &&
		    p->look.found[LOOK_SHAPE] == 0)
			look_add_whole(&p->look, LOOK_SHAPE, group, right);
		p->tries = 0;
		pass_go(p, 0, ask_count, false);
	}
}

static void ask_shape(struct pass *p)
{
	round_ask(&p->round, p->who, NULL, NULL, on_shape, p);
}

/* --- begin -------------------------------------------------------------------------- */

static void too_few(struct pass *p)
{
	pass_over(p, "no two instances are well, and have it");
}

void pass_begin(struct pass *p)
{
	unsigned least = (p->levels & (LEVEL_IDS | LEVEL_CONTENT)) != 0 ? 2 : 1;

	p->who = 0;
	for (unsigned i = 0; i < health_count(); i++)
		p->who |= (unsigned)round_may_ask(p->collection, i) << i;
	p->round.collection = p->collection;
	p->limit = (p->levels & LEVEL_CONTENT) != 0 ? WINDOW_FIRST : WINDOW_IDS;
	if ((unsigned)__builtin_popcount(p->who) < least) {
		p->who = 0;
		pass_go(p, 0, too_few, false);
		return;
	}
	pass_go(p, 0, ask_shape, false);
}
