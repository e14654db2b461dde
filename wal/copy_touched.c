/* wal/copy_touched.c - what was touched since the base, as the donor has it now.
 *
 *   on_log        which ids the records since the base name
 *   on_shapes     the collection itself, if it was changed
 *   on_tail       the donor's last ids; then the log again, to its end: what the donor
 * had executed when it was asked is in it cut           the last of them that is not
 * touched: the cut sort_page     touched ids that the donor has before the cut are
 * changed in their place; all others are deleted at the target walk_begin    what the
 * donor has behind the cut is added (copy_walk.c)
 *
 * Why this gives the donor's order. What is not touched stands at both where it stood at
 * the base. An item that stands before one of those was there at the base too, and was
 * not deleted since (it would have come back at the end), so the target has it in its
 * place. Everything behind the last of those is touched, goes at the target, and comes
 * back in the donor's order.
 *
 * Clients may go on writing. What they write behind `upto` may come out at the target in
 * any way: it is named by records behind the new base. For what it does to the cut the
 * log is read once more. The same step again, after a failure, does no harm: what it
 * deleted is touched still, and stands behind the new cut, which is never behind the old
 * one. */
#include <stdlib.h>

#include "wal/copy_private.h"

#define TAIL_TIMES 16u
#define TAIL_MORE 2000u /* may have come since they were counted */
#define TAIL_BYTES_MOST (48u * 1024u * 1024u)
#define PAGE_BYTES_MOST (8u * 1024u * 1024u)
#define ALONE_BYTES_MOST (64u * 1024u * 1024u)
#define DELETES_BYTES_MOST (1024u * 1024u)

static void ask_tail(struct copy *c);
static void sort_page(struct copy *c);

static void touched_over(struct copy *c)
{
	c->progress.base = c->upto;
	copy_end(c, STATUS_OK, "");
}

static void add_id(struct text *list, struct json_slice id)
{
	text_adds(list, list->len > 0 ? "," : "");
	text_add(list, id.at, id.len);
}

/* --- what goes at the target ----------------------------------------------------------
 */

static void on_deleted(struct copy *c, const struct reply *reply)
{
	(void)reply;
	sort_page(c);
}

static void delete_going(struct copy *c)
{
	struct ask ask = {.instance = c->spec.target, .method = "POST"};

	copy_path_of(&ask.target, c, &c->progress.made, "/delete");
	ask.body = copy_ids(&c->going);
	text_reset(&c->going);
	c->n_going = 0;
	copy_ask(c, &ask, on_deleted);
}

static void goes(struct copy *c, struct json_slice id)
{
	add_id(&c->going, id);
	c->n_going++;
}

/* --- what is changed in its place -----------------------------------------------------
 */

static void on_updated(struct copy *c, const struct reply *reply)
{
	(void)reply;
	sort_page(c);
}

static void on_target_items(struct copy *c, const struct reply *reply)
{
	struct ask ask = {.instance = c->spec.target, .method = "POST"};
	const char *why;

	ask.body = copy_changes(c->answer, reply->body, &why);
	blob_unref(&c->answer);
	if (why != NULL) {
		blob_unref(&ask.body);
		copy_end(c, STATUS_CONFLICT, why);
	} else if (ask.body == NULL) {
		sort_page(c);
	} else {
		copy_path_of(&ask.target, c, &c->progress.made, "/update");
		copy_ask(c, &ask, on_updated);
	}
}

/* Of the ids that were asked for, those the donor does not have go. */
static size_t sort_answer(struct copy *c, struct json_slice have)
{
	struct json_walk w = json_walk(have);
	struct id_set there = {0};
	uint64_t hash;

	while (json_step(&w))
		if (id_hash(w.value, &hash))
			id_set_add(&there, hash);
	w = c->walk.page_began;
	for (size_t k = 0; k < c->walk.in_page && json_step(&w); k++)
		if (id_hash(w.value, &hash) && !id_set_has(&there, hash))
			goes(c, w.value);
	id_set_clear(&there);
	return json_count(have);
}

static void ask_target_items(struct copy *c)
{
	struct json_walk again = c->walk.page_began;
	struct ask ask = {
	        .instance = c->spec.target, .method = "POST", .most = ALONE_BYTES_MOST};
	size_t n;

	ask.body = copy_page(&again, c->walk.in_page, &n);
	copy_path_of(&ask.target, c, &c->progress.made, "/get");
	copy_ask(c, &ask, on_target_items);
}

static void ask_donor_items(struct copy *c);

static void on_donor_items(struct copy *c, const struct reply *reply)
{
	struct walk *w = &c->walk;
	struct json_slice have;

	if (reply->status == STATUS_TOO_LARGE && w->in_page > 1) {
		w->at_once = w->in_page / 2;
		w->ids = w->page_began;
		ask_donor_items(c);
		return;
	}
	have = copy_ids_of(reply->body);
	if (have.at == NULL) {
		copy_end(c, STATUS_BAD_REPLY, "items that are not understood");
		return;
	}
	c->answer = blob_ref(reply->body);
	if (sort_answer(c, have) > 0) {
		ask_target_items(c);
		return;
	}
	blob_unref(&c->answer);
	sort_page(c);
}

static void ask_donor_items(struct copy *c)
{
	struct walk *w = &c->walk;
	struct ask ask = {.instance = c->spec.donor, .method = "POST"};

	w->page_began = w->ids;
	ask.body = copy_page(&w->ids, w->at_once, &w->in_page);
	ask.most = w->in_page > 1 ? PAGE_BYTES_MOST : ALONE_BYTES_MOST;
	ask.expects = w->in_page > 1 ? EXPECT_TOO_LARGE : 0;
	copy_path_of(&ask.target, c, &c->spec.source, "/get");
	copy_ask(c, &ask, on_donor_items);
}

/* --- which is which -------------------------------------------------------------------
 */

/* Some of the touched ids, without those behind the cut, which go. */
static bool fill_page(struct copy *c)
{
	size_t n = 0;
	uint64_t hash;

	text_reset(&c->page);
	while (n < copy_sizes.page && c->n_going < copy_sizes.deletes &&
	       json_step(&c->left)) {
		if (id_hash(c->left.value, &hash) && id_set_has(&c->tail, hash)) {
			goes(c, c->left.value);
			continue;
		}
		text_adds(&c->page, n++ > 0 ? "," : "[");
		text_add(&c->page, c->left.value.at, c->left.value.len);
	}
	text_adds(&c->page, n > 0 ? "]" : "[]");
	c->walk.ids = json_walk((struct json_slice){c->page.s, c->page.len});
	return n > 0;
}

static void sort_page(struct copy *c)
{
	struct json_walk ahead = c->walk.ids;

	if (c->n_going >= copy_sizes.deletes || c->going.len >= DELETES_BYTES_MOST)
		delete_going(c);
	else if (json_step(&ahead) || fill_page(c))
		ask_donor_items(c);
	else if (c->n_going > 0)
		delete_going(c);
	else
		walk_begin(c, false, touched_over);
}

/* --- the cut --------------------------------------------------------------------------
 */

static bool is_touched(const struct copy *c, struct json_slice id)
{
	uint64_t hash;

	return !id_hash(id, &hash) || id_set_has(&c->touched.all, hash);
}

/* How many of the window stand before the cut; 0: it holds none that is not touched. */
static size_t find_cut(const struct copy *c)
{
	struct json_walk w = json_walk(copy_ids_of(c->window));
	size_t cut = 0;

	for (size_t k = 1; json_step(&w); k++)
		if (!is_touched(c, w.value))
			cut = k;
	return cut;
}

static void take_cut(struct copy *c, size_t cut)
{
	struct json_walk w = json_walk(copy_ids_of(c->window));
	uint64_t hash;

	for (size_t k = 0; json_step(&w); k++)
		if (id_hash(w.value, &hash)) {
			if (k >= cut)
				id_set_add(&c->tail, hash);
			else if (!is_touched(c, w.value))
				id_set_add(&c->walk.had, hash);
		}
	c->walk.offset += cut > 0 ? cut - 1 : 0;
	c->walk.had_since = c->progress.base;
	blob_unref(&c->window);
}

static void begin_sorting(struct copy *c)
{
	struct text *ids = &c->touched.ids;

	text_adds(ids, ids->len > 0 ? "]" : "[]");
	c->left = json_walk((struct json_slice){ids->s, ids->len});
	c->walk.ids = (struct json_walk){0};
	c->walk.at_once = copy_sizes.page;
	c->progress.touched = c->touched.all.n;
	sort_page(c);
}

static void on_log_again(void *arg, enum status s, const char *why)
{
	struct copy *c = arg;
	size_t cut, rows = json_count(copy_ids_of(c->window));

	if (s != STATUS_OK) {
		copy_end(c, s, why);
		return;
	}
	cut = find_cut(c);
	if (rows == c->tail_most + TAIL_MORE || (cut == 0 && c->walk.offset > 0)) {
		c->tail_most *= TAIL_TIMES;
		ask_tail(c);
		return;
	}
	take_cut(c, cut);
	begin_sorting(c);
}

static void on_tail(struct copy *c, const struct reply *reply)
{
	if (reply->status == STATUS_TOO_LARGE) {
		copy_end(c, STATUS_CONFLICT, "too much was added meanwhile");
		return;
	}
	if (copy_ids_of(reply->body).at == NULL) {
		copy_end(c, STATUS_BAD_REPLY, "ids that are not understood");
		return;
	}
	blob_unref(&c->window);
	c->window = blob_ref(reply->body);
	touched_read(&c->touched, false, on_log_again, c);
}

static void on_count(struct copy *c, const struct reply *reply)
{
	struct ask ask = {.instance = c->spec.donor,
	                  .method = "POST",
	                  .most = TAIL_BYTES_MOST,
	                  .expects = EXPECT_TOO_LARGE};
	uint64_t n;

	if (!copy_count_from(c, reply, &n))
		return;
	c->walk.offset = n > c->tail_most ? n - c->tail_most : 0;
	ask.body = copy_window(c->walk.offset, c->tail_most + TAIL_MORE);
	copy_path_of(&ask.target, c, &c->spec.source, "/get");
	copy_ask(c, &ask, on_tail);
}

static void ask_tail(struct copy *c)
{
	copy_ask_count(c, true, on_count);
}

/* --- the collection itself ------------------------------------------------------------
 */

static void on_shaped(struct copy *c, const struct reply *reply)
{
	(void)reply;
	ask_tail(c);
}

static void on_target_shape(struct copy *c, const struct reply *reply)
{
	struct ask ask = {.instance = c->spec.target, .method = "PUT"};
	json_t *made;

	if (!copy_shape_from(c, reply, &made))
		return;
	ask.body = shape_changes(c->shape, made);
	json_decref(made);
	if (ask.body == NULL) {
		ask_tail(c);
		return;
	}
	copy_path_of(&ask.target, c, &c->progress.made, "");
	copy_ask(c, &ask, on_shaped);
}

static void on_donor_shape(struct copy *c, const struct reply *reply)
{
	if (copy_shape_from(c, reply, &c->shape))
		copy_ask_shape(c, false, on_target_shape);
}

static void on_log(void *arg, enum status s, const char *why)
{
	struct copy *c = arg;

	if (s != STATUS_OK)
		copy_end(c, s, why);
	else if (c->touched.modified)
		copy_ask_shape(c, true, on_donor_shape);
	else if (c->touched.all.n > 0)
		ask_tail(c);
	else {
		c->progress.touched = 0;
		touched_over(c);
	}
}

void copy_touched(struct copy *c, wal_seq upto, copy_fn *done, void *arg)
{
	copy_begin(c, done, arg);
	c->upto = upto;
	c->tail_most = copy_sizes.tail;
	touched_begin(&c->touched, &c->spec, c->progress.base);
	c->touched.executed = upto;
	touched_read(&c->touched, false, on_log, c);
}
