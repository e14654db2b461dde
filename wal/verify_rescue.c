/* wal/verify_rescue.c - what only an instance has that is about to be made anew.
 *
 * It is logged again, as an ordinary write, so that it is executed everywhere, in its
 * order with everything else.
 *   pass_rescue   there is such a thing: the same items once more, at rest
 *   on_items      they are as they were when it was decided who is right, no write that
 *                 waits names them: logged, if nothing of the collection comes before
 *   on_rescued    it is executed; then pass_park()
 * When it does not go well:
 *   - a client has touched them since, or is about to (it may have deleted one of them,
 *     which must not come back): decided anew, six times at most
 *   - it cannot be logged, or is refused, or is too large to be asked for again: nobody
 * is made anew, the next time tells more
 */
#include <string.h>

#include "core/log.h"
#include "wal/append.h"
#include "wal/ids.h"
#include "wal/record.h"
#include "wal/scope.h"
#include "wal/verify_private.h"

static bool has(unsigned who, unsigned i)
{
	return (who >> i & 1) != 0;
}

/* --- what it is ----------------------------------------------------------------------
 */

/* The winner lacks it, one of the others has it, and is right in that. */
static bool would_be_lost(const struct pass *p, const struct look_item *item,
                          unsigned *from)
{
	const struct decide_facts facts = {p->who, p->troubled};
	unsigned right;

	if (item->kind != LOOK_MISSING || item->group[p->decided.winner] != 0)
		return false;
	decide_item(item, &facts, &right);
	if (has(right, p->decided.winner))
		return false;
	for (*from = 0; *from < CONF_MAX_INSTANCES; ++*from)
		if (has(right, *from) && item->group[*from] != 0)
			return true;
	return false;
}

static bool is_to_rescue(const struct pass *p, const struct look_item *item,
                         unsigned *from)
{
	return item->id != NULL && would_be_lost(p, item, from);
}

struct lists {
	struct text at[COLUMNS];
	size_t n;
};

static void add_row(struct lists *lists, const struct row *row)
{
	for (int k = 0; k < COLUMNS; k++) {
		struct json_slice v = row->field[k];

		text_adds(&lists->at[k], lists->n > 0 ? "," : "");
		if (v.at != NULL)
			text_add(&lists->at[k], v.at, v.len);
		else
			text_adds(&lists->at[k], "null");
	}
	lists->n++;
}

static struct blob *add_of(struct lists *lists)
{
	static const struct {
		enum column column;
		const char *name;
	} parts[] = {{COLUMN_IDS, "ids"},
	             {COLUMN_EMBEDDINGS, "embeddings"},
	             {COLUMN_DOCUMENTS, "documents"},
	             {COLUMN_METADATAS, "metadatas"},
	             {COLUMN_URIS, "uris"}};
	struct text body = {0};
	size_t len;

	for (size_t k = 0; k < sizeof(parts) / sizeof(parts[0]); k++) {
		text_addf(&body, "%s\"%s\":[", k > 0 ? "," : "{", parts[k].name);
		text_adds(&body, text_string(&lists->at[parts[k].column]));
		text_addc(&body, ']');
	}
	text_addc(&body, '}');
	len = body.len;
	return blob_adopt(text_detach(&body), len);
}

static size_t gather(const struct pass *p, struct lists *lists, struct id_set *ids)
{
	struct rows rows[CONF_MAX_INSTANCES] = {{0}};
	unsigned from;
	uint64_t hash;

	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++)
		if (p->held[i] != NULL)
			rows[i] = rows_of(p->held[i]);
	for (size_t k = 0; k < p->look.n; k++) {
		const struct look_item *item = &p->look.items[k];
		const struct row *row;

		if (!is_to_rescue(p, item, &from))
			continue;
		row = rows_find(&rows[from],
		                (struct json_slice){item->id, strlen(item->id)});
		if (row == NULL || !id_hash(row->field[COLUMN_IDS], &hash))
			continue;
		add_row(lists, row);
		id_set_add(ids, hash);
	}
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++)
		rows_clear(&rows[i]);
	return lists->n;
}

/* --- does a client touch it? ---------------------------------------------------------
 */

struct touch {
	const struct pass *p;
	const struct id_set *ids;
	bool found;
};

/* A delete by filter may touch anything; so may what is not in memory now. */
static bool names_one(const struct touch *t, enum record_kind kind,
                      const struct blob *body)
{
	struct json_walk w;
	uint64_t hash;

	if (!record_is_item(kind))
		return false; /* of the collection itself: it says so, or is a change */
	if (body == NULL || kind == RECORD_DELETE_WHERE)
		return true;
	w = json_walk(json_member(json_whole(blob_bytes(body), blob_len(body)), "ids"));
	while (json_step(&w))
		if (id_hash(w.value, &hash) && id_set_has(t->ids, hash))
			return true;
	return false;
}

/* At rest: what was logged and is not done waits in the lanes. What is on its way, from
 * here or from another proxy, is what `unless_after` is about. */
static bool is_touched(const struct pass *p, const struct id_set *ids)
{
	struct touch t = {.p = p, .ids = ids};
	const struct scope *s = p->collection->scope;
	const struct member *m = s->lanes[p->decided.winner].head;

	for (; m != NULL && !t.found; m = TAILQ_NEXT(m, link))
		t.found = names_one(&t, m->record->kind, m->record->body);
	return t.found;
}

/* --- logged again --------------------------------------------------------------------
 */

static void on_appended(void *arg, wal_seq seq)
{
	(void)arg;
	(void)seq;
}

static void decide_anew(struct pass *p)
{
	p->step = pass_heal;
	p->rests = false;
	pass_again(p, "clients change what differs all the time");
}

static void on_rescued(void *arg, enum status s, const struct wal_outcome *outcome)
{
	struct pass *p = arg;

	if (s == STATUS_CONFLICT)
		decide_anew(p);
	else if (s != STATUS_OK || outcome->http >= 400)
		pass_over(p, "what only one has could not be logged");
	else
		pass_park(p);
}

static void log_again(struct pass *p, struct lists *lists)
{
	struct wal_write write = {.kind = RECORD_ADD,
	                          .collection = p->collection,
	                          .embeddings = true,
	                          .body = add_of(lists),
	                          .unless_after = append_last_seq()};

	p->rescued = lists->n;
	log_warn("verify",
	         "collection %s: %zu items that only an instance has which is made anew "
	         "are logged again",
	         p->collection->public_id.text, lists->n);
	wal_write(&write, on_appended, on_rescued, p, &p->pending);
	round_release(&p->round);
	blob_unref(&write.body);
}

static bool are_as_they_were(const struct pass *p)
{
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++)
		if (has(p->who, i) && !compare_items(p->held[i], p->round.answers[i]))
			return false;
	return true;
}

static void on_items(void *arg, enum status s)
{
	struct pass *p = arg;
	struct lists lists = {.n = 0};
	struct id_set ids = {0};

	gather(p, &lists, &ids);
	if (s != STATUS_OK)
		pass_again(p, "it differs, and could not be looked at again at rest");
	else if (!are_as_they_were(p) || is_touched(p, &ids))
		decide_anew(p);
	else
		log_again(p, &lists);
	for (int k = 0; k < COLUMNS; k++)
		text_clear(&lists.at[k]);
	id_set_clear(&ids);
}

static void ask_items(struct pass *p)
{
	struct blob *question = look_question_again(&p->look);

	round_ask(&p->round, p->who, "/get", question, on_items, p);
	blob_unref(&question);
}

static bool is_any_to_rescue(const struct pass *p)
{
	unsigned from;

	for (size_t k = 0; k < p->look.n; k++)
		if (is_to_rescue(p, &p->look.items[k], &from))
			return true;
	return false;
}

/* Of what is too large to be asked for again it is known who has it. */
static bool is_any_out_of_reach(const struct pass *p)
{
	unsigned from;

	for (size_t k = 0; k < p->look.n; k++)
		if (p->look.items[k].id == NULL &&
		    would_be_lost(p, &p->look.items[k], &from))
			return true;
	return false;
}

void pass_rescue(struct pass *p)
{
	if (p->repair && is_any_out_of_reach(p))
		pass_over(p, "what only one has is too large to be logged again");
	else if (p->repair && is_any_to_rescue(p))
		pass_go(p, 0, ask_items, true);
	else
		pass_park(p);
}
