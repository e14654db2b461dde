/* wal/copy_items.c - all items, for the first time.
 *
 *   on_total      how many there are, for those who watch
 *   on_have       how many the target has: none, or those of an attempt that was broken
 *                 off; what is at its end is where to go on
 *   walk_begin    from there on (copy_walk.c)
 *
 * The target itself says where to go on: it has what it has, whatever was last noted. Its
 * items were added in the donor's order, so its last one is the last that was copied, and
 * stands no further behind at the donor than here (deletes move it to the front there,
 * nothing moves it back). */
#include "wal/copy_private.h"

#define TAIL_BYTES_MOST (64u * 1024u * 1024u)

static void items_over(struct copy *c)
{
	c->progress.all = true;
	copy_end(c, STATUS_OK, "");
}

static void on_tail(struct copy *c, const struct reply *reply)
{
	struct json_slice ids = copy_ids_of(reply->body);
	struct json_walk w = json_walk(ids);
	uint64_t hash;

	if (ids.at == NULL) {
		copy_end(c, STATUS_BAD_REPLY, "ids that are not understood");
		return;
	}
	while (json_step(&w))
		if (id_hash(w.value, &hash))
			id_set_add(&c->walk.had, hash);
	c->walk.had_since = c->progress.base;
	walk_begin(c, true, items_over);
}

static void ask_tail(struct copy *c, uint64_t have)
{
	struct ask ask = {
	        .instance = c->spec.target, .method = "POST", .most = TAIL_BYTES_MOST};

	c->walk.offset = have > copy_sizes.tail ? have - copy_sizes.tail : 0;
	ask.body = copy_window(c->walk.offset, copy_sizes.tail);
	copy_path_of(&ask.target, c, &c->progress.made, "/get");
	copy_ask(c, &ask, on_tail);
}

static void on_have(struct copy *c, const struct reply *reply)
{
	uint64_t have;

	if (!copy_count_from(c, reply, &have))
		return;
	if (have > 0)
		ask_tail(c, have);
	else
		walk_begin(c, true, items_over);
}

static void on_total(struct copy *c, const struct reply *reply)
{
	if (copy_count_from(c, reply, &c->progress.total))
		copy_ask_count(c, false, on_have);
}

void copy_items(struct copy *c, copy_fn *done, void *arg)
{
	copy_begin(c, done, arg);
	touched_begin(&c->touched, &c->spec, c->progress.base);
	copy_ask_count(c, true, on_total);
}
