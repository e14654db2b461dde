/* tests/unit/core/test_upstream.c - calls over real sockets, with instances that behave
 * and instances that do not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <event2/dns.h>

#include "tests/unit/core/instance.h"

static struct instance in;
static struct upstream *up;
static struct upstream_options options;
static const char *script; /* what serve_script() says */

/* A server of ours rather than the machine's: nothing leaves it, and names are known. */
int evdns_base_resolv_conf_parse(struct evdns_base *base, int flags, const char *file)
{
	char path[] = "/tmp/test_upstream_hosts_XXXXXX";
	static const char hosts[] = "127.0.0.2 two.test\n127.0.0.1 two.test\n";
	int fd = mkstemp(path);

	(void)flags;
	(void)file;
	assert_int_equal(write(fd, hosts, sizeof(hosts) - 1), sizeof(hosts) - 1);
	close(fd);
	evdns_base_load_hosts(base, path);
	unlink(path);
	/* Nobody answers there. */
	return evdns_base_nameserver_ip_add(base, "127.0.0.1:9");
}

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

static void serve_nothing(struct guest *g, const struct request *r)
{
	(void)g;
	(void)r;
}

static void leave(struct guest *g, const struct request *r)
{
	(void)r;
	guest_leave(g);
}

static void serve_echo(struct guest *g, const struct request *r)
{
	struct evbuffer *out = bufferevent_get_output(g->bev);

	evbuffer_add_printf(out, "HTTP/1.1 200 OK\r\nContent-Length: %llu\r\n\r\n",
	                    (unsigned long long)r->head->content_length);
	evbuffer_remove_buffer(r->body, out, (size_t)r->head->content_length);
}

static void reach(const char *scheme_and_host, uint16_t port)
{
	static char url[64];

	upstream_destroy(&up);
	snprintf(url, sizeof(url), "%s:%u", scheme_and_host, port);
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
	reach("127.0.0.1", in.port);
	script = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
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
	return blob_total() == 0 ? 0 : -1;
}

static const struct call get = {.method = "GET", .target = "/a?b=c", .timeout = 3000};

static void start(struct caller *c, const struct call *call)
{
	upstream_call(up, call, on_reply, c, &c->slot);
	assert_int_equal(c->told, 0); /* never from inside */
	assert_non_null(c->slot);
}

static void call_and_wait(struct caller *c, const struct call *call)
{
	caller_clear(c);
	start(c, call);
	assert_true(run_until(&c->told));
	assert_int_equal(c->told, 1);
	assert_null(c->slot);
}

static void get_and_wait(struct caller *c)
{
	call_and_wait(c, &get);
}

static void assert_failed(struct caller *c, enum status status, bool sent)
{
	assert_int_equal(c->status, status);
	assert_int_equal(c->sent, sent);
	assert_int_equal(c->http, 0);
	assert_int_equal(c->headers.count, 0);
	assert_null(c->body);
	assert_true(strlen(c->detail) > 0);
	caller_clear(c);
}

static void assert_ok(struct caller *c, const char *body)
{
	assert_int_equal(c->status, STATUS_OK);
	assert_true(c->sent);
	assert_int_equal(c->http, 200);
	assert_true(caller_heard(c, body));
	caller_clear(c);
}

/* ---- replies as they should be ---- */

static void a_reply_is_handed_over_whole(void **state)
{
	struct caller c = {0};

	(void)state;
	script = "HTTP/1.1 201 Created\r\nX-A: b\r\nContent-Length: 5\r\n\r\nhello";
	get_and_wait(&c);
	assert_int_equal(c.status, STATUS_OK);
	assert_int_equal(c.http, 201);
	assert_true(c.sent);
	assert_string_equal(c.detail, "");
	assert_string_equal(headers_get(&c.headers, "x-a"), "b");
	assert_true(caller_heard(&c, "hello"));
	caller_clear(&c);
}

static void the_connection_is_used_again(void **state)
{
	struct caller c = {0};
	struct upstream_figures f;

	(void)state;
	for (int i = 0; i < 5; i++) {
		get_and_wait(&c);
		assert_ok(&c, "ok");
	}
	f = upstream_figures(up);
	assert_int_equal(in.accepted, 1);
	assert_int_equal(f.calls, 5);
	assert_int_equal(f.failures, 0);
	assert_int_equal(f.connects, 1);
	assert_int_equal(f.reused, 4);
	assert_int_equal(f.open, 1);
	assert_int_equal(f.idle, 1);
}

static void the_connection_used_last_is_used_first(void **state)
{
	struct caller c[3] = {{0}};

	(void)state;
	for (int i = 0; i < 3; i++)
		start(&c[i], &get);
	for (int i = 0; i < 3; i++) {
		assert_true(run_until(&c[i].told));
		assert_ok(&c[i], "ok");
	}
	assert_int_equal(in.accepted, 3);
	for (int i = 0; i < 4; i++) {
		get_and_wait(&c[0]);
		assert_ok(&c[0], "ok");
	}
	/* One of them has served all of the later calls. */
	{
		struct guest *g;
		int most = 0;

		TAILQ_FOREACH (g, &in.guests, link)
			most = g->requests > most ? g->requests : most;
		assert_int_equal(most, 5);
	}
}

static void chunks_are_put_together(void **state)
{
	struct caller c = {0};

	(void)state;
	script = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	         "5;ext=1\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\nTrailer: x\r\n\r\n";
	for (int i = 0; i < 2; i++) {
		get_and_wait(&c);
		assert_null(headers_get(&c.headers, "Transfer-Encoding"));
		assert_ok(&c, "hello world");
	}
	assert_int_equal(in.accepted, 1);
}

static void a_reply_may_last_until_the_connection_closes(void **state)
{
	struct caller c = {0};

	(void)state;
	in.serve = serve_script_and_leave;
	script = "HTTP/1.1 200 OK\r\n\r\nall of it";
	get_and_wait(&c);
	assert_ok(&c, "all of it");
	assert_int_equal(upstream_figures(up).open, 0);
}

static void replies_without_a_body_end_at_their_head(void **state)
{
	static const char *const scripts[] = {
	        "HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n\r\n",
	        "HTTP/1.1 204 No Content\r\n\r\n",
	        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
	};
	struct call head = get;
	struct caller c = {0};

	(void)state;
	for (int i = 0; i < 3; i++) {
		script = scripts[i];
		get_and_wait(&c);
		assert_int_equal(c.status, STATUS_OK);
		assert_null(c.body);
	}
	head.method = "HEAD";
	script = "HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n";
	call_and_wait(&c, &head);
	assert_string_equal(headers_get(&c.headers, "Content-Length"), "77");
	assert_ok(&c, "");
	assert_int_equal(in.accepted, 1);
}

static void interim_heads_are_skipped(void **state)
{
	struct caller c = {0};

	(void)state;
	script =
	        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
	        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
	get_and_wait(&c);
	assert_null(headers_get(&c.headers, "Link"));
	assert_ok(&c, "ok");
	get_and_wait(&c);
	assert_ok(&c, "ok");
	assert_int_equal(in.accepted, 1);
}

struct slow {
	struct timer timer;
	struct guest *guest;
	size_t said;
};

static struct slow slow;

static void on_slow(void *arg)
{
	(void)arg;
	bufferevent_write(slow.guest->bev, script + slow.said++, 1);
	if (script[slow.said] != '\0')
		timer_start(&slow.timer, 1, on_slow, NULL);
}

static void serve_byte_by_byte(struct guest *g, const struct request *r)
{
	(void)r;
	timer_stop(&slow.timer);
	slow = (struct slow){.guest = g};
	timer_start(&slow.timer, 0, on_slow, NULL);
}

static void a_reply_may_come_byte_by_byte(void **state)
{
	struct caller c = {0};

	(void)state;
	in.serve = serve_byte_by_byte;
	script = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"
	         "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
	get_and_wait(&c);
	assert_ok(&c, "abc");
	script = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd";
	get_and_wait(&c);
	assert_ok(&c, "abcd");
	timer_stop(&slow.timer);
	assert_int_equal(in.accepted, 1);
}

/* ---- what is sent ---- */

static void the_request_is_what_was_asked_for(void **state)
{
	struct blob *body = blob_create("{}", 2);
	struct call post = {
	        .method = "POST", .target = "/x", .body = body, .timeout = 3000};
	struct headers h = {0};
	struct caller c = {0};
	char expected[512];

	(void)state;
	options.auth_header = "X-Token";
	options.auth_value = "secret";
	reach("http://127.0.0.1", in.port);
	headers_add(&h, "Host", "elsewhere");
	headers_add(&h, "Content-Length", "99");
	headers_add(&h, "Connection", "keep-alive, X-Hop");
	headers_add(&h, "X-Hop", "1");
	headers_add(&h, "Transfer-Encoding", "chunked");
	headers_add(&h, "TE", "trailers");
	headers_add(&h, "Expect", "100-continue");
	headers_add(&h, "x-token", "of the client");
	headers_add(&h, "Accept", "*/*");
	post.headers = &h;
	call_and_wait(&c, &post);
	assert_ok(&c, "ok");
	snprintf(expected, sizeof(expected),
	         "POST /x HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nAccept: */*\r\n"
	         "X-Token: secret\r\nContent-Length: 2\r\n\r\n",
	         in.port);
	assert_string_equal(in.last.s, expected);
	headers_clear(&h);
	blob_unref(&body);
}

static void a_post_without_a_body_says_so(void **state)
{
	struct call post = {.method = "POST", .target = "/", .timeout = 3000};
	struct caller c = {0};

	(void)state;
	call_and_wait(&c, &post);
	assert_ok(&c, "ok");
	assert_non_null(strstr(in.last.s, "Content-Length: 0\r\n"));
	get_and_wait(&c);
	assert_ok(&c, "ok");
	assert_null(strstr(in.last.s, "Content-Length"));
}

static void fields_of_the_connection_stay_with_it(void **state)
{
	struct caller c = {0};

	(void)state;
	script = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=5\r\n"
	         "Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nX-End: 2\r\n\r\nok";
	get_and_wait(&c);
	assert_int_equal(c.headers.count, 2);
	assert_string_equal(headers_get(&c.headers, "X-End"), "2");
	assert_string_equal(headers_get(&c.headers, "Content-Length"), "2");
	assert_ok(&c, "ok");
}

static void each_connection_field_counts(void **state)
{
	struct caller c = {0};

	(void)state;
	script = "HTTP/1.1 200 OK\r\nX-Hop: 1\r\nConnection: keep-alive, X-Hop\r\n"
	         "Content-Length: 2\r\nConnection: x-other, Content-Length\r\n"
	         "X-End: 2\r\nX-Other: 3\r\nConnection:\r\n\r\nok";
	get_and_wait(&c);
	assert_int_equal(c.headers.count, 2);
	assert_string_equal(headers_get(&c.headers, "X-End"), "2");
	assert_string_equal(headers_get(&c.headers, "Content-Length"), "2");
	assert_ok(&c, "ok");
}

static void twenty_megabytes_go_both_ways(void **state)
{
	struct blob *body = big_body(20u << 20);
	struct call post = {
	        .method = "POST", .target = "/", .body = body, .timeout = 9000};
	struct caller c = {0};

	(void)state;
	in.serve = serve_echo;
	for (int i = 0; i < 2; i++) {
		call_and_wait(&c, &post);
		assert_int_equal(c.status, STATUS_OK);
		assert_true(same_bytes(c.body, body));
		assert_true(blob_total() <= 2 * (20u << 20));
		caller_clear(&c);
	}
	assert_int_equal(in.accepted, 1);
	blob_unref(&body);
}

/* ---- connections that are not used again ---- */

static void assert_each_has_its_own_connection(const char *reply)
{
	struct caller c = {0};

	script = reply;
	in.accepted = 0;
	for (int i = 1; i <= 2; i++) {
		get_and_wait(&c);
		assert_ok(&c, "ok");
		assert_int_equal(in.accepted, i);
		assert_int_equal(upstream_figures(up).open, 0);
	}
}

static void a_connection_to_be_closed_is_not_used_again(void **state)
{
	(void)state;
	assert_each_has_its_own_connection(
	        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
	assert_each_has_its_own_connection(
	        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok");
}

static void bytes_behind_a_reply_spoil_the_connection(void **state)
{
	(void)state;
	assert_each_has_its_own_connection(
	        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n");
	assert_each_has_its_own_connection("HTTP/1.1 200 OK\r\nTransfer-Encoding: "
	                                   "chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n\r\n");
}

static void a_byte_behind_a_long_reply_spoils_the_connection(void **state)
{
	const size_t len = 300000;
	struct text long_one = {0};
	struct caller c = {0};

	(void)state;
	for (int extra = 0; extra <= 1; extra++) {
		text_reset(&long_one);
		text_addf(&long_one, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
		          len);
		for (size_t i = 0; i < len + (size_t)extra; i++)
			text_addc(&long_one, 'x');
		script = long_one.s;
		get_and_wait(&c);
		assert_int_equal(c.status, STATUS_OK);
		assert_int_equal(blob_len(c.body), len);
		run_for(20);
		assert_int_equal(upstream_figures(up).open, 1 - extra);
	}
	caller_clear(&c);
	text_clear(&long_one);
}

static struct timer later;
static size_t late_bytes;

static void say_the_body_at_once(void *arg)
{
	struct guest *g = arg;
	char bytes[70001];

	memset(bytes, 'x', sizeof(bytes));
	/* past the buffers of libevent, which would cut it up */
	assert_int_equal(send(bufferevent_getfd(g->bev), bytes, late_bytes, 0),
	                 late_bytes);
}

static void serve_head_then_body(struct guest *g, const struct request *r)
{
	serve_script(g, r);
	if (strcmp(r->head->target, "/late") == 0)
		timer_start(&later, 30, say_the_body_at_once, g);
}

/* 70000 bytes were announced; somebody waits for the connection. */
static void call_twice_and_say(size_t bytes)
{
	struct call late = {.method = "GET", .target = "/late", .timeout = 3000};
	struct caller a = {0}, b = {0};

	late_bytes = bytes;
	script = "HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n";
	start(&a, &late);
	start(&b, &get);
	run_for(10);
	script = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
	assert_true(run_until(&b.told));
	assert_int_equal(a.status, STATUS_OK);
	assert_int_equal(blob_len(a.body), 70000);
	assert_ok(&b, "ok");
	caller_clear(&a);
}

static void a_byte_behind_a_reply_is_not_the_next_one(void **state)
{
	struct text warm = {0};
	struct caller a = {0};

	(void)state;
	options.max_connections = 1;
	reach("127.0.0.1", in.port);
	in.serve = serve_head_then_body;
	text_adds(&warm, "HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n");
	for (int i = 0; i < 3000000; i++)
		text_addc(&warm, 'x');
	script = warm.s; /* lets the receive window grow */
	get_and_wait(&a);
	assert_int_equal(blob_len(a.body), 3000000);
	caller_clear(&a);
	text_clear(&warm);

	call_twice_and_say(70000);
	assert_int_equal(in.accepted, 1);
	call_twice_and_say(70001);
	assert_int_equal(in.accepted, 2);
}

static void an_idle_connection_that_closes_is_dropped(void **state)
{
	struct caller c = {0};

	(void)state;
	get_and_wait(&c);
	assert_ok(&c, "ok");
	assert_int_equal(upstream_figures(up).idle, 1);
	guest_leave(TAILQ_FIRST(&in.guests));
	run_for(20);
	assert_int_equal(upstream_figures(up).idle, 0);
	assert_int_equal(upstream_figures(up).open, 0);
}

/* It closes after the loop has looked last: there was no event yet. */
static void a_connection_found_closed_is_not_sent_on(void **state)
{
	struct call post = {.method = "POST", .target = "/", .timeout = 3000};
	struct caller c = {0};

	(void)state;
	get_and_wait(&c);
	assert_ok(&c, "ok");
	run_for(5);
	shutdown(bufferevent_getfd(TAILQ_FIRST(&in.guests)->bev), SHUT_RDWR);
	call_and_wait(&c, &post);
	assert_ok(&c, "ok");
	assert_int_equal(upstream_figures(up).connects, 2);
}

static void what_an_idle_connection_says_is_not_taken_for_a_reply(void **state)
{
	struct caller c = {0};

	(void)state;
	get_and_wait(&c);
	assert_ok(&c, "ok");
	run_for(5);
	guest_say(TAILQ_FIRST(&in.guests), "HTTP/1.1 408 Request Timeout\r\n\r\n");
	event_base_loop(loop_base(), EVLOOP_NONBLOCK);
	get_and_wait(&c);
	assert_ok(&c, "ok");
	assert_int_equal(in.accepted, 2);
}

static void an_idle_connection_is_closed_in_time(void **state)
{
	struct caller c = {0};

	(void)state;
	options.idle_timeout = 400;
	reach("127.0.0.1", in.port);
	get_and_wait(&c);
	assert_ok(&c, "ok");
	run_for(50);
	assert_int_equal(upstream_figures(up).idle, 1);
	assert_true(all_guests_have_left(&in));
	assert_int_equal(upstream_figures(up).idle, 0);
}

/* ---- instances in trouble ---- */

static void serve_then_leave_at_the_second(struct guest *g, const struct request *r)
{
	(void)r;
	if (g->requests < 2)
		guest_say(g, script);
	else
		guest_leave(g);
}

static void a_repeatable_call_survives_a_stale_connection(void **state)
{
	struct call again = get;
	struct caller c = {0};

	(void)state;
	in.serve = serve_then_leave_at_the_second;
	again.repeatable = true;
	get_and_wait(&c);
	assert_ok(&c, "ok");
	call_and_wait(&c, &again);
	assert_ok(&c, "ok");
	assert_int_equal(in.accepted, 2);
	assert_int_equal(in.requests, 3);
	assert_int_equal(upstream_figures(up).failures, 0);
}

static void a_call_that_must_not_be_repeated_is_not(void **state)
{
	struct caller c = {0};

	(void)state;
	in.serve = serve_then_leave_at_the_second;
	get_and_wait(&c);
	assert_ok(&c, "ok");
	get_and_wait(&c);
	assert_failed(&c, STATUS_BROKEN, true);
	assert_int_equal(in.requests, 2);
}

static void a_call_is_repeated_only_once(void **state)
{
	struct call again = get;
	struct caller c = {0};

	(void)state;
	get_and_wait(&c);
	assert_ok(&c, "ok");
	in.serve = leave;
	again.repeatable = true;
	call_and_wait(&c, &again);
	assert_failed(&c, STATUS_BROKEN, true);
	assert_int_equal(in.requests, 3);
}

static void a_fresh_connection_that_dies_is_not_tried_again(void **state)
{
	struct call again = get;
	struct caller c = {0};

	(void)state;
	in.serve = leave;
	again.repeatable = true;
	call_and_wait(&c, &again);
	assert_failed(&c, STATUS_BROKEN, true);
	assert_int_equal(in.requests, 1);
}

static void half_an_answer_is_broken(void **state)
{
	static const char *const scripts[] = {
	        "HTTP/1.1 200 OK\r\nContent-Le",
	        "HTTP/1.1 100 Continue\r\n\r\n",
	        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
	        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123456789",
	        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
	        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
	};
	struct call again = get;
	struct caller c = {0};

	(void)state;
	in.serve = serve_script_and_leave;
	again.repeatable = true; /* not even then: there has been some reply */
	for (size_t i = 0; i < sizeof(scripts) / sizeof(*scripts); i++) {
		script = scripts[i];
		call_and_wait(&c, &again);
		assert_failed(&c, STATUS_BROKEN, true);
	}
	assert_int_equal(in.requests, sizeof(scripts) / sizeof(*scripts));
	assert_int_equal(upstream_figures(up).open, 0);
}

static void what_is_ambiguous_is_not_understood(void **state)
{
	static const char *const scripts[] = {
	        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
	        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
	         "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	        "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
	        "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
	        "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
	        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
	        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
	        "SSH-2.0-OpenSSH\r\n",
	        "\x15\x03\x01",
	};
	struct caller c = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(scripts) / sizeof(*scripts); i++) {
		script = scripts[i];
		get_and_wait(&c);
		assert_failed(&c, STATUS_BAD_REPLY, true);
		assert_int_equal(upstream_figures(up).open, 0);
	}
}

static void serve_interim_for_ever(struct guest *g, const struct request *r)
{
	(void)r;
	for (int i = 0; i < 100; i++)
		guest_say(g, "HTTP/1.1 100 Continue\r\n\r\n");
}

static void interim_heads_without_end_are_refused(void **state)
{
	struct caller c = {0};

	(void)state;
	in.serve = serve_interim_for_ever;
	get_and_wait(&c);
	assert_failed(&c, STATUS_BAD_REPLY, true);
}

static void serve_head_for_ever(struct guest *g, const struct request *r)
{
	(void)r;
	guest_say(g, "HTTP/1.1 200 OK\r\n");
	for (int i = 0; i < 10000; i++)
		guest_say(g, "X-Filler: 0123456789\r\n");
}

static void a_head_without_end_is_refused(void **state)
{
	struct caller c = {0};

	(void)state;
	in.serve = serve_head_for_ever;
	get_and_wait(&c);
	assert_failed(&c, STATUS_BAD_REPLY, true);
}

static void more_than_wanted_is_too_large(void **state)
{
	static const char *const scripts[] = {
	        "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n12345678901",
	        "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n",
	        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	         "6\r\n123456\r\n5\r\n12345\r\n0\r\n\r\n"),
	};
	struct call small = get;
	struct caller c = {0};

	(void)state;
	small.max_reply = 10;
	for (int i = 0; i < 3; i++) {
		script = scripts[i];
		call_and_wait(&c, &small);
		assert_failed(&c, STATUS_TOO_LARGE, true);
	}
	script = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n1234567890";
	call_and_wait(&c, &small);
	assert_ok(&c, "1234567890");
}

static void say_413(struct guest *g, const struct request *r)
{
	(void)r;
	guest_say(g, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!");
	bufferevent_disable(g->bev, EV_READ);
}

static void say_413_and_leave(struct guest *g, const struct request *r)
{
	(void)r;
	guest_say_and_leave(g, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!");
}

static void an_answer_before_the_end_of_the_request_counts(void **state)
{
	struct blob *body = big_body(20u << 20);
	struct call post = {
	        .method = "POST", .target = "/", .body = body, .timeout = 5000};
	struct caller c = {0};

	(void)state;
	for (int i = 0; i < 2; i++) {
		in.on_head = i == 0 ? say_413 : say_413_and_leave;
		call_and_wait(&c, &post);
		assert_int_equal(c.status, STATUS_OK);
		assert_int_equal(c.http, 413);
		assert_true(caller_heard(&c, "no!"));
		assert_int_equal(upstream_figures(up).open, 0);
		caller_clear(&c);
	}
	blob_unref(&body);
}

/* ---- no instance at all ---- */

static uint16_t free_port(void)
{
	uint16_t port;

	close(open_listener(&port, 1));
	return port;
}

static void nobody_there_is_refused(void **state)
{
	struct caller c = {0};

	(void)state;
	reach("127.0.0.1", free_port());
	get_and_wait(&c);
	assert_failed(&c, STATUS_REFUSED, false);
	assert_int_equal(upstream_figures(up).open, 0);
	assert_int_equal(upstream_figures(up).failures, 1);
}

static void all_addresses_of_a_name_are_tried(void **state)
{
	struct caller c = {0};

	(void)state;
	reach("two.test", in.port); /* nobody at 127.0.0.2 */
	get_and_wait(&c);
	assert_ok(&c, "ok");
	assert_int_equal(upstream_figures(up).connects, 1);
}

static struct timer ticking;
static int ticks;

static void on_tick(void *arg)
{
	(void)arg;
	ticks++;
	timer_start(&ticking, 20, on_tick, NULL);
}

static void a_dead_name_is_not_resolved_and_blocks_nobody(void **state)
{
	struct caller c = {0};
	msec before = clock_ms();

	(void)state;
	options.connect_timeout = 400;
	reach("nobody.test", 80);
	ticks = 0;
	timer_start(&ticking, 20, on_tick, NULL);
	get_and_wait(&c);
	timer_stop(&ticking);
	assert_failed(&c, STATUS_NOT_RESOLVED, false);
	assert_true(clock_ms() - before < 1500);
	assert_true(ticks >= 10);
}

/* A listener whose queue is full does not answer. */
static void an_address_that_does_not_answer_is_timed_out(void **state)
{
	struct caller c = {0};
	struct sockaddr_in at = {.sin_family = AF_INET};
	uint16_t port;
	int listener = open_listener(&port, 0), fillers[8];
	msec before;

	(void)state;
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	at.sin_port = htons(port);
	for (int i = 0; i < 8; i++) {
		fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(fillers[i], (struct sockaddr *)&at, sizeof(at));
	}
	options.connect_timeout = 200;
	reach("127.0.0.1", port);
	before = clock_ms();
	get_and_wait(&c);
	assert_failed(&c, STATUS_TIMED_OUT, false);
	assert_true(clock_ms() - before >= 190 && clock_ms() - before < 1500);
	for (int i = 0; i < 8; i++)
		close(fillers[i]);
	close(listener);
}

static void silence_is_timed_out(void **state)
{
	struct call patient = get;
	struct caller c = {0};
	msec before = clock_ms();

	(void)state;
	in.serve = serve_nothing;
	patient.timeout = 150;
	call_and_wait(&c, &patient);
	assert_failed(&c, STATUS_TIMED_OUT, true);
	assert_true(clock_ms() - before >= 140 && clock_ms() - before < 1000);
	assert_true(all_guests_have_left(&in));
}

static void drips_do_not_prolong_a_call(void **state)
{
	struct call patient = get;
	struct caller c = {0};
	msec before = clock_ms();

	(void)state;
	in.serve = serve_byte_by_byte;
	script = "HTTP/1.1 200 OK\r\nX: "
	         "11111111111111111111111111111111111111111111111111111111111111111111"
	         "11111111111111111111111111111111111111111111111111111111111111111111"
	         "11111111111111111111111111111111111111111111111111111111111111111111"
	         "11111111111111111111111111111111111111111111111111111111111111111111";
	patient.timeout = 100;
	call_and_wait(&c, &patient);
	timer_stop(&slow.timer);
	assert_failed(&c, STATUS_TIMED_OUT, true);
	assert_true(clock_ms() - before < 1000);
}

static void no_time_at_all_is_timed_out(void **state)
{
	struct call hasty = get;
	struct caller c = {0};

	(void)state;
	hasty.timeout = 0;
	call_and_wait(&c, &hasty);
	assert_failed(&c, STATUS_TIMED_OUT, false);
}

/* ---- waiting for a connection ---- */

static int order[8], n_order;

static void on_reply_in_order(void *arg, const struct reply *reply)
{
	struct caller *c = arg;

	order[n_order++] = atoi(blob_bytes(reply->body));
	on_reply(c, reply);
}

static void serve_number(struct guest *g, const struct request *r)
{
	char reply[64];

	snprintf(reply, sizeof(reply), "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%c",
	         r->head->target[1]);
	guest_say(g, reply);
}

static void calls_wait_their_turn(void **state)
{
	static const char *const targets[] = {"/0", "/1", "/2", "/3", "/4"};
	struct caller c[5] = {{0}};
	struct call call = get;

	(void)state;
	options.max_connections = 1;
	reach("127.0.0.1", in.port);
	in.serve = serve_number;
	n_order = 0;
	for (int i = 0; i < 5; i++) {
		call.target = targets[i];
		upstream_call(up, &call, on_reply_in_order, &c[i], &c[i].slot);
	}
	assert_int_equal(upstream_figures(up).waiting, 4);
	assert_true(run_until(&c[4].told));
	assert_int_equal(in.accepted, 1);
	assert_int_equal(upstream_figures(up).waiting, 0);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(order[i], i);
		caller_clear(&c[i]);
	}
}

static void who_waits_has_a_time_limit_too(void **state)
{
	struct call patient = get;
	struct caller a = {0}, b = {0}, c = {0};

	(void)state;
	options.max_connections = 1;
	reach("127.0.0.1", in.port);
	in.serve = serve_nothing;
	patient.timeout = 1000;
	start(&a, &patient);
	patient.timeout = 100;
	start(&b, &patient);
	start(&c, &get);
	assert_true(run_until(&b.told));
	assert_int_equal(a.told, 0);
	assert_failed(&b, STATUS_TIMED_OUT, false);
	in.serve = serve_script;
	assert_true(run_until(&a.told)); /* its connection is closed ... */
	assert_failed(&a, STATUS_TIMED_OUT, true);
	assert_true(run_until(&c.told)); /* ... and makes room for another one */
	assert_ok(&c, "ok");
}

static void a_failed_connection_makes_room_for_who_waits(void **state)
{
	struct caller c[3] = {{0}};

	(void)state;
	options.max_connections = 1;
	reach("127.0.0.1", free_port());
	for (int i = 0; i < 3; i++)
		start(&c[i], &get);
	for (int i = 0; i < 3; i++) {
		assert_true(run_until(&c[i].told));
		assert_failed(&c[i], STATUS_REFUSED, false);
	}
	assert_int_equal(upstream_figures(up).open, 0);
}

static void a_call_alone_has_a_connection_of_its_own(void **state)
{
	struct call probe = get;
	struct caller a = {0}, b = {0};

	(void)state;
	options.max_connections = 1;
	reach("127.0.0.1", in.port);
	in.serve = serve_nothing;
	start(&a, &get); /* the pool is full */
	run_for(20);
	in.serve = serve_script;
	probe.alone = true;
	call_and_wait(&b, &probe);
	assert_ok(&b, "ok");
	assert_non_null(strstr(in.last.s, "Connection: close\r\n"));
	assert_int_equal(a.told, 0);
	assert_int_equal(upstream_figures(up).open, 1);
	assert_int_equal(in.accepted, 2);
	run_for(20);
	assert_int_equal(in.closed, 1);
	op_cancel(&a.slot);
}

/* ---- walking away ---- */

static void cancel_and_look(struct caller *c)
{
	op_cancel(&c->slot);
	assert_null(c->slot);
	assert_int_equal(upstream_figures(up).open, 0);
	run_for(30);
	assert_true(all_guests_have_left(&in));
	assert_int_equal(c->told, 0);
}

static void a_call_is_cancelled_while_connecting(void **state)
{
	struct caller c = {0};

	(void)state;
	start(&c, &get); /* the name is looked up */
	cancel_and_look(&c);
	start(&c, &get);
	event_base_loop(loop_base(), EVLOOP_ONCE); /* the socket is on its way */
	assert_int_equal(upstream_figures(up).connects, 0);
	cancel_and_look(&c);
	assert_int_equal(in.accepted, 1);
	assert_int_equal(in.requests, 0);
}

static void a_call_is_cancelled_while_sending(void **state)
{
	struct blob *body = big_body(20u << 20);
	struct call post = {
	        .method = "POST", .target = "/", .body = body, .timeout = 5000};
	struct caller c = {0};

	(void)state;
	in.on_head = serve_nothing;
	start(&c, &post);
	while (in.accepted == 0 || !TAILQ_FIRST(&in.guests)->told_head)
		event_base_loop(loop_base(), EVLOOP_ONCE);
	cancel_and_look(&c);
	assert_int_equal(in.requests, 0);
	blob_unref(&body);
}

static void a_call_is_cancelled_while_reading(void **state)
{
	struct caller c = {0};

	(void)state;
	script = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf";
	start(&c, &get);
	assert_true(run_until(&in.requests));
	run_for(20);
	cancel_and_look(&c);
}

static void a_call_is_cancelled_while_waiting(void **state)
{
	struct caller a = {0}, b = {0}, c = {0};

	(void)state;
	options.max_connections = 1;
	reach("127.0.0.1", in.port);
	start(&a, &get);
	start(&b, &get);
	start(&c, &get);
	op_cancel(&b.slot);
	assert_int_equal(upstream_figures(up).waiting, 1);
	assert_true(run_until(&c.told));
	assert_int_equal(b.told, 0);
	assert_int_equal(in.requests, 2);
	assert_ok(&a, "ok");
	assert_ok(&c, "ok");
}

static void cancelling_makes_room_for_who_waits(void **state)
{
	struct caller a = {0}, b = {0};

	(void)state;
	options.max_connections = 1;
	reach("127.0.0.1", in.port);
	in.serve = serve_nothing;
	start(&a, &get);
	start(&b, &get);
	assert_true(run_until(&in.requests));
	in.serve = serve_script;
	op_cancel(&a.slot);
	assert_true(run_until(&b.told));
	assert_ok(&b, "ok");
}

static void an_end_not_yet_told_can_still_be_cancelled(void **state)
{
	struct caller a = {0}, b = {0};

	(void)state;
	start(&a, &get);
	start(&b, &get);
	upstream_abort(up, "enough");
	op_cancel(&b.slot);
	assert_true(run_until(&a.told));
	run_for(10);
	assert_failed(&a, STATUS_STOPPED, false);
	assert_int_equal(b.told, 0);
}

static void on_reply_call_again(void *arg, const struct reply *reply)
{
	struct caller *c = arg;

	assert_null(c->slot);
	if (++c->told < 4)
		upstream_call(up, &get, on_reply_call_again, c, &c->slot);
	c->status = reply->status;
}

static void the_next_call_starts_from_the_end_of_the_last(void **state)
{
	struct caller c = {0};

	(void)state;
	upstream_call(up, &get, on_reply_call_again, &c, &c.slot);
	while (c.told < 4)
		event_base_loop(loop_base(), EVLOOP_ONCE);
	assert_int_equal(c.status, STATUS_OK);
	assert_int_equal(in.accepted, 1);
}

static void nobody_needs_to_wait_for_the_end(void **state)
{
	struct caller c = {0};

	(void)state;
	upstream_call(up, &get, on_reply, &c, NULL);
	assert_true(run_until(&c.told));
	assert_ok(&c, "ok");
}

/* ---- the end of an endpoint ---- */

static void start_some(struct caller c[4])
{
	options.max_connections = 2;
	reach("127.0.0.1", in.port);
	in.serve = serve_nothing;
	for (int i = 0; i < 3; i++)
		start(&c[i], &get);
	while (in.requests < 2)
		event_base_loop(loop_base(), EVLOOP_ONCE);
	start(&c[3],
	      &(struct call){
	              .method = "GET", .target = "/", .timeout = 3000, .alone = true});
}

static void assert_all_stopped(struct caller c[4])
{
	for (int i = 0; i < 4; i++)
		assert_int_equal(c[i].told, 0);
	for (int i = 0; i < 4; i++) {
		assert_true(run_until(&c[i].told));
		assert_int_equal(c[i].status, STATUS_STOPPED);
		assert_int_equal(c[i].sent, i < 2);
		caller_clear(&c[i]);
	}
	assert_true(all_guests_have_left(&in));
}

static void aborting_stops_everything_under_way(void **state)
{
	struct caller c[4] = {{0}};

	(void)state;
	start_some(c);
	upstream_abort(up, "the instance is down");
	assert_int_equal(upstream_figures(up).open, 0);
	assert_int_equal(upstream_figures(up).waiting, 0);
	for (int i = 0; i < 4; i++)
		assert_non_null(c[i].slot);
	assert_true(run_until(&c[0].told));
	assert_string_equal(c[0].detail, "the instance is down");
	caller_clear(&c[0]);
	in.serve = serve_script; /* and then it goes on */
	start(&c[0], &get);
	assert_true(run_until(&c[0].told));
	assert_ok(&c[0], "ok");
	for (int i = 1; i < 4; i++) {
		assert_int_equal(c[i].status, STATUS_STOPPED);
		caller_clear(&c[i]);
	}
}

static void destroying_stops_everything_under_way(void **state)
{
	struct caller c[4] = {{0}};

	(void)state;
	start_some(c);
	upstream_destroy(&up);
	assert_null(up);
	assert_all_stopped(c);
}

/* ---- URLs ---- */

static void urls_are_checked(void **state)
{
	static const char *const good[] = {
	        "localhost:8000",
	        "http://10.0.0.1:80",
	        "https://chroma.example.com",
	        "https://[fd00::1]:443",
	        "http://[::1]:8000/",
	        "HTTP://a_b-c.d:1",
	};
	static const char *const bad[] = {
	        "",
	        "localhost",
	        "http://localhost",
	        "ftp://host:21",
	        "http://u:p@host:80",
	        "host:0",
	        "host:65536",
	        "host:port",
	        "host:80/path",
	        "http://:80",
	        "http://[::1:80",
	        "http://host:80?x",
	        "host:80\r\nX: y",
	        "http://ho st:80",
	        "host:123456789012345678901",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_null(upstream_check_url(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		char *wrong = upstream_check_url(bad[i]);

		assert_non_null(wrong);
		free(wrong);
	}
	options.url = "https://Chroma.example.com/";
	upstream_destroy(&up);
	up = upstream_create(&options);
	assert_string_equal(upstream_url(up), "https://Chroma.example.com:443");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	        TEST(a_reply_is_handed_over_whole),
	        TEST(the_connection_is_used_again),
	        TEST(the_connection_used_last_is_used_first),
	        TEST(chunks_are_put_together),
	        TEST(a_reply_may_last_until_the_connection_closes),
	        TEST(replies_without_a_body_end_at_their_head),
	        TEST(interim_heads_are_skipped),
	        TEST(a_reply_may_come_byte_by_byte),
	        TEST(the_request_is_what_was_asked_for),
	        TEST(a_post_without_a_body_says_so),
	        TEST(fields_of_the_connection_stay_with_it),
	        TEST(each_connection_field_counts),
	        TEST(twenty_megabytes_go_both_ways),
	        TEST(a_connection_to_be_closed_is_not_used_again),
	        TEST(bytes_behind_a_reply_spoil_the_connection),
	        TEST(a_byte_behind_a_long_reply_spoils_the_connection),
	        TEST(a_byte_behind_a_reply_is_not_the_next_one),
	        TEST(an_idle_connection_that_closes_is_dropped),
	        TEST(a_connection_found_closed_is_not_sent_on),
	        TEST(what_an_idle_connection_says_is_not_taken_for_a_reply),
	        TEST(an_idle_connection_is_closed_in_time),
	        TEST(a_repeatable_call_survives_a_stale_connection),
	        TEST(a_call_that_must_not_be_repeated_is_not),
	        TEST(a_call_is_repeated_only_once),
	        TEST(a_fresh_connection_that_dies_is_not_tried_again),
	        TEST(half_an_answer_is_broken),
	        TEST(what_is_ambiguous_is_not_understood),
	        TEST(interim_heads_without_end_are_refused),
	        TEST(a_head_without_end_is_refused),
	        TEST(more_than_wanted_is_too_large),
	        TEST(an_answer_before_the_end_of_the_request_counts),
	        TEST(nobody_there_is_refused),
	        TEST(all_addresses_of_a_name_are_tried),
	        TEST(a_dead_name_is_not_resolved_and_blocks_nobody),
	        TEST(an_address_that_does_not_answer_is_timed_out),
	        TEST(silence_is_timed_out),
	        TEST(drips_do_not_prolong_a_call),
	        TEST(no_time_at_all_is_timed_out),
	        TEST(calls_wait_their_turn),
	        TEST(who_waits_has_a_time_limit_too),
	        TEST(a_failed_connection_makes_room_for_who_waits),
	        TEST(a_call_alone_has_a_connection_of_its_own),
	        TEST(a_call_is_cancelled_while_connecting),
	        TEST(a_call_is_cancelled_while_sending),
	        TEST(a_call_is_cancelled_while_reading),
	        TEST(a_call_is_cancelled_while_waiting),
	        TEST(cancelling_makes_room_for_who_waits),
	        TEST(an_end_not_yet_told_can_still_be_cancelled),
	        TEST(the_next_call_starts_from_the_end_of_the_last),
	        TEST(nobody_needs_to_wait_for_the_end),
	        TEST(aborting_stops_everything_under_way),
	        TEST(destroying_stops_everything_under_way),
	        TEST(urls_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
