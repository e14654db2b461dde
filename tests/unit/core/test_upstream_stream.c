/* tests/unit/core/test_upstream_stream.c - replies handed on piece by piece, to receivers
 * that are quick, slow, or walk away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/core/instance.h"

#define BIG (20u << 20)
#define HOLD (256u * 1024u)

static struct instance in;
static struct upstream *up;
static struct upstream_options options;
static const char *script;
static struct blob *big;

static void serve_script(struct guest *g, const struct request *r)
{
	(void)r;
	guest_say(g, script);
}

static void serve_script_and_leave(struct guest *g, const struct request *r)
{
	(void)r;
	guest_say_and_leave(g, script);
}

static void serve_big(struct guest *g, const struct request *r)
{
	struct evbuffer *out = bufferevent_get_output(g->bev);

	if (strcmp(r->head->target, "/chunked") == 0) {
		guest_say(g, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
		for (size_t at = 0; at < BIG; at += BIG / 64) {
			evbuffer_add_printf(out, "%x\r\n", BIG / 64);
			evbuffer_add_reference(out, blob_bytes(big) + at, BIG / 64, NULL,
			                       NULL);
			guest_say(g, "\r\n");
		}
		guest_say(g, "0\r\n\r\n");
		return;
	}
	evbuffer_add_printf(out, "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n", BIG);
	evbuffer_add_reference(out, blob_bytes(big), BIG, NULL, NULL);
}

static void reach(void)
{
	static char url[64];

	upstream_destroy(&up);
	snprintf(url, sizeof(url), "127.0.0.1:%u", in.port);
	options.url = url;
	up = upstream_create(&options);
}

static int setup(void **state)
{
	(void)state;
	loop_start();
	dns_start();
	instance_start(&in, serve_script);
	options = (struct upstream_options){
	        .max_connections = 4, .connect_timeout = 1000, .idle_timeout = 5000};
	reach();
	script = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	upstream_destroy(&up);
	event_base_loop(loop_base(), EVLOOP_NONBLOCK);
	dns_stop();
	instance_stop(&in);
	loop_stop();
	blob_unref(&big);
	return blob_total() == 0 ? 0 : -1;
}

/* ---- a receiver ---- */

enum manner {
	TAKES_ALL,
	TAKES_NOTHING,
	CANCELS_AT_HEAD,
	CANCELS_AT_DATA,
	DESTROYS_AT_HEAD,
	DESTROYS_AT_DATA,
	ABORTS_AT_DATA,
	TAKES_HALF
};

static struct receiver {
	struct op *slot;
	enum manner manner;
	int heads, ended, http, offers;
	struct text data;
	size_t held, most_held;
	enum status status;
	bool sent;
} rx;

static void on_head(void *arg, struct reply_head *head)
{
	assert_ptr_equal(arg, &rx);
	assert_int_equal(rx.heads, 0);
	assert_int_equal(rx.offers, 0);
	rx.heads++;
	rx.http = head->http;
	if (rx.manner == CANCELS_AT_HEAD)
		op_cancel(&rx.slot);
	if (rx.manner == DESTROYS_AT_HEAD)
		upstream_destroy(&up);
}

static void take(struct evbuffer *data, size_t len)
{
	text_reserve(&rx.data, len);
	assert_int_equal(evbuffer_remove(data, rx.data.s + rx.data.len, len), len);
	rx.data.len += len;
	rx.data.s[rx.data.len] = '\0';
}

static void on_data(void *arg, struct evbuffer *data)
{
	size_t len = evbuffer_get_length(data);

	assert_ptr_equal(arg, &rx);
	assert_int_equal(rx.heads, 1);
	assert_int_equal(rx.ended, 0);
	assert_true(len > 0);
	rx.offers++;
	if (rx.manner == TAKES_ALL)
		take(data, len);
	if (rx.manner == TAKES_HALF)
		take(data, (len + 1) / 2);
	if (rx.manner == CANCELS_AT_DATA)
		op_cancel(&rx.slot);
	if (rx.manner == DESTROYS_AT_DATA)
		upstream_destroy(&up);
	if (rx.manner == ABORTS_AT_DATA)
		upstream_abort(up, "no more");
	rx.held = rx.manner <= TAKES_NOTHING || rx.manner == TAKES_HALF
	                  ? evbuffer_get_length(data)
	                  : 0;
	rx.most_held = rx.held > rx.most_held ? rx.held : rx.most_held;
}

static void on_end(void *arg, const struct reply *reply)
{
	assert_ptr_equal(arg, &rx);
	assert_null(rx.slot);
	assert_null(reply->body);
	assert_int_equal(reply->headers->count, 0);
	rx.ended++;
	rx.status = reply->status;
	rx.sent = reply->sent;
}

static const struct upstream_receiver receiver = {on_head, on_data, on_end};

static const struct call get = {.method = "GET", .target = "/", .timeout = 3000};

static void start(enum manner manner, const struct call *call)
{
	text_clear(&rx.data);
	rx = (struct receiver){.manner = manner};
	upstream_stream(up, call, &receiver, &rx, &rx.slot);
	assert_int_equal(rx.heads + rx.ended, 0);
}

static void finish(void)
{
	assert_true(run_until(&rx.ended));
	assert_int_equal(rx.ended, 1);
}

static void forget(void)
{
	op_cancel(&rx.slot);
	text_clear(&rx.data);
}

/* ---- the tests ---- */

static void head_then_data_then_end(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		start(TAKES_ALL, &get);
		finish();
		assert_int_equal(rx.status, STATUS_OK);
		assert_true(rx.sent);
		assert_int_equal(rx.http, 200);
		assert_string_equal(text_string(&rx.data), "hello");
	}
	assert_int_equal(in.accepted, 1);
	forget();
}

static void a_reply_without_a_body_is_a_head_and_an_end(void **state)
{
	(void)state;
	script = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
	start(TAKES_ALL, &get);
	finish();
	assert_int_equal(rx.status, STATUS_OK);
	assert_int_equal(rx.http, 204);
	assert_int_equal(rx.offers, 0);
	forget();
}

static void a_reply_may_last_until_the_connection_closes(void **state)
{
	(void)state;
	in.serve = serve_script_and_leave;
	script = "HTTP/1.1 200 OK\r\n\r\nall of it";
	start(TAKES_ALL, &get);
	finish();
	assert_int_equal(rx.status, STATUS_OK);
	assert_string_equal(text_string(&rx.data), "all of it");
	forget();
}

static void assert_all_came(void)
{
	assert_int_equal(rx.status, STATUS_OK);
	assert_int_equal(rx.data.len, BIG);
	assert_memory_equal(rx.data.s, blob_bytes(big), BIG);
}

static void twenty_megabytes_come_through(void **state)
{
	struct call chunked = get;

	(void)state;
	big = big_body(BIG);
	in.serve = serve_big;
	start(TAKES_ALL, &get);
	finish();
	assert_all_came();
	chunked.target = "/chunked";
	start(TAKES_ALL, &chunked);
	finish();
	assert_all_came();
	assert_int_equal(in.accepted, 1);
	forget();
}

static void a_slow_receiver_stops_the_instance(void **state)
{
	struct call hasty = get;
	size_t held;
	int offers;

	(void)state;
	big = big_body(BIG);
	in.serve = serve_big;
	hasty.timeout = 200; /* held-back data does not count as silence */
	start(TAKES_NOTHING, &hasty);
	run_for(500);
	assert_int_equal(rx.ended, 0);
	assert_true(rx.held > HOLD);
	assert_true(rx.most_held <= HOLD + 65536);
	held = rx.held;
	offers = rx.offers;

	upstream_resume(rx.slot); /* offered again, from the loop */
	assert_int_equal(rx.offers, offers);
	run_for(20);
	assert_int_equal(rx.offers, offers + 1);
	assert_int_equal(rx.held, held);

	rx.manner = TAKES_ALL;
	upstream_resume(rx.slot);
	finish();
	assert_all_came();
	assert_true(rx.most_held <= HOLD + 65536);
	run_for(10);
	assert_int_equal(upstream_figures(up).idle, 1);
	forget();
}

static void the_end_waits_for_the_receiver_but_the_connection_does_not(void **state)
{
	struct caller c = {0};
	struct call hasty = get;

	(void)state;
	hasty.timeout = 150;
	start(TAKES_NOTHING, &hasty);
	run_for(300);
	assert_int_equal(rx.ended, 0);
	assert_int_equal(rx.held, 5);
	assert_int_equal(upstream_figures(up).idle, 1);

	upstream_call(up, &get, on_reply, &c, &c.slot);
	assert_true(run_until(&c.told));
	assert_true(caller_heard(&c, "hello"));
	assert_int_equal(in.accepted, 1);
	caller_clear(&c);

	rx.manner = TAKES_HALF;
	for (int i = 0; i < 5 && rx.ended == 0; i++) {
		if (rx.slot != NULL)
			upstream_resume(rx.slot);
		run_for(5);
	}
	assert_int_equal(rx.ended, 1);
	assert_int_equal(rx.status, STATUS_OK);
	assert_string_equal(text_string(&rx.data), "hello");
	forget();
}

static void silence_in_the_middle_is_timed_out(void **state)
{
	struct call hasty = get;

	(void)state;
	script = "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello";
	hasty.timeout = 150;
	start(TAKES_ALL, &hasty);
	finish();
	assert_int_equal(rx.status, STATUS_TIMED_OUT);
	assert_true(rx.sent);
	assert_int_equal(upstream_figures(up).open, 0);
	forget();
}

static struct timer drip;
static int drops;

static void on_drip(void *arg)
{
	guest_say(arg, "x");
	if (++drops < 10)
		timer_start(&drip, 80, on_drip, arg);
}

static void serve_drips(struct guest *g, const struct request *r)
{
	(void)r;
	guest_say(g, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
	drops = 0;
	timer_start(&drip, 80, on_drip, g);
}

static void progress_prolongs_a_stream(void **state)
{
	struct call hasty = get;
	msec before = clock_ms();

	(void)state;
	in.serve = serve_drips;
	hasty.timeout = 600;
	start(TAKES_ALL, &hasty);
	finish();
	timer_stop(&drip);
	assert_int_equal(rx.status, STATUS_OK);
	assert_string_equal(text_string(&rx.data), "xxxxxxxxxx");
	assert_true(clock_ms() - before >= 700);
	forget();
}

static void half_a_stream_is_broken(void **state)
{
	(void)state;
	in.serve = serve_script_and_leave;
	script = "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello";
	start(TAKES_ALL, &get);
	finish();
	assert_int_equal(rx.status, STATUS_BROKEN);
	assert_int_equal(rx.heads, 1);
	script = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
	in.serve = serve_script;
	start(TAKES_ALL, &get);
	finish();
	assert_int_equal(rx.status, STATUS_BAD_REPLY);
	forget();
}

static void assert_cancelled(enum manner manner, int offers)
{
	start(manner, &get);
	run_for(50);
	assert_null(rx.slot);
	assert_int_equal(rx.heads, 1);
	assert_int_equal(rx.offers, offers);
	assert_int_equal(rx.ended, 0);
	forget();
}

static void a_receiver_may_cancel_inside_its_callbacks(void **state)
{
	(void)state;
	/* once with all of the reply there, once in the middle of it */
	assert_cancelled(CANCELS_AT_HEAD, 0);
	assert_cancelled(CANCELS_AT_DATA, 1);
	script = "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello";
	assert_cancelled(CANCELS_AT_HEAD, 0);
	assert_cancelled(CANCELS_AT_DATA, 1);
	big = big_body(BIG);
	in.serve = serve_big;
	assert_cancelled(CANCELS_AT_HEAD, 0);
	assert_cancelled(CANCELS_AT_DATA, 1);
}

static void assert_stopped(enum manner manner)
{
	if (up == NULL)
		reach();
	start(manner, &get);
	finish();
	assert_int_equal(rx.status, STATUS_STOPPED);
	assert_true(rx.sent);
	forget();
}

static void a_receiver_may_end_everything_inside_its_callbacks(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_stopped(DESTROYS_AT_HEAD);
		assert_stopped(DESTROYS_AT_DATA);
		assert_stopped(ABORTS_AT_DATA);
		script = "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello";
	}
}

static void cancelling_while_data_is_held_back_closes_the_connection(void **state)
{
	(void)state;
	big = big_body(BIG);
	in.serve = serve_big;
	start(TAKES_NOTHING, &get);
	run_for(100);
	assert_true(rx.held > HOLD);
	upstream_resume(rx.slot);
	op_cancel(&rx.slot); /* and the offer just asked for does not come */
	{
		int offers = rx.offers;

		run_for(50);
		assert_int_equal(rx.offers, offers);
	}
	assert_int_equal(upstream_figures(up).open, 0);
	assert_true(all_guests_have_left(&in));
	assert_int_equal(rx.ended, 0);
	forget();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	        TEST(head_then_data_then_end),
	        TEST(a_reply_without_a_body_is_a_head_and_an_end),
	        TEST(a_reply_may_last_until_the_connection_closes),
	        TEST(twenty_megabytes_come_through),
	        TEST(a_slow_receiver_stops_the_instance),
	        TEST(the_end_waits_for_the_receiver_but_the_connection_does_not),
	        TEST(silence_in_the_middle_is_timed_out),
	        TEST(progress_prolongs_a_stream),
	        TEST(half_a_stream_is_broken),
	        TEST(a_receiver_may_cancel_inside_its_callbacks),
	        TEST(a_receiver_may_end_everything_inside_its_callbacks),
	        TEST(cancelling_while_data_is_held_back_closes_the_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
