/* wal/verify_index.c - does an instance find what it holds?
 *
 * A Chroma that is killed comes back with all its items, but its search index may lack
 * some: measured, 1 to 6 in 100. Counts do not tell, and a `get` does not either.
 *
 *   ask_sample   some items, from random places, with their vectors, of one instance
 *   on_sample    each is looked for by its own vector, at all instances in one query
 *   on_found     who has not found which; the next sample, after a rest
 *   confirm      those that were not found once more, at rest, at each instance by the
 *                vector that it has itself: they may have been deleted, or changed, or
 *                not have arrived everywhere; or the vector itself is not the same
 *                there, and that is for whoever compares content. And so thoroughly that
 *                what is only hard to find is found: measured, of 3,000 random vectors of
 *                384 dimensions 42 are not found by a new index, and then only 10
 */
#include "core/random.h"
#include "wal/verify_private.h"

#define SAMPLE 20u
#define SAMPLES 10u
#define ALL_MOST 1000u  /* of so few items all are looked for */
#define MISSED_MOST 30u /* looked for again at rest */

static void ask_sample(struct pass *p);
static void confirm(struct pass *p);

static bool has(unsigned who, unsigned i)
{
	return (who >> i & 1) != 0;
}

static void next_sampler(struct pass *p)
{
	do
		p->sampler = (p->sampler + 1) % CONF_MAX_INSTANCES;
	while (!has(p->who, p->sampler));
}

static void over(struct pass *p)
{
	probe_destroy(&p->probe);
	p->damaged = probe_damaged(p->scores, p->who, p->space);
	p->tries = 0;
	pass_heal(p);
}

/* --- the answers ---------------------------------------------------------------------
 */

static bool take_answers(struct pass *p)
{
	bool understood = true;

	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++)
		if (has(p->round.who, i))
			understood = probe_take(p->probe, i, p->round.answers[i]) &&
			             understood;
	return understood;
}

/* Whether those are lost shows when they are looked for once more. */
static void count_asked(struct pass *p)
{
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++) {
		if (!has(p->who, i))
			continue;
		p->scores[i].asked += probe_asked(p->probe);
		p->scores[i].all = p->total <= ALL_MOST;
		probe_missed(p->probe, i, &p->missed);
	}
	probe_destroy(&p->probe);
}

static void count_missed(struct pass *p)
{
	struct text any = {0};

	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++)
		if (has(p->round.who, i))
			p->scores[i].missed = probe_missed(p->probe, i, &any);
	text_clear(&any);
	probe_destroy(&p->probe);
}

/* One cannot search at all, again and again, and another can. */
static bool is_broken(struct pass *p)
{
	unsigned failed = pass_failed(p, 500);

	if (p->tries < 4 || failed == 0 || failed == p->who ||
	    (failed | pass_failed(p, 200)) != p->who)
		return false;
	p->unreadable |= failed;
	p->who &= ~failed;
	return true;
}

static void not_found(struct pass *p)
{
	probe_destroy(&p->probe);
	if (is_broken(p)) {
		over(p);
		return;
	}
	next_sampler(p);
	pass_again(p, "an instance does not answer a query");
}

/* --- samples -------------------------------------------------------------------------
 */

static bool is_last(const struct pass *p)
{
	return (p->total > ALL_MOST && p->probes == SAMPLES) ||
	       (uint64_t)p->probes * SAMPLE >= p->total;
}

static void next(struct pass *p)
{
	p->tries = 0;
	p->probes++;
	if (!is_last(p))
		pass_go(p, pass_rest(p), ask_sample, false);
	else if (p->missed.len > 0)
		pass_go(p, pass_rest(p), confirm, true);
	else
		over(p);
}

static void on_found(void *arg, enum status s)
{
	struct pass *p = arg;

	if (s != STATUS_OK || !take_answers(p)) {
		not_found(p);
		return;
	}
	count_asked(p);
	next(p);
}

static void look_for(struct pass *p, unsigned who, unsigned results,
                     void (*then)(void *arg, enum status s))
{
	struct blob *question = probe_question(p->probe, results);

	round_ask(&p->round, who, "/query", question, then, p);
	blob_unref(&question);
}

static void on_sample(void *arg, enum status s)
{
	struct pass *p = arg;

	if (s == STATUS_TOO_LARGE) {
		over(p); /* nobody searches by such vectors */
		return;
	}
	if (s != STATUS_OK) {
		not_found(p);
		return;
	}
	p->probe = probe_create(p->round.answers[p->sampler], p->space);
	if (p->probe == NULL)
		next(p);
	else
		look_for(p, p->who, PROBE_RESULTS, on_found);
}

static struct blob *blob_of(struct text *text)
{
	size_t len = text->len;

	return blob_adopt(text_detach(text), len);
}

static uint64_t place(const struct pass *p)
{
	if (p->total <= ALL_MOST)
		return (uint64_t)SAMPLE * p->probes;
	return (uint64_t)(random_unit() * (double)(p->total - SAMPLE));
}

static void ask_sample(struct pass *p)
{
	struct text body = {0};
	struct blob *question;

	text_addf(&body, "{\"limit\":%u,\"offset\":%llu,\"include\":[\"embeddings\"]}",
	          SAMPLE, (unsigned long long)place(p));
	question = blob_of(&body);
	round_ask(&p->round, 1u << p->sampler, "/get", question, on_sample, p);
	blob_unref(&question);
}

/* --- at rest -------------------------------------------------------------------------
 */

static void ask_missed(struct pass *p);

static void next_to_confirm(struct pass *p)
{
	unsigned later = p->who & ~((2u << p->sampler) - 1);

	if (later == 0 || p->space == SPACE_IP) {
		over(p);
		return;
	}
	p->sampler = (unsigned)__builtin_ctz(later);
	ask_missed(p);
}

static void on_confirmed(void *arg, enum status s)
{
	struct pass *p = arg;

	if (s != STATUS_OK || !take_answers(p)) {
		not_found(p);
		return;
	}
	count_missed(p);
	next_to_confirm(p);
}

static void on_missed(void *arg, enum status s)
{
	struct pass *p = arg;
	unsigned whom = p->space == SPACE_IP ? p->who : 1u << p->sampler;

	if (s != STATUS_OK) {
		not_found(p);
		return;
	}
	p->probe = probe_create(p->round.answers[p->sampler], p->space);
	if (p->probe == NULL)
		next_to_confirm(p);
	else
		look_for(p, whom, PROBE_THOROUGH, on_confirmed);
}

static struct blob *get_of(const struct text *ids)
{
	struct text all = {0}, body = {0};
	struct json_walk w;

	text_addf(&all, "[%s]", text_string(ids));
	w = json_walk(json_whole(all.s, all.len));
	text_adds(&body, "{\"ids\":[");
	for (unsigned n = 0; n < MISSED_MOST && json_step(&w); n++) {
		text_adds(&body, n > 0 ? "," : "");
		text_add(&body, w.value.at, w.value.len);
	}
	text_adds(&body, "],\"include\":[\"embeddings\"]}");
	text_clear(&all);
	return blob_of(&body);
}

static void ask_missed(struct pass *p)
{
	struct blob *question = get_of(&p->missed);

	round_ask(&p->round, 1u << p->sampler, "/get", question, on_missed, p);
	blob_unref(&question);
}

static void confirm(struct pass *p)
{
	p->sampler = (unsigned)__builtin_ctz(p->who);
	ask_missed(p);
}

void pass_index(struct pass *p)
{
	p->sampler = (unsigned)__builtin_ctz(p->who);
	p->probes = 0;
	if (p->total == 0)
		over(p);
	else
		pass_go(p, pass_rest(p), ask_sample, false);
}
