/* wal/verify_alone.c - items of which two do not fit in an answer.
 *
 * Windows overlap by one item, so the least has two; copies take an item alone
 * (copy_walk.c), and it may have grown since. Such items are compared one by one, and of
 * each one field after the other: what a field is, a client has written in one body.
 *
 *   pass_alone   the same places, but only the ids
 *   on_ids       they are equal: the items, but what the window before had, and ...
 *   on_field     ... of each its document, metadata, URI and vector; then on, behind them
 * When it does not go well:
 *   - ids or a field differ: once more, then at rest, as with any window
 *   - a field alone is too large: the collection cannot be compared. That is said, with
 *     the place of the item, so that somebody may change it
 *
 * No more than one field of an item at each instance is in memory. */
#include <string.h>

#include "core/log.h"
#include "core/table.h"
#include "wal/verify_private.h"

static const char *const fields[] = {"documents", "metadatas", "uris", "embeddings"};
#define FIELDS (sizeof(fields) / sizeof(fields[0]))

static void ask_ids(struct pass *p);
static void ask_field(struct pass *p);

static bool has(unsigned who, unsigned i)
{
	return (who >> i & 1) != 0;
}

static struct blob *blob_of(struct text *text)
{
	size_t len = text->len;

	return blob_adopt(text_detach(text), len);
}

/* --- the end of the window -----------------------------------------------------------
 */

static void over(struct pass *p)
{
	bool odd = p->alone.odd;
	size_t n = p->alone.found;

	text_clear(&p->alone.ids);
	if (odd)
		pass_judged(p, n);
	else
		pass_equal(p);
}

/* --- fields --------------------------------------------------------------------------
 */

/* The one whose turn it is; false: all have had it. */
static bool item_now(const struct pass *p, struct json_slice *id)
{
	struct json_walk w = json_walk(json_whole(p->alone.ids.s, p->alone.ids.len));

	for (unsigned k = 0; json_step(&w); k++) {
		*id = w.value;
		if (k == p->alone.at / FIELDS)
			return true;
	}
	return false;
}

static void next_field(struct pass *p)
{
	p->tries = p->looks = 0;
	p->alone.bytes += pass_largest(p);
	p->alone.at++;
	pass_go(p, pass_rest(p), ask_field, false);
}

static void add_found(struct pass *p)
{
	p->alone.found += look_add(&p->look, p->round.answers, p->who);
	p->alone.odd = true;
	next_field(p);
}

/* A place is told, and no id: that is a client's. */
static void say_too_large(struct pass *p)
{
	log_warn("verify",
	         "collection %s: an item at one of the places %llu to %llu: its %s "
	         "alone take more than %zu MiB",
	         p->collection->public_id.text, (unsigned long long)p->offset,
	         (unsigned long long)(p->offset + p->limit - 1),
	         fields[p->alone.at % FIELDS], verify_sizes.alone / (1024 * 1024));
	pass_over(p, "an item is too large to be compared");
}

static void on_field(void *arg, enum status s)
{
	struct pass *p = arg;

	if (s == STATUS_TOO_LARGE)
		say_too_large(p);
	else if (s == STATUS_BUSY)
		pass_again(p, "it takes too long at rest");
	else if (s != STATUS_OK)
		pass_not_read(p);
	else if (pass_answers_equal(p))
		next_field(p);
	else if (p->round.rests)
		add_found(p);
	else
		pass_go(p, SECOND_LOOK_MS, ask_field, p->looks++ > 0);
}

static void ask_field(struct pass *p)
{
	struct json_slice id;
	struct text body = {0};
	struct blob *question;

	if (!item_now(p, &id)) {
		over(p);
		return;
	}
	text_adds(&body, "{\"ids\":[");
	text_add(&body, id.at, id.len);
	text_addf(&body, "],\"include\":[\"%s\"]}", fields[p->alone.at % FIELDS]);
	question = blob_of(&body);
	round_ask_much(&p->round, p->who, "/get", question, on_field, p);
	blob_unref(&question);
}

/* --- ids -----------------------------------------------------------------------------
 */

static bool is_in(const struct blob *window, struct json_slice id)
{
	struct columns c = columns_of(blob_bytes(window), blob_len(window));

	while (columns_next(&c))
		if (c.row[COLUMN_IDS].len == id.len &&
		    memcmp(c.row[COLUMN_IDS].at, id.at, id.len) == 0)
			return true;
	return false;
}

static bool was_before(const struct pass *p, unsigned i, struct json_slice id)
{
	for (unsigned j = 0; j < i; j++)
		if (has(p->who, j) && is_in(p->held[j], id))
			return true;
	return false;
}

static void add_ids(struct pass *p, unsigned i)
{
	struct columns c = columns_of(blob_bytes(p->held[i]), blob_len(p->held[i]));
	struct text *ids = &p->alone.ids;

	while (columns_next(&c)) {
		struct json_slice id = c.row[COLUMN_IDS];

		if (was_before(p, i, id) || pass_has_seen(p, table_hash(id.at, id.len)))
			continue;
		text_adds(ids, ids->len > 1 ? "," : "");
		text_add(ids, id.at, id.len);
	}
}

/* All that any of them has there, and that were not compared with the window before. */
static void begin_items(struct pass *p)
{
	text_reset(&p->alone.ids);
	text_addc(&p->alone.ids, '[');
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++)
		if (has(p->who, i))
			add_ids(p, i);
	text_addc(&p->alone.ids, ']');
	p->alone.at = 0;
	p->tries = p->looks = 0;
	pass_go(p, pass_rest(p), ask_field, false);
}

/* At rest: an item that one does not have is missing there. */
static void on_named(void *arg, enum status s)
{
	struct pass *p = arg;

	if (s != STATUS_OK) {
		p->step = ask_ids;
		pass_again(p, "an instance does not answer");
		return;
	}
	p->alone.odd = true;
	p->alone.found = look_add(&p->look, p->round.answers, p->who);
	begin_items(p);
}

static void ask_for_those(struct pass *p)
{
	struct blob *question = look_question_ids(p->held, p->who, &p->moved);

	if (question == NULL)
		on_named(p, STATUS_OK);
	else
		round_ask(&p->round, p->who, "/get", question, on_named, p);
	blob_unref(&question);
}

static void on_ids(void *arg, enum status s)
{
	struct pass *p = arg;
	bool equal = s == STATUS_OK && pass_answers_equal(p);

	if (s == STATUS_TOO_LARGE) {
		pass_over(p, "the ids are too large to be compared");
	} else if (s != STATUS_OK) {
		pass_not_read(p);
	} else if (!equal && !p->round.rests) {
		pass_go(p, SECOND_LOOK_MS, ask_ids, p->looks++ > 0);
	} else {
		pass_hold(p);
		if (equal)
			begin_items(p);
		else
			ask_for_those(p);
	}
}

static void ask_ids(struct pass *p)
{
	struct text body = {0};
	struct blob *question;

	text_addf(&body, "{\"limit\":%zu,\"offset\":%llu,\"include\":[]}", p->limit,
	          (unsigned long long)p->offset);
	question = blob_of(&body);
	round_ask(&p->round, p->who, "/get", question, on_ids, p);
	blob_unref(&question);
}

void pass_alone(struct pass *p)
{
	p->alone.odd = false;
	p->alone.found = p->alone.bytes = 0;
	p->moved = false;
	p->tries = p->looks = 0;
	pass_go(p, 0, ask_ids, false);
}
