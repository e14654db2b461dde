/* Reads that would queue at an instance go there together: who waits, who rides along,
 * and what becomes of them when the call does not go well. In virtual time; the instances
 * and what an exchange is otherwise are ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "http/exchange.h"
#include "tests/lib/fake_time.h"
#include "tests/lib/fake_upstream.h"

#define READERS 80
#define FAST_US 1000

struct instance {
	struct upstream *up;
	bool is_up, current;
	unsigned counted;
};

struct reader {
	struct exchange ex; /* first */
	struct request_head head;
	bool alone; /* relay.c has it */
	int dispatched;
	int http;
	char *answer; /* NULL: none yet */
};

static struct {
	struct instance instances[2];
	struct database db;
	struct collection collections[2];
	struct reader readers[READERS];
	struct conf conf;
	unsigned n;
	bool leads;
	enum health_signal told;
} w;

/* --- what is around it ----------------------------------------------------------- */

const struct conf *exchange_conf = &w.conf;

unsigned health_count(void)
{
	return 2;
}

struct instance *health_instance(unsigned i)
{
	return &w.instances[i];
}

unsigned instance_index(const struct instance *in)
{
	return (unsigned)(in - w.instances);
}

const char *instance_name(const struct instance *in)
{
	return in == w.instances ? "primary" : "replica";
}

bool instance_up(const struct instance *in)
{
	return in->is_up;
}

struct upstream *instance_upstream(const struct instance *in)
{
	return in->up;
}

void instance_count(struct instance *in, bool read, bool success)
{
	assert_true(read && success);
	in->counted++;
}

enum health_signal health_signal_of(const struct reply *reply)
{
	return reply->status == STATUS_OK ? SIGNAL_ANSWERED : SIGNAL_BROKEN;
}

void health_report(struct instance *in, enum health_signal signal, const char *detail)
{
	(void)in;
	(void)detail;
	w.told = signal;
}

bool wal_serves(void)
{
	return w.leads;
}

bool wal_current(const struct instance *in, const struct collection *c)
{
	(void)c;
	return in->current;
}

void dispatch(struct exchange *ex)
{
	((struct reader *)ex)->dispatched++;
}

msec exchange_left(const struct exchange *ex)
{
	return ex->deadline - clock_ms();
}

void read_aim(const struct exchange *ex, struct instance *in, struct text *target)
{
	text_addf(target, "/%s%s", ex->collection->local[instance_index(in)].text,
	          ex->route.tail);
}

void exchange_reply(struct exchange *ex, int http, const struct headers *more,
                    struct blob *body)
{
	struct reader *r = (struct reader *)ex;

	(void)more;
	assert_null(r->answer);
	r->http = http;
	r->answer = mem_substring(blob_bytes(body), blob_len(body));
	together_leave(ex);
}

/* As read.c does. */
static void ask(struct exchange *ex)
{
	struct reader *r = (struct reader *)ex;
	struct instance *in = &w.instances[0];

	assert_false(r->alone);
	if ((ex->tried & 1) != 0 || !in->is_up || !in->current)
		in = &w.instances[1];
	ex->chosen = in;
	r->alone = !together_waits(ex, in);
}

/* --- readers --------------------------------------------------------------------- */

static struct reader *reader(enum route_verb verb, const char *body)
{
	struct reader *r = &w.readers[w.n++];

	assert_true(w.n <= READERS);
	strcpy(r->head.method, body != NULL ? "POST" : "GET");
	if (body != NULL)
		headers_add(&r->head.headers, "Content-Type", "application/json");
	r->ex.head = &r->head;
	r->ex.body = body != NULL ? blob_create(body, strlen(body)) : NULL;
	r->ex.route.verb = verb;
	r->ex.route.tail = verb == VERB_GET     ? "/get"
	                   : verb == VERB_QUERY ? "/query"
	                                        : "/count";
	r->ex.collection = &w.collections[0];
	r->ex.deadline = clock_ms() + 60000;
	r->ex.again = ask;
	return r;
}

static struct reader *comes(struct reader *r)
{
	ask(&r->ex);
	return r;
}

static struct reader *get(const char *id)
{
	char *body = mem_format("{\"ids\":[\"%s\"]}", id);
	struct reader *r = reader(VERB_GET, body);

	free(body);
	return comes(r);
}

/* Its own call has ended. */
static void ends(struct reader *r, uint64_t us, size_t bytes)
{
	assert_true(r->alone);
	r->alone = false;
	r->ex.upstream_us = us;
	together_over(&r->ex, bytes);
	pass_ms(0);
}

static void leaves(struct reader *r)
{
	together_leave(&r->ex);
	r->alone = false;
	pass_ms(0);
}

/* As many as are asked at once. */
static void fill(struct reader *first[2])
{
	first[0] = get("x");
	first[1] = get("y");
	assert_true(first[0]->alone && first[1]->alone);
}

static bool waits(const struct reader *r)
{
	return !r->alone && r->answer == NULL && r->dispatched == 0;
}

static void assert_asked(const char *body)
{
	const struct call *call = fake_last(w.instances[0].up);

	assert_non_null(call);
	assert_int_equal(blob_len(call->body), strlen(body));
	assert_memory_equal(blob_bytes(call->body), body, strlen(body));
}

static unsigned open_calls(void)
{
	return fake_open(w.instances[0].up);
}

static int set_up(void **state)
{
	static int64_t id;
	static const char *const urls[] = {"a.test:1", "b.test:1"};

	(void)state;
	memset(&w, 0, sizeof(w));
	for (unsigned i = 0; i < 2; i++) {
		w.instances[i].up =
		        upstream_create(&(struct upstream_options){.url = urls[i]});
		w.instances[i].is_up = w.instances[i].current = true;
		w.collections[i].id = ++id;
		w.collections[i].life = LIFE_LIVE;
		strcpy(w.collections[i].local[0].text, "local");
	}
	w.leads = w.conf.merge_reads = true;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (unsigned k = 0; k < w.n; k++) {
		leaves(&w.readers[k]);
		headers_clear(&w.readers[k].head.headers);
		blob_unref(&w.readers[k].ex.body);
		free(w.readers[k].answer);
	}
	together_stop();
	for (unsigned i = 0; i < 2; i++)
		upstream_destroy(&w.instances[i].up);
	pass_ms(0);
	assert_int_equal(timers_running(), 0);
	assert_int_equal(blob_total(), 0);
	fake_time_reset();
	return 0;
}

/* --- the happy path -------------------------------------------------------------- */

static void who_is_alone_waits_for_nobody(void **state)
{
	(void)state;
	for (int k = 0; k < 5; k++) {
		struct reader *r = get("a");

		assert_true(r->alone);
		ends(r, FAST_US, 100);
	}
	assert_int_equal(open_calls(), 0);
}

static void those_who_wait_go_together(void **state)
{
	struct reader *first[2], *a, *b, *late;

	(void)state;
	fill(first);
	a = get("a");
	b = get("b");
	assert_true(waits(a) && waits(b) && open_calls() == 0);
	ends(first[0], FAST_US, 100);
	assert_int_equal(open_calls(), 1);
	assert_asked("{\"ids\":[\"a\",\"b\"]}");
	assert_string_equal(fake_last(w.instances[0].up)->target, "/local/get");
	late = get("a"); /* as many as may be are under way: it waits for another call */
	assert_true(fake_reply(w.instances[0].up, 200, "{\"ids\":[\"b\",\"a\"]}"));
	pass_ms(0);
	assert_string_equal(a->answer, "{\"ids\":[\"a\"]}");
	assert_string_equal(b->answer, "{\"ids\":[\"b\"]}");
	assert_int_equal(a->http, 200);
	assert_string_equal(a->ex.instance, "primary");
	assert_int_equal(w.instances[0].counted, 2);
	assert_null(late->answer);
	assert_true(late->alone); /* nobody else was waiting */
}

static void nobody_waits_for_long(void **state)
{
	struct reader *first[2], *a, *b, *c;

	(void)state;
	fill(first);
	a = get("a");
	b = get("b");
	pass_ms(20);
	c = get("c");
	assert_int_equal(open_calls(), 0);
	pass_ms(10);
	assert_asked("{\"ids\":[\"a\",\"b\",\"c\"]}");
	a = get("d");
	pass_ms(29);
	assert_true(waits(a));
	pass_ms(1);
	assert_true(a->alone); /* without company */
	assert_true(waits(b) && waits(c));
}

static void unlike_ones_wait_on(void **state)
{
	struct reader *first[2], *a, *with, *b;

	(void)state;
	fill(first);
	a = get("a");
	with = comes(reader(VERB_GET, "{\"ids\":[\"w\"],\"where\":{\"n\":1}}"));
	b = get("b");
	ends(first[0], FAST_US, 100);
	assert_asked("{\"ids\":[\"a\",\"b\"]}");
	assert_true(waits(with));
	ends(first[1], FAST_US, 100);
	assert_true(with->alone);
	assert_true(waits(a) && waits(b));
}

static void lines_are_apart(void **state)
{
	struct reader *first[2], *query, *other;

	(void)state;
	fill(first);
	query = comes(reader(VERB_QUERY, "{\"query_embeddings\":[[1]]}"));
	assert_true(query->alone);
	assert_true(comes(reader(VERB_COUNT, NULL))->alone);
	other = reader(VERB_GET, "{\"ids\":[\"a\"]}");
	other->ex.collection = &w.collections[1];
	assert_true(comes(other)->alone);
	assert_true(waits(get("a")));
}

static void counts_share_one_answer(void **state)
{
	struct reader *first[2], *a, *b;

	(void)state;
	first[0] = comes(reader(VERB_COUNT, NULL));
	first[1] = comes(reader(VERB_COUNT, NULL));
	a = comes(reader(VERB_COUNT, NULL));
	b = comes(reader(VERB_COUNT, NULL));
	ends(first[0], FAST_US, 2);
	assert_null(fake_last(w.instances[0].up)->body);
	assert_string_equal(fake_last(w.instances[0].up)->method, "GET");
	fake_reply(w.instances[0].up, 200, "17");
	pass_ms(0);
	assert_string_equal(a->answer, "17");
	assert_string_equal(b->answer, "17");
	assert_true(first[1]->alone);
}

static void a_call_lasts_as_long_as_the_first_to_give_up(void **state)
{
	struct reader *first[2], *b;

	(void)state;
	fill(first);
	get("a");
	b = get("b");
	b->ex.deadline = clock_ms() + 700;
	ends(first[0], FAST_US, 100);
	assert_int_equal(fake_last(w.instances[0].up)->timeout, 700);
	pass_ms(700);
	assert_true(b->alone); /* and there it hears that its time is over */
}

/* --- who goes alone -------------------------------------------------------------- */

static void what_may_not_share_goes_alone(void **state)
{
	struct reader *first[2], *r;

	(void)state;
	fill(first);
	assert_true(comes(reader(VERB_GET, "{\"ids\":[\"a\"],\"limit\":1}"))->alone);
	r = reader(VERB_GET, "{\"ids\":[\"a\"]}");
	r->ex.route.query = "a=b";
	assert_true(comes(r)->alone);
	r = reader(VERB_GET, "{\"ids\":[\"a\"]}");
	headers_add(&r->head.headers, "traceparent", "00-1-2-01");
	assert_true(comes(r)->alone);
	r = reader(VERB_GET, "{\"ids\":[\"a\"]}");
	headers_clear(&r->head.headers);
	assert_true(comes(r)->alone);
	r = reader(VERB_GET, "{\"ids\":[\"a\"]}");
	strcpy(r->head.method, "PUT");
	assert_true(comes(r)->alone);
	r = reader(VERB_GET, "{\"ids\":[\"a\"]}");
	r->ex.rounds = 1;
	assert_true(comes(r)->alone);
	r = reader(VERB_GET, "{\"ids\":[\"a\"]}");
	r->ex.tried = 2;
	assert_true(comes(r)->alone);
	r = reader(VERB_GET, "{\"ids\":[\"a\"]}");
	w.conf.merge_reads = false;
	assert_true(comes(r)->alone);
	w.conf.merge_reads = true;
	assert_true(waits(get("a")));
}

/* A call of several would take several times as long. */
static void slow_reads_go_alone(void **state)
{
	struct reader *first[2];

	(void)state;
	ends(get("a"), 60000, 100);
	fill(first);
	assert_true(get("b")->alone);
}

/* They are slow because they are many. */
static void many_slow_reads_go_together(void **state)
{
	struct reader *many[20];

	(void)state;
	ends(get("a"), 60000, 100);
	for (int k = 0; k < 20; k++)
		assert_true((many[k] = get("b"))->alone);
	for (int k = 0; k < 20; k++) {
		struct reader *next = get("c");

		if (waits(next))
			return; /* before they have become fewer */
		ends(many[k], 60000, 100);
	}
	fail_msg("alone for ever");
}

static void large_answers_go_alone(void **state)
{
	struct reader *first[2];

	(void)state;
	ends(get("a"), FAST_US, 600000);
	fill(first);
	assert_true(get("b")->alone);
}

static void no_more_than_there_is_room_for(void **state)
{
	struct reader *first[2];
	unsigned before;

	(void)state;
	ends(get("a"), FAST_US, 100);
	fill(first);
	before = w.n;
	for (int k = 0; k < 40; k++)
		get("b");
	ends(first[0], FAST_US, 100);
	assert_int_equal(open_calls(), 1);
	fake_reply(w.instances[0].up, 200, "{\"ids\":[\"b\"]}");
	pass_ms(0);
	assert_non_null(w.readers[before + ALIKE_MOST - 1].answer);
	assert_null(w.readers[before + ALIKE_MOST].answer);
	assert_int_equal(open_calls(), 1); /* the rest */
}

/* --- when it does not go well ---------------------------------------------------- */

/* Two wait, and ride. */
static void ride(struct reader *first[2], struct reader **a, struct reader **b)
{
	fill(first);
	*a = get("a");
	*b = get("b");
	ends(first[0], FAST_US, 100);
	assert_int_equal(open_calls(), 1);
}

static void after_a_failure_each_goes_alone(const char *body, int http)
{
	struct reader *first[2], *a, *b, *c;

	ride(first, &a, &b);
	if (body != NULL)
		fake_reply(w.instances[0].up, http, body);
	else
		fake_fail(w.instances[0].up, STATUS_BROKEN, "lost");
	pass_ms(0);
	assert_true(a->alone && b->alone);
	assert_int_equal(a->ex.tried, 0); /* as if nothing had been */
	assert_int_equal(w.instances[0].counted, 0);
	assert_true(get("z")->alone); /* as many as may be are under way again */
	pass_ms(999);
	assert_true(get("c")->alone); /* and yet nobody waits, for a second */
	pass_ms(1);
	c = get("c");
	assert_true(waits(c));
}

static void an_error(void **state)
{
	(void)state;
	after_a_failure_each_goes_alone("{\"error\":\"InternalError\"}", 500);
	assert_int_equal(w.told, SIGNAL_ANSWERED);
}

static void a_refusal(void **state)
{
	(void)state;
	after_a_failure_each_goes_alone("{\"error\":\"InvalidArgumentError\"}", 400);
}

static void an_answer_to_something_else(void **state)
{
	(void)state;
	after_a_failure_each_goes_alone("{\"ids\":[\"other\"]}", 200);
}

static void another_success(void **state)
{
	(void)state;
	after_a_failure_each_goes_alone("{\"ids\":[\"a\",\"b\"]}", 206);
}

/* Who was in the line before does not go together either. */
static void a_failure_and_those_who_wait(void **state)
{
	struct reader *first[2], *a, *b, *c, *d;

	(void)state;
	ride(first, &a, &b);
	c = get("c");
	d = get("d");
	fake_reply(w.instances[0].up, 500, "{}");
	pass_ms(30);
	assert_true(c->alone && d->alone);
	assert_int_equal(open_calls(), 0);
}

static void an_answer_that_was_too_large(void **state)
{
	struct reader *first[2];

	(void)state;
	ends(get("a"), FAST_US, 500000);
	fill(first);
	get("b");
	get("c");
	ends(first[0], FAST_US, 500000);
	assert_int_equal(open_calls(), 1);
	fake_fail(w.instances[0].up, STATUS_TOO_LARGE, "too large");
	pass_ms(1000);
	assert_true(get("d")->alone); /* as many as may be are under way again */
	assert_true(get("e")->alone);
}

static void a_lost_connection(void **state)
{
	(void)state;
	after_a_failure_each_goes_alone(NULL, 0);
	assert_int_equal(w.told, SIGNAL_BROKEN);
}

static void a_long_silence(void **state)
{
	struct reader *first[2], *a, *b;

	(void)state;
	ride(first, &a, &b);
	w.instances[1].current = false;
	pass_ms(3000);
	assert_false(a->alone); /* nobody else could be asked */
	w.instances[1].current = true;
	pass_ms(3000);
	assert_true(a->alone && b->alone);
	assert_ptr_equal(a->ex.chosen, &w.instances[1]);
	assert_int_equal(open_calls(), 0);
	assert_int_equal(w.told, SIGNAL_TIMED_OUT);
}

static void one_leaves_the_call(void **state)
{
	struct reader *first[2], *a, *b;

	(void)state;
	ride(first, &a, &b);
	leaves(a);
	blob_unref(&a->ex.body);
	assert_int_equal(open_calls(), 1);
	fake_reply(w.instances[0].up, 200, "{\"ids\":[\"a\",\"b\"]}");
	pass_ms(0);
	assert_null(a->answer);
	assert_string_equal(b->answer, "{\"ids\":[\"b\"]}");
}

static void all_leave_the_call(void **state)
{
	struct reader *first[2], *a, *b, *next;

	(void)state;
	ride(first, &a, &b);
	next = get("c");
	assert_true(waits(next));
	leaves(a);
	leaves(b);
	assert_int_equal(open_calls(), 0);
	assert_true(next->alone); /* its turn */
}

static void one_leaves_the_line(void **state)
{
	struct reader *first[2], *a;

	(void)state;
	fill(first);
	a = get("a");
	get("b");
	get("c");
	leaves(a);
	ends(first[0], FAST_US, 100);
	assert_asked("{\"ids\":[\"b\",\"c\"]}");
}

static void who_was_asked_alone_leaves(void **state)
{
	struct reader *first[2], *a;

	(void)state;
	fill(first);
	a = get("a");
	leaves(first[1]);
	assert_true(a->alone);
}

/* --- where a line leads ---------------------------------------------------------- */

static void it_lacks_something_meanwhile(void **state)
{
	struct reader *first[2], *a, *b;

	(void)state;
	fill(first);
	a = get("a");
	b = get("b");
	w.instances[0].current = false;
	ends(first[0], FAST_US, 100);
	assert_int_equal(open_calls(), 0);
	assert_ptr_equal(a->ex.chosen, &w.instances[1]);
	assert_ptr_equal(b->ex.chosen, &w.instances[1]);
	assert_true(a->alone && b->alone); /* there nobody else was */
}

static void it_goes_down_meanwhile(void **state)
{
	struct reader *first[2], *a;

	(void)state;
	fill(first);
	a = get("a");
	get("b");
	w.instances[0].is_up = false;
	ends(first[0], FAST_US, 100);
	assert_int_equal(open_calls(), 0);
	assert_ptr_equal(a->ex.chosen, &w.instances[1]);
}

static void goes_again(struct exchange *ex)
{
	((struct reader *)ex)->dispatched += 100;
}

static void the_collection_goes_meanwhile(void **state)
{
	struct reader *first[2], *a, *b;

	(void)state;
	fill(first);
	a = get("a");
	b = get("b");
	a->ex.again = b->ex.again = goes_again;
	w.collections[0].life = LIFE_GONE;
	ends(first[0], FAST_US, 100);
	assert_int_equal(open_calls(), 0);
	assert_int_equal(a->dispatched, 100);
	assert_int_equal(b->dispatched, 100);
}

static void the_lease_goes_meanwhile(void **state)
{
	struct reader *first[2], *a, *b;

	(void)state;
	fill(first);
	a = get("a");
	b = get("b");
	w.leads = false;
	ends(first[0], FAST_US, 100);
	assert_int_equal(open_calls(), 0);
	assert_int_equal(a->dispatched, 1);
	assert_int_equal(b->dispatched, 1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	        TEST(who_is_alone_waits_for_nobody),
	        TEST(those_who_wait_go_together),
	        TEST(nobody_waits_for_long),
	        TEST(unlike_ones_wait_on),
	        TEST(lines_are_apart),
	        TEST(counts_share_one_answer),
	        TEST(a_call_lasts_as_long_as_the_first_to_give_up),
	        TEST(what_may_not_share_goes_alone),
	        TEST(slow_reads_go_alone),
	        TEST(many_slow_reads_go_together),
	        TEST(large_answers_go_alone),
	        TEST(no_more_than_there_is_room_for),
	        TEST(an_error),
	        TEST(a_refusal),
	        TEST(an_answer_to_something_else),
	        TEST(another_success),
	        TEST(a_failure_and_those_who_wait),
	        TEST(an_answer_that_was_too_large),
	        TEST(a_lost_connection),
	        TEST(a_long_silence),
	        TEST(one_leaves_the_call),
	        TEST(all_leave_the_call),
	        TEST(one_leaves_the_line),
	        TEST(who_was_asked_alone_leaves),
	        TEST(it_lacks_something_meanwhile),
	        TEST(it_goes_down_meanwhile),
	        TEST(the_collection_goes_meanwhile),
	        TEST(the_lease_goes_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
