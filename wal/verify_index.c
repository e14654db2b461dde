/* wal/verify_index.c - does an instance find what it holds?
 *
 * A Chroma that is killed comes back with all its items, but its search index may lack
 * some: measured, 1 to 6 in 100. Counts do not tell, and a `get` does not either.
 *
 *   ask_sample   some items, from random places, with their vectors, of one instance
 *   on_sample    each is looked for by its own vector, at all instances in one query
 *   on_found     who has not found which; the next sample, after a rest
 *   confirm      those that were not found once more, at rest: they may have been
 *                deleted, or changed, or not have arrived everywhere
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
		if (has(p->who, i))
			understood = probe_take(p->probe, i, p->round.answers[i]) &&
			             understood;
	return understood;
}

/* Only those that are not found at rest, either, count. */
static void count(struct pass *p, bool asked)
{
	struct text any = {0};
	size_t elsewhere;

	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++) {
		if (!has(p->who, i))
			continue;
		if (asked) {
			p->scores[i].asked += probe_asked(p->probe);
			probe_missed(p->probe, i, &p->missed, &elsewhere);
		} else {
			p->scores[i].missed =
			        probe_missed(p->probe, i, &any, &p->scores[i].elsewhere);
			p->scores[i].all = p->total <= ALL_MOST;
		}
	}
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
	count(p, true);
	next(p);
}

static void look_for(struct pass *p, void (*then)(void *arg, enum status s))
{
	struct blob *question = probe_question(p->probe);

	round_ask(&p->round, p->who, "/query", question, then, p);
	blob_unref(&question);
}

static void on_sample(void *arg, enum status s)
{
	struct pass *p = arg;

	if (s != STATUS_OK) {
		not_found(p);
		return;
	}
	p->probe = probe_create(p->round.answers[p->sampler], p->space);
	if (p->probe == NULL)
		next(p);
	else
		look_for(p, on_found);
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

static void on_confirmed(void *arg, enum status s)
{
	struct pass *p = arg;

	if (s != STATUS_OK || !take_answers(p)) {
		not_found(p);
		return;
	}
	count(p, false);
	over(p);
}

static void on_missed(void *arg, enum status s)
{
	struct pass *p = arg;

	if (s != STATUS_OK) {
		not_found(p);
		return;
	}
	p->probe = probe_create(p->round.answers[p->sampler], p->space);
	if (p->probe == NULL)
		over(p);
	else
		look_for(p, on_confirmed);
}

static void confirm(struct pass *p)
{
	struct json_slice list;
	struct json_walk w;
	struct text all = {0}, body = {0};
	struct blob *question;

	text_addf(&all, "[%s]", text_string(&p->missed));
	list = json_whole(all.s, all.len);
	w = json_walk(list);
	text_adds(&body, "{\"ids\":[");
	for (unsigned n = 0; n < MISSED_MOST && json_step(&w); n++) {
		text_adds(&body, n > 0 ? "," : "");
		text_add(&body, w.value.at, w.value.len);
	}
	text_adds(&body, "],\"include\":[\"embeddings\"]}");
	text_clear(&all);
	question = blob_of(&body);
	round_ask(&p->round, 1u << p->sampler, "/get", question, on_missed, p);
	blob_unref(&question);
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
