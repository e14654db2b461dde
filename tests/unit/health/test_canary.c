/* Does an instance take writes? Two instances on virtual time; the first is a server that
 * keeps what the canary creates, and fails as told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/text.h"
#include "health/health_private.h"
#include "tests/lib/fake_time.h"
#include "tests/lib/fake_upstream.h"

#define ID "1b4e28ba-2fa1-41d2-883f-0016d3cca427"
#define OWN "/api/v2/tenants/ctd-chromatid/databases"

static char a_name[] = "primary", b_name[] = "replica", a_url[] = "a.test:8000",
            b_url[] = "b.test:8000";

static const struct conf usual = {
        .instances = {{a_name, a_url}, {b_name, b_url}},
        .n_instances = 2,
        .check_interval = 1000,
        .check_timeout = 1000,
        .failure_threshold = 2,
        .recovery_threshold = 2,
        .connect_timeout = 2000,
        .connection_pool_size = 20,
};

enum manner { WELL, FAILS, HANGS, BREAKS, REFUSES_AS_CLIENTS, DENIES };

static struct {
	struct conf conf;
	struct instance *a, *b;
	struct upstream *at_a;
	enum manner manner; /* of its write path */
	bool down, tenant, database, collection;
	struct text trace;
	unsigned items; /* upserts asked */
	msec last_item;
	unsigned changes;
	enum health was;
	bool writable; /* at the last change */
	struct op *write;
	enum status write_ended;
} w;

/* --- the server -------------------------------------------------------------------- */

static void create(struct fake_call *c, bool *there, const char *what)
{
	text_addf(&w.trace, "%s ", what);
	fake_call_answer(c, *there ? 409 : 200, "{\"id\":\"" ID "\",\"name\":\"x\"}");
	*there = true;
}

static void upsert(struct fake_call *c)
{
	text_adds(&w.trace, "item ");
	if (w.collection)
		fake_call_answer(c, 200, "{}");
	else
		fake_call_answer(c, 404, "{\"error\":\"NotFoundError\"}");
}

static void serve(struct fake_call *c, const struct call *call)
{
	if (strcmp(call->target, "/api/v2/tenants") == 0)
		create(c, &w.tenant, "tenant");
	else if (strcmp(call->target, OWN) == 0)
		create(c, &w.database, "database");
	else if (strcmp(call->target, OWN "/ctd-canary/collections") == 0) {
		w.collection = false; /* get_or_create: never 409 */
		create(c, &w.collection, "collection");
	} else if (strcmp(call->target, OWN "/ctd-canary/collections/" ID "/upsert") == 0)
		upsert(c);
	else
		fail_msg("%s %s", call->method, call->target);
}

static void misbehave(struct fake_call *c)
{
	switch (w.manner) {
	case FAILS:
		fake_call_answer(c, 500, "{\"error\":\"InternalError\"}");
		break;
	case BREAKS:
		fake_call_fail(c, STATUS_BROKEN, "reset");
		break;
	case REFUSES_AS_CLIENTS:
		fake_call_answer(c, 422, "{}");
		break;
	case DENIES:
		fake_call_fail(c, STATUS_NOT_RESOLVED, "");
		break;
	default:
		break;
	}
}

static void take(void *arg, struct fake_call *c, const struct call *call)
{
	(void)arg;
	if (w.down) {
		fake_call_fail(c, STATUS_REFUSED, "");
	} else if (strcmp(call->method, "GET") == 0) {
		fake_call_answer(c, 200, "{}");
	} else if (strcmp(call->target, "/a/write/of/a/client") != 0) {
		assert_true(call->alone);
		w.items++;
		w.last_item = clock_ms();
		if (w.manner == WELL)
			serve(c, call);
		else
			misbehave(c);
	}
}

static void gone(void *arg, struct fake_call *c)
{
	(void)arg;
	(void)c;
}

static const struct fake_server server = {.take = take, .gone = gone};

/* --- the others -------------------------------------------------------------------- */

static void on_change(struct instance *in, enum health was, void *arg)
{
	(void)arg;
	if (in != w.a)
		return;
	w.changes++;
	w.was = was;
	w.writable = instance_writable(in);
}

static void on_write(void *arg, const struct reply *reply)
{
	(void)arg;
	w.write_ended = reply->status;
	health_report(w.a, health_signal_of(reply), "");
}

static void write_with_limit(msec limit)
{
	struct call call = {
	        .method = "POST", .target = "/a/write/of/a/client", .timeout = limit};

	upstream_call(w.at_a, &call, on_write, NULL, &w.write);
}

static void start(void)
{
	memset(&w, 0, sizeof(w));
	w.conf = usual;
	log_start(LOG_ERROR, LOG_FORMAT_LOGFMT, NULL);
	health_start(&w.conf);
	health_on_change(on_change, NULL);
	w.a = health_instance(0);
	w.b = health_instance(1);
	w.at_a = instance_upstream(w.a);
	fake_serves(w.at_a, &server, NULL);
	fake_answers(instance_upstream(w.b), 200, "{\"id\":\"" ID "\"}");
}

/* Up, and the first canaries were good. */
static void start_up(void)
{
	start();
	pass_ms(1000);
	assert_true(instance_writable(w.a) && instance_writable(w.b));
	assert_int_equal(instance_figures(w.a).canaries_good, 1);
	w.changes = w.items = 0;
	text_reset(&w.trace);
}

static void stop(void)
{
	op_cancel(&w.write);
	health_stop();
	pass_ms(0);
	text_clear(&w.trace);
	assert_int_equal(timers_running(), 0);
}

static msec until_writable_is(bool wanted, msec most)
{
	msec from = clock_ms();

	while (instance_writable(w.a) != wanted) {
		assert_true(clock_ms() - from < most);
		pass_ms(1);
	}
	return clock_ms() - from;
}

static void go_down_and_come_up(void)
{
	w.down = true;
	health_report(w.a, SIGNAL_REFUSED, "");
	pass_ms(1500);
	assert_int_equal(instance_health(w.a), HEALTH_DOWN);
	w.down = false;
	while (!instance_up(w.a))
		pass_ms(1);
}

/* --- well -------------------------------------------------------------------------- */

static void the_first_creates_what_it_needs_and_the_next_only_write(void **state)
{
	(void)state;
	start();
	pass_ms(100);
	assert_string_equal(text_string(&w.trace), "tenant database collection item ");
	pass_ms(25000);
	assert_string_equal(text_string(&w.trace),
	                    "tenant database collection item item item ");
	assert_int_equal(instance_figures(w.a).canaries_good, 3);
	assert_true(instance_up(w.a));
	stop();
}

static void what_is_there_already_is_taken(void **state)
{
	(void)state;
	start();
	w.tenant = w.database = true;
	pass_ms(100);
	assert_string_equal(text_string(&w.trace), "tenant database collection item ");
	assert_int_equal(instance_figures(w.a).canaries_good, 1);
	stop();
}

static void it_is_asked_every_ten_seconds(void **state)
{
	(void)state;
	start_up();
	pass_ms(100000);
	assert_in_range(w.items, 9, 12);
	assert_int_equal(w.changes, 0);
	stop();
}

static void after_a_reset_everything_is_created_anew(void **state)
{
	(void)state;
	start_up();
	w.tenant = w.database = w.collection = false;
	pass_ms(11500);
	assert_string_equal(text_string(&w.trace),
	                    "item tenant database collection item ");
	assert_true(instance_writable(w.a));
	assert_int_equal(instance_figures(w.a).canaries_good, 2);
	stop();
}

static void an_instance_whose_collection_cannot_be_found_is_not_asked_in_a_circle(
        void **state)
{
	(void)state;
	start();
	fake_answers(w.at_a, 404, "{}"); /* to the probe as well, which is content */
	pass_ms(30000);
	assert_in_range(fake_calls(w.at_a), 25, 45);
	assert_true(instance_writable(w.a));
	assert_int_equal(instance_figures(w.a).canaries_good, 0);
	stop();
}

static void an_answer_without_an_id_is_no_proof(void **state)
{
	(void)state;
	start();
	fake_answers(w.at_a, 200, "{}");
	pass_ms(100);
	assert_int_equal(instance_figures(w.a).canaries_good, 0);
	assert_true(instance_writable(w.a));
	stop();
}

/* --- failing ----------------------------------------------------------------------- */

static void two_clear_failures_in_a_row_and_it_takes_no_writes(void **state)
{
	(void)state;
	for (enum manner m = FAILS; m <= BREAKS; m++) {
		if (m == HANGS)
			continue;
		start_up();
		w.manner = m;
		until_writable_is(false, 12000);
		assert_int_equal(w.items, 2);
		pass_ms(0);
		assert_true(instance_up(w.a)); /* reads go on */
		assert_int_equal(w.changes, 1);
		assert_int_equal(w.was, HEALTH_UP);
		assert_false(w.writable);
		assert_int_equal(fake_aborts(w.at_a), 0);
		assert_int_equal(instance_figures(w.a).canaries_bad, 2);
		assert_true(instance_writable(w.b));
		stop();
	}
}

static void the_reason_is_kept(void **state)
{
	(void)state;
	start_up();
	w.manner = FAILS;
	until_writable_is(false, 12000);
	assert_string_equal(instance_figures(w.a).write_reason, "canary: HTTP 500");
	stop();
}

static void one_failure_between_good_ones_changes_nothing(void **state)
{
	(void)state;
	start_up();
	for (int i = 0; i < 5; i++) {
		unsigned before = w.items;

		w.manner = FAILS;
		while (w.items == before)
			pass_ms(1);
		w.manner = WELL;
		pass_ms(1000);
		assert_in_range(w.items - before, 2, 2); /* the second came soon */
	}
	assert_int_equal(w.changes, 0);
	assert_true(instance_writable(w.a));
	stop();
}

static void when_calls_fail_it_is_known_within_a_second(void **state)
{
	static const enum health_signal bad[] = {SIGNAL_ERROR_5XX, SIGNAL_BROKEN,
	                                         SIGNAL_TIMED_OUT};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		start_up();
		w.manner = FAILS;
		health_report(w.a, bad[i], "");
		assert_in_range(until_writable_is(false, 1000), 400, 700);
		stop();
	}
}

static void errors_without_end_do_not_make_canaries_without_end(void **state)
{
	(void)state;
	start_up();
	for (int i = 0; i < 1000; i++) {
		health_report(w.a, SIGNAL_ERROR_5XX, "HTTP 500");
		pass_ms(10);
	}
	assert_in_range(w.items, 10, 25);
	assert_true(instance_writable(w.a)); /* its canaries are good */
	stop();
}

static void one_good_answer_and_it_takes_writes_again(void **state)
{
	(void)state;
	start_up();
	w.manner = FAILS;
	until_writable_is(false, 12000);
	pass_ms(10000);
	assert_false(instance_writable(w.a));
	assert_in_range(w.items, 10, 14); /* not faster, whoever complains */
	w.changes = 0;
	w.manner = WELL;
	assert_in_range(until_writable_is(true, 1200), 0, 1150);
	pass_ms(0);
	assert_int_equal(w.changes, 1);
	assert_int_equal(w.was, HEALTH_UP);
	assert_true(w.writable);
	assert_string_equal(instance_figures(w.a).write_reason, "canary: HTTP 200");
	stop();
}

static void one_that_goes_on_failing_is_asked_less_often(void **state)
{
	(void)state;
	start_up();
	w.manner = FAILS;
	pass_ms(60000);
	w.items = 0;
	for (int i = 0; i < 5000; i++) {
		health_report(w.a, SIGNAL_ERROR_5XX, "");
		pass_ms(10);
	}
	assert_in_range(w.items, 8, 12);
	stop();
}

static void what_is_no_fault_of_its_write_path_shows_nothing_bad(void **state)
{
	(void)state;
	start_up();
	for (enum manner m = REFUSES_AS_CLIENTS; m <= DENIES; m++) {
		w.manner = m;
		pass_ms(25000);
		assert_true(w.items >= 2);
	}
	assert_true(instance_writable(w.a));
	assert_int_equal(instance_figures(w.a).canaries_bad, 0);
	assert_int_equal(instance_figures(w.a).canaries_good, 1);
	stop();
}

static void failures_with_an_odd_answer_between_are_not_in_a_row(void **state)
{
	(void)state;
	start_up();
	for (int i = 0; i < 4; i++) {
		unsigned before = w.items;

		w.manner = i % 2 == 0 ? FAILS : REFUSES_AS_CLIENTS;
		while (w.items == before)
			pass_ms(1);
	}
	assert_int_equal(instance_figures(w.a).canaries_bad, 2);
	assert_true(instance_writable(w.a));
	w.items = 0;
	pass_ms(8000);
	assert_int_equal(w.items, 0); /* nothing is in doubt any more */
	stop();
}

/* --- hanging ----------------------------------------------------------------------- */

static void one_that_hangs_on_every_write_is_noticed(void **state)
{
	(void)state;
	start_up();
	w.manner = HANGS;
	/* the rest of the period, and twice the patience */
	assert_in_range(until_writable_is(false, 45000), 30000, 42000);
	w.manner = WELL;
	until_writable_is(true, 17000);
	stop();
}

static void when_a_small_write_hangs_it_is_noticed_soon(void **state)
{
	msec began;

	(void)state;
	start_up();
	w.manner = HANGS;
	began = clock_ms();
	write_with_limit(5000);
	while (instance_writable(w.a)) {
		assert_true(clock_ms() - began < 14000);
		pass_ms(1);
		if (w.write == NULL) /* it is tried again, and hangs again */
			write_with_limit(5000);
	}
	assert_in_range(clock_ms() - began, 10000, 12500);
	stop();
}

static void a_canary_under_way_is_not_waited_for_when_a_call_fails(void **state)
{
	(void)state;
	start_up();
	w.manner = HANGS;
	while (w.items == 0)
		pass_ms(1);
	pass_ms(1000);
	health_report(w.a, SIGNAL_TIMED_OUT, "");
	assert_int_equal(w.items, 2);
	assert_in_range(until_writable_is(false, 7500), 6000, 7000);
	assert_in_range(fake_open(w.at_a), 0, 1); /* the first one was closed */
	stop();
}

static void a_big_write_excuses_a_canary_behind_it(void **state)
{
	(void)state;
	start_up();
	pass_ms(100000);  /* what was answered long ago is not silence */
	w.manner = HANGS; /* as the one queue does */
	write_with_limit(60000);
	pass_ms(1000);
	health_report(w.a, SIGNAL_TIMED_OUT, "a small write behind the big one");
	pass_ms(40000);
	assert_true(instance_writable(w.a));
	assert_int_equal(w.changes, 0);
	assert_int_equal(instance_figures(w.a).canaries_bad, 0);
	w.manner = WELL;
	fake_answers(w.at_a, 200, "{}");
	pass_ms(5000);
	assert_true(instance_writable(w.a));
	stop();
}

static void a_big_write_is_no_excuse_for_ever(void **state)
{
	msec began;

	(void)state;
	start_up();
	w.manner = HANGS;
	began = clock_ms();
	write_with_limit(60000);
	while (instance_writable(w.a)) {
		assert_true(clock_ms() - began < 100000);
		pass_ms(10);
		if (w.write == NULL)
			write_with_limit(60000);
	}
	assert_true(clock_ms() - began >= 60000);
	stop();
}

/* --- down and up ------------------------------------------------------------------- */

static void the_first_verdict_of_all_needs_no_canary(void **state)
{
	(void)state;
	start();
	w.manner = HANGS;
	pass_ms(0);
	assert_true(instance_writable(w.a));
	stop();
}

static void one_that_is_down_takes_no_writes_and_is_not_asked(void **state)
{
	(void)state;
	start_up();
	w.down = true;
	health_report(w.a, SIGNAL_REFUSED, "");
	assert_false(instance_writable(w.a));
	pass_ms(60000);
	assert_int_equal(w.items, 0);
	stop();
}

static void one_that_comes_up_takes_writes_at_once_if_it_is_well(void **state)
{
	(void)state;
	start_up();
	go_down_and_come_up();
	assert_in_range(until_writable_is(true, 50), 0, 1);
	assert_string_equal(text_string(&w.trace), "item ");
	pass_ms(0);
	assert_true(w.writable);
	stop();
}

static void one_that_comes_up_gets_no_write_before_its_canary_ends_well(void **state)
{
	(void)state;
	start_up();
	w.manner = HANGS;
	go_down_and_come_up();
	assert_false(instance_writable(w.a));
	pass_ms(500);
	assert_int_equal(w.items, 1);
	assert_false(instance_writable(w.a));
	assert_true(fake_reply(w.at_a, 200, "{}"));
	pass_ms(0);
	assert_true(instance_writable(w.a));
	assert_true(w.writable);
	assert_int_equal(w.was, HEALTH_UP);
	stop();
}

static void one_that_every_write_kills_gets_none_in_its_short_lives(void **state)
{
	(void)state;
	start_up();
	w.manner = BREAKS;
	for (int i = 0; i < 5; i++) {
		go_down_and_come_up();
		for (int ms = 0; ms < 300; ms++) {
			assert_false(instance_writable(w.a));
			pass_ms(1);
		}
	}
	stop();
}

static void one_that_comes_up_and_answers_something_odd_takes_writes(void **state)
{
	(void)state;
	start_up();
	w.manner = REFUSES_AS_CLIENTS;
	go_down_and_come_up();
	assert_in_range(until_writable_is(true, 50), 0, 1);
	stop();
}

static void old_failures_do_not_count_after_it_was_down(void **state)
{
	(void)state;
	start_up();
	w.manner = FAILS;
	until_writable_is(false, 12000);
	w.manner = WELL;
	go_down_and_come_up();
	assert_in_range(until_writable_is(true, 50), 0, 1);
	w.manner = FAILS;
	health_report(w.a, SIGNAL_ERROR_5XX, "");
	pass_ms(100);
	assert_true(instance_writable(w.a)); /* that was one */
	stop();
}

static void each_change_is_logged_with_its_reason(void **state)
{
	char lines[4096] = "";
	int fds[2], real = dup(2);

	(void)state;
	start_up();
	log_start(LOG_INFO, LOG_FORMAT_LOGFMT, NULL);
	assert_int_equal(pipe(fds), 0);
	dup2(fds[1], 2);
	w.manner = FAILS;
	until_writable_is(false, 12000);
	w.manner = WELL;
	until_writable_is(true, 12000);
	dup2(real, 2);
	assert_true(read(fds[0], lines, sizeof(lines) - 1) > 0);
	assert_non_null(strstr(lines, "instance primary: answers, but does not take "
	                              "writes (canary: HTTP 500)"));
	assert_non_null(
	        strstr(lines, "instance primary: takes writes again (canary: HTTP 200)"));
	close(fds[0]);
	close(fds[1]);
	close(real);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_first_creates_what_it_needs_and_the_next_only_write),
	        cmocka_unit_test(what_is_there_already_is_taken),
	        cmocka_unit_test(it_is_asked_every_ten_seconds),
	        cmocka_unit_test(after_a_reset_everything_is_created_anew),
	        cmocka_unit_test(
	                an_instance_whose_collection_cannot_be_found_is_not_asked_in_a_circle),
	        cmocka_unit_test(an_answer_without_an_id_is_no_proof),
	        cmocka_unit_test(two_clear_failures_in_a_row_and_it_takes_no_writes),
	        cmocka_unit_test(the_reason_is_kept),
	        cmocka_unit_test(one_failure_between_good_ones_changes_nothing),
	        cmocka_unit_test(when_calls_fail_it_is_known_within_a_second),
	        cmocka_unit_test(errors_without_end_do_not_make_canaries_without_end),
	        cmocka_unit_test(one_good_answer_and_it_takes_writes_again),
	        cmocka_unit_test(one_that_goes_on_failing_is_asked_less_often),
	        cmocka_unit_test(what_is_no_fault_of_its_write_path_shows_nothing_bad),
	        cmocka_unit_test(failures_with_an_odd_answer_between_are_not_in_a_row),
	        cmocka_unit_test(one_that_hangs_on_every_write_is_noticed),
	        cmocka_unit_test(when_a_small_write_hangs_it_is_noticed_soon),
	        cmocka_unit_test(a_canary_under_way_is_not_waited_for_when_a_call_fails),
	        cmocka_unit_test(a_big_write_excuses_a_canary_behind_it),
	        cmocka_unit_test(a_big_write_is_no_excuse_for_ever),
	        cmocka_unit_test(the_first_verdict_of_all_needs_no_canary),
	        cmocka_unit_test(one_that_is_down_takes_no_writes_and_is_not_asked),
	        cmocka_unit_test(one_that_comes_up_takes_writes_at_once_if_it_is_well),
	        cmocka_unit_test(
	                one_that_comes_up_gets_no_write_before_its_canary_ends_well),
	        cmocka_unit_test(one_that_every_write_kills_gets_none_in_its_short_lives),
	        cmocka_unit_test(
	                one_that_comes_up_and_answers_something_odd_takes_writes),
	        cmocka_unit_test(old_failures_do_not_count_after_it_was_down),
	        cmocka_unit_test(each_change_is_logged_with_its_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
