/* wal/copy_walk.c - items, in the donor's order, behind the last one the target has.
 *
 *   read_window   the ids of some thousand items, by their position
 *   on_deletes    which ids has the log deleted, up to now? Where in the window is the
 *                 last one that the target has, and that was not? Go on behind it
 *   on_items      a page of the ids behind it, as they are at the donor now ...
 *   on_added      ... are added at the target; rest; the next page
 *
 * Why by windows of ids: a position costs Chroma as many steps as it is large, and an
 * answer that holds nothing but ids is small, so few positions are asked for.
 *
 * Why no item is missed. While we copy, items are deleted at the donor, and all behind
 * them move to the front: position 5000 is then behind an item that nobody has read. So
 * a position is only where we look. What counts is an id that the target has, and that no
 * record has deleted since the donor was asked for it: there it stands where it stood
 * then, and what stands before it now did so then, and was copied, or is named by a
 * delete since and will be looked at again (copy_touched()). The log is read after the
 * window was: what the donor had executed by then is in it. Its durable position, read
 * before the window was, tells which deletes are older than what is in the window. If a
 * window holds no such id it is too far behind; one before it is read, at worst the
 * first, before which nothing can be missed.
 *
 * What is copied twice does no harm: `add` leaves what is there. */
#include <stdlib.h>

#include "wal/copy_private.h"

#define WINDOW_LEAST 2u /* the last of the one before, and one more */
#define WINDOW_BYTES_MOST (8u * 1024u * 1024u)
#define PAGE_BYTES (2u * 1024u * 1024u)
#define PAGE_BYTES_MOST (8u * 1024u * 1024u)
#define ALONE_BYTES_MOST (64u * 1024u * 1024u)
/* So many times as long as they work for us, as long as others need them: a quarter of
 * the donor's time is ours, and half of the target's. */
#define DONOR_RESTS 3u
#define TARGET_RESTS 1u
#define REST_MOST_MS 3000u
#define RETREATS_MOST 100u /* without coming any further */

struct copy_load copy_loads[CONF_MAX_INSTANCES];

static void read_window(struct copy *c);
static void next_page(struct copy *c);

void walk_clear(struct walk *w)
{
	id_set_clear(&w->had);
	blob_unref(&w->window);
	*w = (struct walk){0};
}

/* --- items ---------------------------------------------------------------------------
 */

/* All copies together take no more than one would. */
static uint64_t shared(unsigned instance, uint64_t rests)
{
	unsigned n = copy_loads[instance].copies;

	return (rests + 1) * (n > 0 ? n : 1) - 1;
}

/* Calls of anybody but copies and comparisons, up to now: clients', as a rule. */
static uint64_t calls_of_others(unsigned instance)
{
	return upstream_figures(instance_upstream(health_instance(instance))).calls -
	       copy_calls(instance);
}

/* Has anybody asked it for something since the page began? */
static bool serves_others(unsigned instance, uint64_t before)
{
	struct upstream_figures f =
	        upstream_figures(instance_upstream(health_instance(instance)));

	return copy_loads[instance].serves || calls_of_others(instance) > before ||
	       f.open > f.idle + copy_calls_under_way(instance);
}

static uint64_t more_of(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* The donor rests while the target works, and the other way round. */
static msec rest_after(const struct copy *c)
{
	const struct walk *w = &c->walk;
	uint64_t asked = w->got_us - w->began_us, added = clock_us() - w->got_us;
	uint64_t rest = 0, other;

	if (!w->rests)
		return 0;
	if (serves_others(c->spec.donor, w->donor_calls))
		rest = more_of(asked * shared(c->spec.donor, DONOR_RESTS), added);
	if (serves_others(c->spec.target, w->target_calls)) {
		other = more_of(added * shared(c->spec.target, TARGET_RESTS), asked);
		rest = other > rest ? other : rest;
	}
	return rest / 1000 < REST_MOST_MS ? rest / 1000 : REST_MOST_MS;
}

static void page_over(struct copy *c)
{
	msec rest = rest_after(c);

	c->walk.at += c->walk.in_page;
	c->progress.items = c->walk.at;
	if (rest > 0)
		copy_after(c, rest, next_page);
	else
		next_page(c);
}

static void on_added(struct copy *c, const struct reply *reply)
{
	(void)reply;
	page_over(c);
}

/* As many as make a page, by what these took; at most twice as many as now. */
static size_t next_at_once(const struct walk *w, size_t bytes)
{
	size_t fit = PAGE_BYTES / (bytes / w->in_page + 1);
	size_t most = w->in_page * 2 < copy_sizes.page ? w->in_page * 2 : copy_sizes.page;

	if (w->in_page < w->at_once && fit >= w->at_once)
		return w->at_once; /* there were no more */
	if (fit > most)
		return most;
	return fit > 0 ? fit : 1;
}

static void ask_page(struct copy *c);

static void on_too_large(struct copy *c)
{
	struct walk *w = &c->walk;

	if (w->in_page <= 1) {
		copy_end(c, STATUS_TOO_LARGE, "an item is too large to be copied");
		return;
	}
	w->at_once = w->in_page / 2;
	w->ids = w->page_began;
	ask_page(c);
}

static void on_items(struct copy *c, const struct reply *reply)
{
	struct ask ask = {.instance = c->spec.target, .method = "POST"};
	struct json_slice ids;

	if (reply->status == STATUS_TOO_LARGE) {
		on_too_large(c);
		return;
	}
	c->walk.got_us = clock_us();
	ids = copy_ids_of(reply->body);
	c->walk.at_once = next_at_once(&c->walk, blob_len(reply->body));
	if (ids.at == NULL) {
		copy_end(c, STATUS_BAD_REPLY, "items that are not understood");
	} else if (json_count(ids) == 0) {
		page_over(c); /* all deleted meanwhile */
	} else {
		copy_path_of(&ask.target, c, &c->progress.made, "/add");
		ask.body = blob_ref(reply->body);
		copy_ask(c, &ask, on_added);
	}
}

static void ask_page(struct copy *c)
{
	struct walk *w = &c->walk;
	struct ask ask = {
	        .instance = c->spec.donor, .method = "POST", .expects = EXPECT_TOO_LARGE};

	w->page_began = w->ids;
	w->donor_calls = calls_of_others(c->spec.donor);
	w->target_calls = calls_of_others(c->spec.target);
	w->began_us = clock_us();
	ask.body = copy_page(&w->ids, w->at_once, &w->in_page);
	ask.most = w->in_page > 1 ? PAGE_BYTES_MOST : ALONE_BYTES_MOST;
	copy_path_of(&ask.target, c, &c->spec.source, "/get");
	copy_ask(c, &ask, on_items);
}

static void window_over(struct copy *c)
{
	struct walk *w = &c->walk;
	copy_step *then = w->then;

	if (w->rows < w->room) { /* it was the last */
		walk_clear(w);
		then(c);
		return;
	}
	if (w->at > w->furthest) {
		w->furthest = w->at;
		w->retreats = 0;
	}
	w->offset = w->at - 1;
	read_window(c);
}

static void next_page(struct copy *c)
{
	struct json_walk ahead = c->walk.ids;

	if (json_step(&ahead))
		ask_page(c);
	else
		window_over(c);
}

/* --- a window ------------------------------------------------------------------------
 */

/* How many ids of the window need not be copied; 0: it has none that the target has. */
static size_t known_in(const struct copy *c)
{
	const struct walk *w = &c->walk;
	struct json_walk ids = json_walk(copy_ids_of(w->window));
	size_t known = 0;
	uint64_t hash;

	for (size_t k = 1; json_step(&ids); k++)
		if (id_hash(ids.value, &hash) && id_set_has(&w->had, hash) &&
		    id_set_noted(&c->touched.deleted, hash) <= w->had_since)
			known = k;
	return known;
}

static void skip(struct walk *w, size_t n)
{
	w->ids = json_walk(copy_ids_of(w->window));
	w->at = w->offset + n;
	for (; n > 0; n--)
		json_step(&w->ids);
}

/* Whoever goes on behind this window has copied all of it. */
static void remember(struct walk *w)
{
	struct json_walk ids = json_walk(copy_ids_of(w->window));
	uint64_t hash;

	id_set_clear(&w->had);
	id_set_reserve(&w->had, w->rows);
	w->had_since = w->executed;
	while (json_step(&ids))
		if (id_hash(ids.value, &hash))
			id_set_add(&w->had, hash);
}

/* Each time twice as far. */
static void retreat(struct copy *c)
{
	struct walk *w = &c->walk;
	uint64_t step = (uint64_t)w->room << (w->retreats < 20 ? w->retreats : 20);

	if (w->retreats++ == RETREATS_MOST) {
		copy_end(c, STATUS_BUSY, "items are deleted faster than they are copied");
		return;
	}
	w->offset = w->offset > step ? w->offset - step : 0;
	read_window(c);
}

static void on_deletes(void *arg, enum status s, const char *why)
{
	struct copy *c = arg;
	struct walk *w = &c->walk;
	size_t known;

	if (s != STATUS_OK) {
		copy_end(c, s, why);
		return;
	}
	known = known_in(c);
	if (known == 0 && w->offset > 0) {
		retreat(c);
		return;
	}
	skip(w, known);
	remember(w);
	next_page(c);
}

static void on_window(struct copy *c, const struct reply *reply)
{
	struct walk *w = &c->walk;
	struct json_slice ids;

	if (reply->status == STATUS_TOO_LARGE && w->room > WINDOW_LEAST) {
		w->room = w->room / 4 > WINDOW_LEAST ? w->room / 4 : WINDOW_LEAST;
		read_window(c);
		return;
	}
	ids = copy_ids_of(reply->body);
	if (ids.at == NULL) {
		copy_end(c, STATUS_BAD_REPLY, "ids that are not understood");
		return;
	}
	blob_unref(&w->window);
	w->window = blob_ref(reply->body);
	w->rows = json_count(ids);
	touched_read(&c->touched, true, on_deletes, c);
}

static void read_window(struct copy *c)
{
	struct walk *w = &c->walk;
	struct ask ask = {.instance = c->spec.donor,
	                  .method = "POST",
	                  .body = copy_window(w->offset, w->room),
	                  .expects = EXPECT_TOO_LARGE};

	w->executed = c->touched.executed;
	ask.most = w->room > WINDOW_LEAST ? WINDOW_BYTES_MOST : ALONE_BYTES_MOST;
	copy_path_of(&ask.target, c, &c->spec.source, "/get");
	copy_ask(c, &ask, on_window);
}

void walk_begin(struct copy *c, bool rests, copy_step *then)
{
	c->walk.then = then;
	c->walk.rests = rests;
	c->walk.room = copy_sizes.window;
	c->walk.at_once = copy_sizes.page / 4 + 1;
	read_window(c);
}
