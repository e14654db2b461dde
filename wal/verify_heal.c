/* wal/verify_heal.c - what was found: who is right, and what follows from that.
 *
 *   pass_heal    something differs: the same items once more, at rest, as they are now
 *   on_items     they still do. What the log says of them ...
 *   on_records   ... a page of its records after the other, from the latest on
 *   judge        who is wrong (verify_decide.c)
 *   pass_rescue  what only one of those has that are made anew (verify_rescue.c)
 *   pass_park    whoever is wrong goes into quarantine, and is made anew (rebuild.c)
 * When it does not go well: they do not come to rest, or the log cannot be read: it is
 * said that they differ, and nothing is done; the next time tells more.
 *
 * Who is right may be a guess, in the end; that is said, too. At least one instance is
 * always left that shows the collection. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "wal/append.h"
#include "wal/heal.h"
#include "wal/lead.h"
#include "wal/verify_private.h"

#define PAGE 20
#define PAGES_MOST 25u
#define SEARCH_MOST 100000 /* places of the log, back from where they are */
#define BODY_MOST (256 * 1024)

static bool has(unsigned who, unsigned i)
{
	return (who >> i & 1) != 0;
}

/* --- quarantine ----------------------------------------------------------------------
 */

static unsigned best_found(const struct pass *p)
{
	unsigned best = (unsigned)__builtin_ctz(p->who);

	for (unsigned i = best; i < CONF_MAX_INSTANCES; i++)
		if (has(p->who, i) &&
		    probe_recall(&p->scores[i]) > probe_recall(&p->scores[best]))
			best = i;
	return best;
}

/* One of them must be there to learn from. */
static unsigned to_index_anew(const struct pass *p)
{
	unsigned bad = p->damaged & ~p->wrong;

	if ((p->who & ~p->wrong & ~p->damaged) == 0)
		bad &= ~(1u << best_found(p));
	return bad | p->unreadable;
}

static void say_differs(const struct pass *p, char *text, size_t room)
{
	snprintf(text, room,
	         "verification: %llu missing somewhere, %llu with other content, %llu "
	         "with "
	         "other vectors%s%s%s",
	         (unsigned long long)p->look.found[LOOK_MISSING],
	         (unsigned long long)p->look.found[LOOK_CONTENT],
	         (unsigned long long)p->look.found[LOOK_EMBEDDING],
	         p->look.found[LOOK_ORDER] > 0 ? ", another order" : "",
	         p->look.found[LOOK_SHAPE] > 0 ? ", other settings" : "",
	         p->guessed ? "; who is right is a guess" : "");
}

static void say_index(const struct pass *p, unsigned i, char *text, size_t room)
{
	if (has(p->unreadable, i))
		snprintf(text, room, "verification: its vectors cannot be read");
	else
		snprintf(text, room, "verification: the index does not find %zu of %zu",
		         p->scores[i].missed, p->scores[i].asked);
}

static void begin(struct pass *p, unsigned i, enum quarantine_cause cause)
{
	int http = cause == QUARANTINE_LOST ? 404 : 0;
	char text[200];

	if (cause == QUARANTINE_DIFFERS)
		say_differs(p, text, sizeof(text));
	else if (cause == QUARANTINE_INDEX)
		say_index(p, i, text, sizeof(text));
	else
		snprintf(text, sizeof(text), "verification: it is not there");
	if (wal_readable(health_instance(i), p->collection) &&
	    quarantine_begin(p->collection, i, p->at, cause, http, text))
		wal_rebuild(p->collection, health_instance(i), text);
}

void pass_park(struct pass *p)
{
	unsigned index = to_index_anew(p);

	if (p->at == 0)
		p->at = append_last_seq();
	for (unsigned i = 0; p->repair && i < CONF_MAX_INSTANCES; i++) {
		if (has(p->lost, i))
			begin(p, i, QUARANTINE_LOST);
		else if (has(p->wrong, i))
			begin(p, i, QUARANTINE_DIFFERS);
		else if (has(index, i))
			begin(p, i, QUARANTINE_INDEX);
	}
	p->wrong |= p->lost | index;
	pass_over(p, NULL);
}

/* --- who is wrong --------------------------------------------------------------------
 */

static void judge(struct pass *p)
{
	const struct decide_facts facts = {p->who, p->troubled};

	evidence_destroy(&p->evidence);
	p->decided = decide(&p->look, &facts);
	p->wrong = p->decided.losers;
	p->guessed = p->decided.by[RULE_PREFERRED] > 0;
	pass_rescue(p);
}

static const struct pg_statement find = {
        "verify_records",
        "SELECT l.seq, l.kind, CASE WHEN r.ids IS NOT NULL THEN r.ids"
        " WHEN l.body_len <= $4 THEN l.body END FROM chromatid.log l"
        " JOIN chromatid.outcome o ON o.seq = l.seq"
        " LEFT JOIN chromatid.resolved r ON r.seq = l.seq"
        " WHERE l.collection = $1 AND l.seq < $2 AND l.seq > $3 AND l.kind < 10"
        " AND o.decision = 1 ORDER BY l.seq DESC LIMIT 20"};

/* False: the log says no more. What is too long to be read might say the contrary of what
 * is older. */
static bool take_records(struct pass *p, const struct pg_results *r)
{
	int rows = pg_rows(r, 0);
	const char *body;
	size_t len;

	for (int row = 0; row < rows; row++) {
		if (pg_is_null(r, 0, row, 2))
			return false;
		body = pg_get_bytes(r, 0, row, 2, &len);
		p->searched = pg_get_int8(r, 0, row, 0);
		if (!evidence_take(p->evidence,
		                   (enum record_kind)pg_get_int8(r, 0, row, 1), body,
		                   len))
			return false;
	}
	return rows == PAGE && ++p->pages < PAGES_MOST;
}

static void ask_log(struct pass *p);

static void on_records(void *arg, enum status s, const struct pg_results *r)
{
	struct pass *p = arg;

	if (s != STATUS_OK)
		pass_over(p, "it differs, and the log could not be asked");
	else if (take_records(p, r))
		ask_log(p);
	else
		judge(p);
}

static void ask_log(struct pass *p)
{
	struct pg_unit *unit = pg_unit_create();

	pg_add(unit, &find, 4,
	       (struct pg_param[]){pg_int8(p->collection->id), pg_int8(p->searched),
	                           pg_int8(p->at - SEARCH_MOST), pg_int4(BODY_MOST)});
	pg_submit(wal_reader(), unit, on_records, p, &p->pending);
}

/* --- once more -----------------------------------------------------------------------
 */

/* What was found of the whole stays; the items as they are now. */
static void ask_items(struct pass *p);

static void look_again(struct pass *p)
{
	struct look was = p->look;

	p->look = (struct look){.n = 0};
	for (size_t k = 0; k < was.n; k++)
		if (was.items[k].id == NULL)
			look_add_whole(&p->look, was.items[k].kind, was.items[k].group,
			               was.items[k].right);
	look_add(&p->look, p->held, p->who);
	p->partly = p->partly || look_total(&was) > was.n;
	look_clear(&was);
}

static void on_items(void *arg, enum status s)
{
	struct pass *p = arg;

	if (s == STATUS_TOO_LARGE && look_fewer(&p->look)) {
		pass_go(p, 0, ask_items, true);
		return;
	}
	if (s != STATUS_OK) {
		pass_again(p, "it differs, and could not be looked at again at rest");
		return;
	}
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++) {
		blob_unref(&p->held[i]);
		p->held[i] = blob_ref(p->round.answers[i]);
	}
	p->at = p->round.at;
	round_release(&p->round);
	look_again(p);
	if (p->look.n == 0) {
		pass_park(p);
		return;
	}
	p->evidence = evidence_create(&p->look, p->held, p->who);
	p->searched = p->at + 1;
	p->pages = 0;
	ask_log(p);
}

static void ask_items(struct pass *p)
{
	struct blob *question = look_question_again(&p->look);

	if (question != NULL) {
		round_ask(&p->round, p->who, "/get", question, on_items, p);
		blob_unref(&question);
		return;
	}
	p->at = p->round.at;
	round_release(&p->round);
	if (p->look.n > 0)
		judge(p);
	else
		pass_park(p);
}

void pass_heal(struct pass *p)
{
	pass_go(p, pass_rest(p), ask_items, p->look.n > 0);
}
