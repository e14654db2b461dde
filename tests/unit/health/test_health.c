/* The health of two instances, in virtual time, against endpoints that behave as told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/mem.h"
#include "health/health_private.h"
#include "tests/lib/fake_time.h"
#include "tests/lib/fake_upstream.h"

#define A "a.test:8000"
#define B "b.test:8000"

static char a_name[] = "primary", b_name[] = "replica", a_url[] = A, b_url[] = B;
static char token[] = "s3cret", token_header[] = "X-Chroma-Token";

static const struct conf usual = {
        .instances = {{a_name, a_url}, {b_name, b_url}},
        .n_instances = 2,
        .check_interval = 1000,
        .check_timeout = 1000,
        .failure_threshold = 2,
        .recovery_threshold = 2,
        .read_replica_ratio = 0.8,
        .connect_timeout = 2000,
        .connection_pool_size = 20,
};

static struct {
	struct conf conf;
	struct instance *a, *b;
	struct upstream *at_a, *at_b;
	unsigned changes;
	enum health was, now; /* of the last change */
	struct instance *who;
} w;

static void on_change(struct instance *in, enum health was, void *arg)
{
	(void)arg;
	w.changes++;
	w.who = in;
	w.was = was;
	w.now = instance_health(in);
}

static void start(const struct conf *conf)
{
	memset(&w, 0, sizeof(w));
	w.conf = *conf;
	log_start(LOG_ERROR, LOG_FORMAT_LOGFMT, NULL);
	health_start(&w.conf);
	health_on_change(on_change, NULL);
	w.a = health_instance(0);
	w.b = health_instance(1);
	w.at_a = instance_upstream(w.a);
	w.at_b = instance_upstream(w.b);
}

/* Both are up, and it was said so. */
static void start_up(void)
{
	start(&usual);
	fake_answers(w.at_a, 200, "{}");
	fake_answers(w.at_b, 200, "{}");
	pass_ms(1500);
	assert_int_equal(health_up_count(), 2);
	w.changes = 0;
}

static void stop(void)
{
	health_stop();
	pass_ms(0);
	assert_int_equal(timers_running(), 0);
}

/* How long until the instance is so, in steps of 10 ms; fails after `most`. */
static msec until(const struct instance *in, enum health h, msec most)
{
	msec from = clock_ms();

	while (instance_health(in) != h) {
		assert_true(clock_ms() - from < most);
		pass_ms(10);
	}
	return clock_ms() - from;
}

static void one_good_probe_is_enough_for_the_first_verdict(void **state)
{
	(void)state;
	start(&usual);
	assert_false(health_known());
	assert_int_equal(instance_health(w.a), HEALTH_UNKNOWN);
	fake_answers(w.at_a, 200, "{}");
	fake_hangs(w.at_b);
	pass_ms(0);
	assert_true(instance_up(w.a));
	assert_false(health_known());
	assert_int_equal(w.changes, 1);
	assert_int_equal(w.was, HEALTH_UNKNOWN);
	assert_int_equal(w.now, HEALTH_UP);
	assert_ptr_equal(w.who, w.a);
	stop();
}

static void one_failed_probe_is_enough_for_the_first_verdict(void **state)
{
	(void)state;
	start(&usual);
	fake_answers(w.at_a, 503, "");
	fake_hangs(w.at_b);
	pass_ms(0);
	assert_int_equal(instance_health(w.a), HEALTH_DOWN);
	pass_ms(1000); /* the other one did not answer in time */
	assert_int_equal(instance_health(w.b), HEALTH_DOWN);
	assert_true(health_known());
	assert_int_equal(health_up_count(), 0);
	stop();
}

static void a_probe_reads_what_a_heartbeat_does_not_on_its_own_connection(void **state)
{
	const struct call *call;

	(void)state;
	start(&usual);
	pass_ms(0);
	call = fake_last(w.at_a);
	assert_non_null(call);
	assert_string_equal(call->method, "GET");
	assert_string_equal(call->target, "/api/v2/tenants/default_tenant");
	assert_true(call->alone);
	assert_int_equal(call->timeout, 1000);
	stop();
}

static void a_404_proves_the_data_path_and_a_401_does_not(void **state)
{
	(void)state;
	start(&usual);
	fake_answers(w.at_a, 404, "");
	fake_answers(w.at_b, 401, "");
	pass_ms(0);
	assert_true(instance_up(w.a));
	assert_int_equal(instance_health(w.b), HEALTH_DOWN);
	assert_string_equal(instance_figures(w.b).reason, "probe: HTTP 401");
	stop();
}

static void an_instance_that_is_well_is_asked_once_an_interval(void **state)
{
	uint64_t before;

	(void)state;
	start_up();
	before = fake_calls(w.at_a);
	pass_ms(20000);
	assert_in_range(fake_calls(w.at_a) - before, 18, 23);
	assert_int_equal(w.changes, 0);
	stop();
}

static void failed_probes_in_a_row_take_it_down(void **state)
{
	uint64_t before;

	(void)state;
	start_up();
	fake_answers(w.at_a, 500, "");
	before = fake_calls(w.at_a);
	until(w.a, HEALTH_DOWN, 1500);
	assert_int_equal(fake_calls(w.at_a) - before, 2);
	pass_ms(0);
	assert_int_equal(w.changes, 1);
	assert_int_equal(w.was, HEALTH_UP);
	assert_true(instance_up(w.b));
	assert_string_equal(instance_figures(w.a).reason, "probe: HTTP 500");
	assert_int_equal(instance_figures(w.a).consecutive_failures, 2);
	stop();
}

static void one_failed_probe_between_good_ones_changes_nothing(void **state)
{
	(void)state;
	start_up();
	for (int i = 0; i < 5; i++) {
		uint64_t before = fake_calls(w.at_a);

		fake_answers(w.at_a, 500, "");
		while (fake_calls(w.at_a) == before)
			pass_ms(1);
		fake_answers(w.at_a, 200, "{}");
		pass_ms(300);
		assert_int_equal(instance_figures(w.a).consecutive_failures, 0);
	}
	assert_true(instance_up(w.a));
	assert_int_equal(w.changes, 0);
	stop();
}

static void a_hanging_instance_is_down_within_its_timeouts(void **state)
{
	(void)state;
	start_up();
	fake_hangs(w.at_a);
	/* the rest of an interval, and two probes without an answer */
	assert_in_range(until(w.a, HEALTH_DOWN, 3300), 2000, 3200);
	stop();
}

static void after_a_failed_call_probes_come_at_once_and_fast(void **state)
{
	uint64_t before;

	(void)state;
	start_up();
	pass_ms(300);
	fake_answers(w.at_a, 500, "");
	before = fake_calls(w.at_a);
	health_report(w.a, SIGNAL_BROKEN, "reset");
	assert_true(instance_up(w.a)); /* failed calls alone prove nothing */
	pass_ms(200);
	assert_int_equal(fake_calls(w.at_a) - before, 1);
	assert_in_range(until(w.a, HEALTH_DOWN, 1000), 0, 300);
	stop();
}

static void a_good_probe_settles_the_doubt(void **state)
{
	uint64_t before;

	(void)state;
	start_up();
	pass_ms(300);
	before = fake_calls(w.at_a);
	health_report(w.a, SIGNAL_TIMED_OUT, "");
	pass_ms(850); /* the good one at once, and then no more for an interval */
	assert_int_equal(fake_calls(w.at_a) - before, 1);
	assert_true(instance_up(w.a));
	stop();
}

static void a_probe_begun_before_the_doubt_does_not_settle_it(void **state)
{
	uint64_t before;

	(void)state;
	start_up();
	fake_hangs(w.at_a);
	while (fake_open(w.at_a) == 0)
		pass_ms(1);
	before = fake_calls(w.at_a);
	health_report(w.a, SIGNAL_ERROR_5XX, "HTTP 500");
	fake_reply(w.at_a, 200, "{}");
	pass_ms(300);
	assert_int_equal(fake_calls(w.at_a) - before, 1);
	stop();
}

static void a_doubt_that_comes_up_again_needs_another_probe(void **state)
{
	uint64_t before;

	(void)state;
	start_up();
	pass_ms(300);
	fake_hangs(w.at_a);
	before = fake_calls(w.at_a);
	health_report(w.a, SIGNAL_BROKEN, "");
	pass_ms(10);
	health_report(w.a, SIGNAL_BROKEN, "");
	fake_reply(w.at_a, 200, "{}");
	pass_ms(300);
	assert_int_equal(fake_calls(w.at_a) - before, 2);
	stop();
}

static void a_probe_that_was_stopped_is_no_verdict(void **state)
{
	(void)state;
	start_up();
	fake_hangs(w.at_a);
	while (fake_open(w.at_a) == 0)
		pass_ms(1);
	fake_fail(w.at_a, STATUS_STOPPED, "");
	pass_ms(0);
	assert_int_equal(instance_figures(w.a).consecutive_failures, 0);
	stop();
}

static void errors_without_end_do_not_make_probes_without_end(void **state)
{
	uint64_t before;

	(void)state;
	start_up();
	before = fake_calls(w.at_a);
	for (int i = 0; i < 1000; i++) {
		health_report(w.a, SIGNAL_ERROR_5XX, "HTTP 500");
		pass_ms(1);
	}
	assert_in_range(fake_calls(w.at_a) - before, 3, 6);
	assert_true(instance_up(w.a)); /* its probes are good */
	assert_int_equal(w.changes, 0);
	stop();
}

static void a_refused_connection_takes_it_down_at_once(void **state)
{
	(void)state;
	start_up();
	fake_fails(w.at_a, STATUS_REFUSED, "");
	health_report(w.a, SIGNAL_REFUSED, "");
	assert_int_equal(instance_health(w.a), HEALTH_DOWN);
	assert_int_equal(fake_aborts(w.at_a), 1);
	assert_string_equal(instance_figures(w.a).reason, "connection refused");
	stop();
}

static void a_refused_probe_takes_it_down_at_once(void **state)
{
	uint64_t before;

	(void)state;
	start_up();
	before = fake_calls(w.at_a);
	fake_fails(w.at_a, STATUS_REFUSED, "a.test");
	until(w.a, HEALTH_DOWN, 1200);
	assert_int_equal(fake_calls(w.at_a) - before, 1);
	assert_string_equal(instance_figures(w.a).reason,
	                    "probe: connection refused: a.test");
	stop();
}

static void the_last_one_goes_down_too_when_nobody_accepts_there(void **state)
{
	(void)state;
	start_up();
	health_report(w.a, SIGNAL_REFUSED, "");
	health_report(w.b, SIGNAL_REFUSED, "");
	assert_int_equal(health_up_count(), 0);
	stop();
}

/* A listener that begins a call on the instance it hears of. */
static struct op *started_by_listener;

static void on_ended(void *arg, const struct reply *reply)
{
	*(enum status *)arg = reply->status;
}

static enum status listeners_call = STATUS_OK;

static void on_change_call(struct instance *in, enum health was, void *arg)
{
	struct call call = {.method = "GET", .target = "/x", .timeout = 60000};

	(void)was;
	(void)arg;
	if (instance_health(in) == HEALTH_DOWN)
		upstream_call(instance_upstream(in), &call, on_ended, &listeners_call,
		              &started_by_listener);
}

static void what_hangs_on_it_ends_and_what_a_listener_begins_does_not(void **state)
{
	struct call call = {.method = "POST", .target = "/x", .timeout = 60000};
	enum status end = STATUS_OK;
	struct op *slot = NULL;

	(void)state;
	start_up();
	health_on_change(on_change_call, NULL);
	fake_hangs(w.at_a);
	upstream_call(w.at_a, &call, on_ended, &end, &slot);
	health_report(w.a, SIGNAL_REFUSED, "");
	assert_non_null(slot); /* told from the loop, not from inside the report */
	assert_int_equal(w.changes, 0);
	pass_ms(0);
	assert_null(slot);
	assert_int_equal(end, STATUS_STOPPED);
	assert_int_equal(w.changes, 1);
	assert_non_null(started_by_listener);
	op_cancel(&started_by_listener);
	stop();
}

static void a_restarted_server_is_back_within_a_second(void **state)
{
	(void)state;
	start_up();
	for (int after = 1; after < 20; after += 3) {
		fake_fails(w.at_a, STATUS_REFUSED, "");
		health_report(w.a, SIGNAL_REFUSED, "");
		pass_ms((msec)after * 1000);
		assert_int_equal(instance_health(w.a), HEALTH_DOWN);
		fake_answers(w.at_a, 200, "{}");
		assert_in_range(until(w.a, HEALTH_UP, 2000), 200, 850);
	}
	stop();
}

static void good_probes_in_a_row_are_needed_to_come_up(void **state)
{
	uint64_t before;

	(void)state;
	start_up();
	pass_ms(30000); /* many good ones, which do not count later */
	before = fake_calls(w.at_a);
	health_report(w.a, SIGNAL_REFUSED, "");
	while (fake_calls(w.at_a) == before)
		pass_ms(1);
	assert_int_equal(instance_health(w.a), HEALTH_DOWN);
	until(w.a, HEALTH_UP, 500);
	assert_int_equal(fake_calls(w.at_a) - before, 2);
	stop();
}

static void traffic_alone_does_not_bring_it_up(void **state)
{
	(void)state;
	start_up();
	fake_fails(w.at_a, STATUS_BROKEN, "");
	health_report(w.a, SIGNAL_REFUSED, "");
	for (int i = 0; i < 100; i++)
		health_report(w.a, SIGNAL_ANSWERED, "");
	pass_ms(3000);
	assert_int_equal(instance_health(w.a), HEALTH_DOWN);
	stop();
}

static void one_that_stays_down_is_asked_less_often(void **state)
{
	struct conf slow = usual;
	uint64_t before;

	(void)state;
	slow.check_interval = 5000;
	start(&slow);
	fake_answers(w.at_b, 200, "{}");
	fake_fails(w.at_a, STATUS_REFUSED, "");
	pass_ms(0);
	before = fake_calls(w.at_a);
	pass_ms(20000);
	assert_in_range(fake_calls(w.at_a) - before, 36, 45);
	pass_ms(15000);
	before = fake_calls(w.at_a);
	pass_ms(20000);
	assert_in_range(fake_calls(w.at_a) - before, 3, 5);
	stop();
}

static void each_change_is_logged_with_its_reason(void **state)
{
	char line[1024] = "";
	int fds[2], real = dup(2);

	(void)state;
	start_up();
	log_start(LOG_INFO, LOG_FORMAT_LOGFMT, NULL);
	assert_int_equal(pipe(fds), 0);
	dup2(fds[1], 2);
	health_report(w.a, SIGNAL_REFUSED, "");
	dup2(real, 2);
	assert_true(read(fds[0], line, sizeof(line) - 1) > 0);
	assert_non_null(
	        strstr(line, "instance primary: up -> down (connection refused)"));
	close(fds[0]);
	close(fds[1]);
	close(real);
	stop();
}

static void on_all_probed(void *arg)
{
	++*(unsigned *)arg;
}

static void asked_to_probe_now_it_tells_when_all_have_answered_or_failed(void **state)
{
	struct op *slot = NULL;
	unsigned told = 0;
	uint64_t before;

	(void)state;
	start_up();
	pass_ms(300);
	fake_hangs(w.at_b);
	before = fake_calls(w.at_a);
	health_probe_now(on_all_probed, &told, &slot);
	pass_ms(500);
	assert_int_equal(fake_calls(w.at_a) - before, 1);
	assert_int_equal(told, 0);
	assert_non_null(slot);
	pass_ms(1000);
	assert_int_equal(told, 1);
	assert_null(slot);
	stop();
}

static void asked_twice_in_a_moment_it_answers_without_probing_again(void **state)
{
	struct op *slot = NULL;
	unsigned told = 0;
	uint64_t before;

	(void)state;
	start_up();
	pass_ms(300);
	health_probe_now(on_all_probed, &told, &slot);
	pass_ms(10);
	assert_int_equal(told, 1);
	before = fake_calls(w.at_a);
	health_probe_now(on_all_probed, &told, &slot);
	assert_int_equal(told, 1); /* never from inside the call */
	pass_ms(10);
	assert_int_equal(told, 2);
	assert_int_equal(fake_calls(w.at_a), before);
	stop();
}

static void who_walks_away_from_probe_now_is_not_told(void **state)
{
	struct op *slot = NULL;
	unsigned told = 0;

	(void)state;
	start_up();
	pass_ms(300);
	health_probe_now(on_all_probed, &told, &slot);
	op_cancel(&slot);
	pass_ms(2000);
	assert_int_equal(told, 0);
	stop();
}

static void the_token_is_sent_as_bearer_or_bare_under_its_own_header(void **state)
{
	struct conf conf = usual;

	(void)state;
	start(&conf);
	assert_string_equal(fake_auth_header(w.at_a), "");
	stop();
	conf.upstream_token = token;
	start(&conf);
	assert_string_equal(fake_auth_header(w.at_a), "Authorization: Bearer s3cret");
	stop();
	conf.upstream_auth_header = token_header;
	start(&conf);
	assert_string_equal(fake_auth_header(w.at_b), "X-Chroma-Token: s3cret");
	stop();
}

static bool may(const struct instance *in, void *arg)
{
	assert_true(instance_up(in)); /* only asked about those that are up */
	return arg == NULL || in == arg;
}

static void reads_are_shared_as_the_ratio_says(void **state)
{
	unsigned to_b = 0;

	(void)state;
	start_up();
	for (int i = 0; i < 2000; i++)
		to_b += health_choose_read(may, NULL) == w.b ? 1 : 0;
	assert_in_range(to_b, 1500, 1700);
	stop();
}

static void reads_go_only_where_they_may(void **state)
{
	(void)state;
	start_up();
	for (int i = 0; i < 50; i++)
		assert_ptr_equal(health_choose_read(may, w.a), w.a);
	health_report(w.b, SIGNAL_REFUSED, "");
	for (int i = 0; i < 50; i++)
		assert_ptr_equal(health_choose_read(may, NULL), w.a);
	assert_null(health_choose_read(may, w.b));
	health_report(w.a, SIGNAL_REFUSED, "");
	assert_null(health_choose_read(may, NULL));
	stop();
}

static void among_replicas_the_one_with_fewer_calls_under_way_is_read(void **state)
{
	static char c_name[] = "third", c_url[] = "c.test:8000";
	struct conf conf = usual;

	(void)state;
	conf.instances[2] = (struct conf_instance){c_name, c_url};
	conf.n_instances = 3;
	conf.read_replica_ratio = 1.0;
	start(&conf);
	for (unsigned i = 0; i < 3; i++)
		fake_answers(instance_upstream(health_instance(i)), 200, "{}");
	pass_ms(0);
	fake_load(w.at_b, 5);
	for (int i = 0; i < 20; i++)
		assert_ptr_equal(health_choose_read(may, NULL), health_instance(2));
	stop();
}

static void requests_are_counted_by_kind_and_outcome(void **state)
{
	struct instance_figures f;

	(void)state;
	start_up();
	instance_count(w.a, true, true);
	instance_count(w.a, true, false);
	instance_count(w.a, false, true);
	f = instance_figures(w.a);
	assert_int_equal(f.requests, 3);
	assert_int_equal(f.reads, 2);
	assert_int_equal(f.writes, 1);
	assert_int_equal(f.successes, 2);
	assert_int_equal(f.failures, 1);
	assert_int_equal(instance_figures(w.b).requests, 0);
	stop();
}

static void the_end_of_a_call_is_read_as_a_signal(void **state)
{
	static const struct {
		enum status status;
		int http;
		enum health_signal signal;
	} list[] = {
	        {STATUS_OK, 200, SIGNAL_ANSWERED},
	        {STATUS_OK, 422, SIGNAL_ANSWERED},
	        {STATUS_OK, 500, SIGNAL_ERROR_5XX},
	        {STATUS_OK, 501, SIGNAL_ANSWERED},
	        {STATUS_OK, 503, SIGNAL_ERROR_5XX},
	        {STATUS_REFUSED, 0, SIGNAL_REFUSED},
	        {STATUS_BROKEN, 0, SIGNAL_BROKEN},
	        {STATUS_BAD_REPLY, 0, SIGNAL_BROKEN},
	        {STATUS_NOT_RESOLVED, 0, SIGNAL_BROKEN},
	        {STATUS_TLS_FAILED, 0, SIGNAL_BROKEN},
	        {STATUS_TIMED_OUT, 0, SIGNAL_TIMED_OUT},
	        {STATUS_STOPPED, 0, SIGNAL_ANSWERED},
	        {STATUS_TOO_LARGE, 0, SIGNAL_ANSWERED},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		struct reply reply = {.status = list[i].status, .http = list[i].http};

		assert_int_equal(health_signal_of(&reply), list[i].signal);
	}
}

static void reads_of_one_key_go_to_one_instance(void **state)
{
	unsigned to_b = 0;

	(void)state;
	start_up();
	w.conf.read_affinity = true;
	for (uint64_t key = 1; key <= 1000; key++) {
		struct instance *in = health_choose_read_of(key, may, NULL);

		to_b += in == w.b;
		for (unsigned k = 0; k < 5; k++)
			assert_ptr_equal(health_choose_read_of(key, may, NULL), in);
		assert_ptr_equal(health_choose_read_of(key, may, w.a), w.a);
		assert_ptr_equal(health_choose_read_of(key, may, w.b), w.b);
	}
	assert_in_range(to_b, 750, 850);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(one_good_probe_is_enough_for_the_first_verdict),
	        cmocka_unit_test(one_failed_probe_is_enough_for_the_first_verdict),
	        cmocka_unit_test(
	                a_probe_reads_what_a_heartbeat_does_not_on_its_own_connection),
	        cmocka_unit_test(a_404_proves_the_data_path_and_a_401_does_not),
	        cmocka_unit_test(an_instance_that_is_well_is_asked_once_an_interval),
	        cmocka_unit_test(failed_probes_in_a_row_take_it_down),
	        cmocka_unit_test(one_failed_probe_between_good_ones_changes_nothing),
	        cmocka_unit_test(a_hanging_instance_is_down_within_its_timeouts),
	        cmocka_unit_test(after_a_failed_call_probes_come_at_once_and_fast),
	        cmocka_unit_test(a_good_probe_settles_the_doubt),
	        cmocka_unit_test(a_probe_begun_before_the_doubt_does_not_settle_it),
	        cmocka_unit_test(a_doubt_that_comes_up_again_needs_another_probe),
	        cmocka_unit_test(a_probe_that_was_stopped_is_no_verdict),
	        cmocka_unit_test(errors_without_end_do_not_make_probes_without_end),
	        cmocka_unit_test(a_refused_connection_takes_it_down_at_once),
	        cmocka_unit_test(a_refused_probe_takes_it_down_at_once),
	        cmocka_unit_test(the_last_one_goes_down_too_when_nobody_accepts_there),
	        cmocka_unit_test(
	                what_hangs_on_it_ends_and_what_a_listener_begins_does_not),
	        cmocka_unit_test(a_restarted_server_is_back_within_a_second),
	        cmocka_unit_test(good_probes_in_a_row_are_needed_to_come_up),
	        cmocka_unit_test(traffic_alone_does_not_bring_it_up),
	        cmocka_unit_test(one_that_stays_down_is_asked_less_often),
	        cmocka_unit_test(each_change_is_logged_with_its_reason),
	        cmocka_unit_test(
	                asked_to_probe_now_it_tells_when_all_have_answered_or_failed),
	        cmocka_unit_test(
	                asked_twice_in_a_moment_it_answers_without_probing_again),
	        cmocka_unit_test(who_walks_away_from_probe_now_is_not_told),
	        cmocka_unit_test(
	                the_token_is_sent_as_bearer_or_bare_under_its_own_header),
	        cmocka_unit_test(reads_are_shared_as_the_ratio_says),
	        cmocka_unit_test(reads_go_only_where_they_may),
	        cmocka_unit_test(reads_of_one_key_go_to_one_instance),
	        cmocka_unit_test(
	                among_replicas_the_one_with_fewer_calls_under_way_is_read),
	        cmocka_unit_test(requests_are_counted_by_kind_and_outcome),
	        cmocka_unit_test(the_end_of_a_call_is_read_as_a_signal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
