/* Clients that are malicious, slow, greedy, or gone; and the end of the server. */
#include "tests/unit/http/peer.h"

#define GET "GET /x HTTP/1.1\r\nHost: h\r\n\r\n"
#define GET_LATER "GET /later HTTP/1.1\r\nHost: h\r\n\r\n"
#define POST "POST /x HTTP/1.1\r\nHost: h\r\n"

static struct text heard;

static int clean(void **state)
{
	text_clear(&heard);
	return teardown(state);
}

/* ---- what must not be understood ---- */

static void what_could_be_read_in_two_ways_is_refused_and_the_connection_closed(
        void **state)
{
	static const struct {
		int http;
		const char *bytes;
	} rows[] = {
	        {400, POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"},
	        {400, POST "Content-Length: 3\r\nContent-Length: 5\r\n\r\n"},
	        {400, POST "Content-Length: +5\r\n\r\n"},
	        {400, POST "Content-Length: -5\r\n\r\n"},
	        {400, POST "Content-Length:\r\n\r\n"},
	        {400, POST "Content-Length: 30000000000000000000\r\n\r\n"},
	        {400, POST "Transfer-Encoding : chunked\r\n\r\n"},
	        {501, POST "Transfer-Encoding: gzip, chunked\r\n\r\n"},
	        {400, POST "X: a\r\n b\r\n\r\n"},
	        {400, "GET /x HTTP/1.1\nHost: h\n\n"},
	        {400, "GET /x HTTP/1.1\r\n\r\n"},
	        {400, "GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"},
	        {400, "GET /a\x01 HTTP/1.1\r\nHost: h\r\n\r\n"},
	        {400, "GET /\xc3\xa4 HTTP/1.1\r\nHost: h\r\n\r\n"},
	        {400, "GET http://h/x HTTP/1.1\r\nHost: h\r\n\r\n"},
	        {400, "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"},
	        {400, "GET /x\r\n\r\n"},
	        {400, "GET  /x HTTP/1.1\r\nHost: h\r\n\r\n"},
	        {505, "GET /x HTTP/2.0\r\nHost: h\r\n\r\n"},
	        {400, POST "Transfer-Encoding: chunked\r\n\r\n\xff\xfe"
	                   "5\r\nhello\r\n"},
	        {400, POST "Transfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhe"},
	        {400, POST "Transfer-Encoding: chunked\r\n\r\n3\r\nabcX"},
	        {400, POST "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n"},
	        {400, "\x16\x03\x01\x02"},
	};
	char line[64];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		int fd = dial();

		text_reset(&trace);
		say(fd, rows[i].bytes);
		hear_all(fd, &heard);
		snprintf(line, sizeof(line), "malformed:%d ", rows[i].http);
		assert_string_equal(trace.s, line);
		snprintf(line, sizeof(line), "HTTP/1.1 %d ", rows[i].http);
		assert_true(starts_with(heard.s, line));
		assert_true(ends_with(heard.s, "connection: close\r\n\r\nno"));
		assert_false(was_reset);
		close(fd);
	}
}

static void a_nul_in_a_head_is_refused(void **state)
{
	static const char bytes[] = "GET /a\0b HTTP/1.1\r\nHost: h\r\n\r\n";
	int fd = dial();

	(void)state;
	assert_true(sayn(fd, bytes, sizeof(bytes) - 1));
	assert_true(starts_with(hear_all(fd, &heard), "HTTP/1.1 400 "));
	close(fd);
}

static void what_follows_a_malformed_request_is_not_a_request(void **state)
{
	int fd = dial();

	(void)state;
	say(fd, GET POST "Content-Length: 1\r\nContent-Length: 2\r\n\r\nx" GET);
	hear_all(fd, &heard);
	assert_string_equal(trace.s, "GET:/x malformed:400 ");
	close(fd);
}

static void an_endless_head_is_refused(void **state)
{
	struct text many = {0};
	int fd = dial();

	(void)state;
	text_adds(&many, "GET /x HTTP/1.1\r\nHost: h\r\n");
	while (many.len < 40000)
		text_adds(&many,
		          "X-Header: 0123456789012345678901234567890123456789\r\n");
	sayn(fd, many.s, many.len);
	assert_true(starts_with(hear_all(fd, &heard), "HTTP/1.1 431 "));
	close(fd);
	text_reset(&many);
	while (many.len < 40000)
		text_adds(&many, "\r\n");
	fd = dial();
	sayn(fd, many.s, many.len);
	assert_true(starts_with(hear_all(fd, &heard), "HTTP/1.1 431 "));
	close(fd);
	text_clear(&many);
}

/* ---- too much ---- */

static void a_body_declared_too_large_is_refused_before_it_comes(void **state)
{
	int fd = dial();

	(void)state;
	say(fd, "POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n"
	        "Expect: 100-continue\r\n\r\n");
	assert_true(starts_with(hear_all(fd, &heard), "HTTP/1.1 413 "));
	assert_string_equal(trace.s, "too-large:/small ");
	close(fd);
	fd = dial();
	say(fd, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: "
	        "18446744073709551615\r\n\r\n");
	assert_true(starts_with(hear_all(fd, &heard), "HTTP/1.1 413 "));
	close(fd);
}

static void a_chunked_body_is_cut_off_where_it_becomes_too_large(void **state)
{
	int fd = dial();

	(void)state;
	say(fd, "POST /small HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
	        "5\r\nabcde\r\n5\r\nfghij\r\n");
	turns_for(5);
	assert_null(trace.s);
	say(fd, "1\r\nk\r\n");
	assert_true(starts_with(hear_all(fd, &heard), "HTTP/1.1 413 "));
	assert_string_equal(trace.s, "too-large:/small ");
	close(fd);
}

static void a_body_of_exactly_the_limit_is_taken(void **state)
{
	int fd = dial();

	(void)state;
	say(fd,
	    "POST /small HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
	    "a\r\n0123456789\r\n0\r\n\r\n"
	    "POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n0123456789");
	turn_until(trace.s != NULL && strcmp(trace.s, "POST:/small POST:/small ") == 0);
	close(fd);
}

static void who_is_refused_can_read_why_while_still_sending(void **state)
{
	size_t len = 700 * 1024;
	char *body = pattern(len);
	struct text head = {0};
	int fd = dial();

	(void)state;
	text_addf(&head,
	          "POST /refused HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n",
	          len);
	assert_true(sayn(fd, head.s, head.len));
	assert_true(sayn(fd, body, len));
	assert_true(ends_with(hear_all(fd, &heard), "\r\n\r\nno"));
	assert_false(was_reset);
	assert_int_equal(server_connections(), 1); /* lingers until we close */
	close(fd);
	turn_until(server_connections() == 0);
	text_clear(&head);
	free(body);
}

static void http_1_0_too_can_read_why_while_still_sending(void **state)
{
	char *body = pattern(200 * 1024);
	int fd = dial();

	(void)state;
	say(fd, "POST /refused HTTP/1.0\r\nContent-Length: 300000\r\n\r\n");
	assert_true(ends_with(hear_all(fd, &heard), "\r\n\r\nno"));
	assert_true(sayn(fd, body, 200 * 1024)); /* no reset has come */
	assert_int_equal(server_connections(), 1);
	free(body);
	close(fd);
}

static void who_goes_on_sending_after_a_refusal_is_cut(void **state)
{
	char *body = pattern(CLIENT_MAX_DROPPED);
	int fd = dial();

	(void)state;
	server_patience.linger = 60000;
	say(fd, "POST /refused HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n");
	turn_until(server_connections() == 1);
	while (server_connections() > 0 && sayn(fd, body, CLIENT_MAX_DROPPED))
		turn();
	turn_until(server_connections() == 0);
	free(body);
	close(fd);
}

static void lingering_ends(void **state)
{
	int fd = dial();

	(void)state;
	server_patience.linger = 30;
	say(fd, "POST /refused HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n");
	assert_true(ends_with(hear_all(fd, &heard), "\r\n\r\nno"));
	assert_int_equal(server_connections(), 1);
	turn_until(server_connections() == 0);
	close(fd);
}

static void pipelining_without_end_is_not_read_without_end(void **state)
{
	char *more = pattern(1024 * 1024);
	int fd = dial();
	ssize_t n;

	(void)state;
	say(fd, GET_LATER);
	turn_until(waiting != NULL);
	for (int i = 0; i < 200; i++) {
		n = send(fd, more, 1024 * 1024, MSG_NOSIGNAL);
		assert_true(n >= 0 || errno == EAGAIN);
		turn();
	}
	assert_true(TAILQ_FIRST(&server.clients)->in.len <=
	            CLIENT_MAX_SURPLUS + sizeof((char[64 * 1024]){0}));
	client_reply(waiting, 200, NULL, NULL);
	assert_true(starts_with(hear(fd, &heard), "HTTP/1.1 200"));
	free(more);
	close(fd);
}

static void reading_goes_on_after_a_pause_of_pipelining(void **state)
{
	struct text many = {0};
	size_t requests = 0;
	int fd = dial();

	(void)state;
	for (; many.len < 300000; requests++)
		text_adds(&many, "GET /none HTTP/1.1\r\nHost: h\r\n\r\n");
	say(fd, GET_LATER);
	turn_until(waiting != NULL);
	assert_true(sayn(fd, many.s, many.len));
	turns_for(5);
	text_clear(&trace);
	client_reply(waiting, 204, NULL, NULL);
	turn_until(trace.len == requests * strlen("GET:/none "));
	text_clear(&many);
	close(fd);
}

static void above_the_limit_clients_wait_at_the_door(void **state)
{
	struct server_options o = options();
	int fds[6];

	(void)state;
	o.max_clients = 3;
	restart(&o);
	for (size_t i = 0; i < 6; i++) {
		fds[i] = dial();
		if (i < 3)
			say(fds[i], POST "Content-Length: 9\r\n\r\nhalf");
	}
	turns_for(10);
	assert_int_equal(server_connections(), 3);
	close(dial()); /* has left before it is let in */
	for (size_t i = 3; i < 6; i++)
		say(fds[i], "GET /x HTTP/1.0\r\n\r\n");
	for (size_t i = 0; i < 3; i++)
		close(fds[i]);
	for (size_t i = 3; i < 6; i++) {
		assert_true(starts_with(hear_all(fds[i], &heard), "HTTP/1.1 200"));
		close(fds[i]);
	}
	turn_until(server_connections() == 0);
}

static void at_the_limit_the_one_idle_longest_goes(void **state)
{
	struct server_options o = options();
	int busy, first, second, third;

	(void)state;
	o.max_clients = 4; /* the fourth makes somebody go */
	restart(&o);
	busy = dial();
	say(busy, POST "Content-Length: 9\r\n\r\nhalf");
	turn_until(server_active() == 1);
	first = dial();
	turn_until(server_connections() == 2);
	second = dial();
	say(first, GET); /* and is idle after the second one */
	hear(first, &heard);
	assert_true(starts_with(heard.s, "HTTP/1.1 200"));
	turn_until(server_connections() == 3);
	third = dial();
	say(third, GET);
	assert_true(starts_with(hear(third, &heard), "HTTP/1.1 200"));
	assert_string_equal(hear_all(second, &heard), "");
	assert_false(was_reset);
	say(first, GET);
	assert_true(starts_with(hear(first, &heard), "HTTP/1.1 200"));
	say(busy, " body");
	assert_true(ends_with(hear(busy, &heard), "half body"));
	close(busy);
	close(first);
	close(second);
	close(third);
}

/* ---- too slow ---- */

static void an_idle_connection_is_closed_without_a_word(void **state)
{
	struct server_options o = options();
	int fd;

	(void)state;
	o.idle_timeout = 100;
	restart(&o);
	fd = dial();
	assert_string_equal(hear_all(fd, &heard), "");
	assert_false(was_reset);
	close(fd);
	fd = dial();
	say(fd, GET);
	hear_all(fd, &heard);
	assert_true(ends_with(heard.s, "\r\n\r\n"));
	assert_null(strstr(heard.s, "connection: close"));
	close(fd);
}

static void a_head_that_trickles_in_is_cut_off_with_408(void **state)
{
	struct server_options o = options();
	msec start = clock_ms();
	int fd;

	(void)state;
	o.head_timeout = 60;
	restart(&o);
	fd = dial();
	say(fd, "GET /x HTTP/1.1\r\nHost: h\r\n");
	while (trace.len == 0 && clock_ms() < start + PATIENCE) {
		sayn(fd, "X: y\r\n", 6); /* does not buy any time */
		turns_for(10);
	}
	hear_all(fd, &heard);
	assert_true(starts_with(heard.s, "HTTP/1.1 408 "));
	assert_true(ends_with(heard.s, "\r\n\r\nno"));
	assert_true(clock_ms() < start + 1000);
	assert_string_equal(trace.s, "malformed:408 ");
	close(fd);
}

static void a_body_that_does_not_come_is_given_up_with_408(void **state)
{
	int fd = dial();

	(void)state;
	server_patience.body = 40;
	say(fd, POST "Content-Length: 100\r\n\r\nsome");
	assert_true(starts_with(hear_all(fd, &heard), "HTTP/1.1 408 "));
	assert_string_equal(trace.s, "malformed:408 ");
	assert_int_equal(server_body_bytes(), 0);
	close(fd);
}

static void a_body_that_stops_coming_is_given_up_all_the_same(void **state)
{
	char *body = pattern(32 * 1024);
	int fd = dial();
	msec start;

	(void)state;
	server_patience.body = 100;
	say(fd, POST "Content-Length: 40000\r\n\r\n");
	assert_true(sayn(fd, body, 32 * 1024)); /* nobody can save patience up */
	start = clock_ms();
	assert_true(starts_with(hear_all(fd, &heard), "HTTP/1.1 408 "));
	assert_true(clock_ms() < start + 1000);
	free(body);
	close(fd);
}

static void room_for_a_body_is_made_as_it_comes(void **state)
{
	int small = dial(), large = dial();

	(void)state;
	say(small, POST "Content-Length: 9\r\n\r\nhalf");
	say(large, POST "Content-Length: 9000000\r\n\r\nlittle");
	turn_until(server_active() == 2);
	assert_int_equal(TAILQ_FIRST(&server.clients)->intake.room, 9);
	assert_int_equal(TAILQ_LAST(&server.clients, client_list)->intake.room, 1048576);
	assert_int_equal(server_body_bytes(), strlen("half") + strlen("little"));
	close(small);
	close(large);
}

static void a_body_that_comes_steadily_gets_more_time(void **state)
{
	size_t piece = 64 * 1024;
	char *body = pattern(piece);
	int fd = dial();

	(void)state;
	server_patience.body = 150;
	say(fd, POST "Content-Length: 196608\r\n\r\n");
	for (int i = 0; i < 3; i++) {
		assert_true(sayn(fd, body, piece));
		turns_for(100); /* twice that at the end */
	}
	turn_until(trace.s != NULL && strcmp(trace.s, "POST:/x ") == 0);
	free(body);
	close(fd);
}

static struct evbuffer *bytes_of(size_t len)
{
	struct evbuffer *data = evbuffer_new();
	char *bytes = pattern(len);

	evbuffer_add(data, bytes, len);
	free(bytes);
	return data;
}

static void who_reads_slowly_holds_its_source_back(void **state)
{
	size_t sent = 0, rounds = 0, total = 2u * 1024 * 1024;
	const int small = 32 * 1024; /* so that what waits drains in small steps */
	struct server_options o = options();
	int fd;

	(void)state;
	o.max_held = 1; /* memory is short */
	restart(&o);
	fd = dial();
	say(fd, GET_LATER);
	turn_until(waiting != NULL);
	setsockopt(waiting->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	client_begin(waiting, 200, NULL, (int64_t)total);
	for (; sent < total; sent += 64 * 1024) {
		struct evbuffer *piece = bytes_of(64 * 1024);
		bool more = client_send(waiting, piece);

		evbuffer_free(piece);
		assert_int_equal(more, evbuffer_get_length(waiting->out) <= REPLY_HIGH);
		assert_true(evbuffer_get_length(waiting->out) <= REPLY_HIGH + 64 * 1024);
		if (more)
			continue;
		rounds++;
		text_reset(&trace);
		drained_at = 0;
		turns_for(3);
		assert_string_equal(trace.s, ""); /* nobody has read */
		while (evbuffer_get_length(waiting->out) > 0)
			hearn(fd, &heard, heard.len + 1);
		assert_string_equal(trace.s, "drained ");
		assert_true(drained_at < REPLY_LOW && drained_at > 0);
	}
	client_end(waiting);
	hearn(fd, &heard, (size_t)(strstr(heard.s, "\r\n\r\n") + 4 - heard.s) + total);
	assert_true(rounds > 1);
	close(fd);
}

static void what_a_slow_reader_has_not_read_is_kept_for_it(void **state)
{
	struct evbuffer *data = bytes_of(16u * 1024 * 1024);
	int fd = dial();

	(void)state;
	say(fd, GET_LATER);
	turn_until(waiting != NULL);
	client_begin(waiting, 200, NULL, 16 * 1024 * 1024);
	assert_true(client_send(waiting, data));
	assert_true(server_reply_bytes() > REPLY_HIGH);
	assert_int_equal(server_held_bytes(), server_reply_bytes());
	client_end(waiting);
	hearn(fd, &heard,
	      (size_t)(strstr(hearn(fd, &heard, 500), "\r\n\r\n") + 4 - heard.s) +
	              16u * 1024 * 1024);
	turn_until(server_reply_bytes() == 0);
	evbuffer_free(data);
	close(fd);
}

static void nobody_has_more_kept_than_is_reasonable(void **state)
{
	struct evbuffer *data = bytes_of(REPLY_MOST + 16u * 1024 * 1024);
	int fd = dial();

	(void)state;
	say(fd, GET_LATER);
	turn_until(waiting != NULL);
	client_begin(waiting, 200, NULL, -1);
	assert_false(client_send(waiting, data));
	evbuffer_free(data);
	close(fd);
	turn_until(waiting == NULL);
}

/* From then on it may be read as slowly as any other. */
static void an_answer_that_is_complete_keeps_no_source_waiting(void **state)
{
	struct evbuffer *data = bytes_of(REPLY_MOST + 16u * 1024 * 1024);
	struct client *c;
	int fd = dial();

	(void)state;
	say(fd, GET_LATER);
	turn_until(waiting != NULL);
	c = waiting;
	client_begin(c, 200, NULL, -1);
	assert_false(client_send(c, data));
	assert_true(c->throttled);
	client_end(c);
	assert_false(c->throttled);
	evbuffer_free(data);
	close(fd);
	turn_until(server_connections() == 0);
}

/* A byte now and then is progress, but not enough of it. */
static void who_reads_a_byte_now_and_then_is_cut_too(void **state)
{
	msec start = clock_ms();
	char byte;
	int fd = dial();

	(void)state;
	server_patience.stall = 80;
	answer = blob_adopt(pattern(32u * 1024 * 1024), 32u * 1024 * 1024);
	say(fd, "GET /blob HTTP/1.1\r\nHost: h\r\n\r\n");
	turn_until(server_connections() == 1);
	while (server_connections() == 1 && clock_ms() < start + PATIENCE) {
		(void)!recv(fd, &byte, 1, 0);
		turns_for(5);
	}
	assert_int_equal(server_connections(), 0);
	assert_true(clock_ms() < start + 1500);
	close(fd);
}

static void patience_grows_with_what_is_moved_but_is_not_saved_up(void **state)
{
	msec now = clock_ms();

	(void)state;
	assert_true(server_patience_after(now, 1, 16384, 30000) == now);
	assert_true(server_patience_after(now, 16384, 16384, 30000) == now + 1000);
	assert_true(server_patience_after(now, 1u << 30, 16384, 30000) <= now + 31000);
}

/* ---- too much for all together ---- */

static void a_body_announced_takes_no_place_from_others(void **state)
{
	struct server_options o = options();
	int fds[8], small;

	(void)state;
	o.max_held = 16u * 1024 * 1024;
	restart(&o);
	for (int i = 0; i < 8; i++) {
		fds[i] = dial();
		say(fds[i], POST "Content-Length: 16000000\r\n\r\n");
	}
	turn_until(server_active() == 8);
	assert_int_equal(server_held_bytes(), 0);
	small = dial();
	say(small, POST "Content-Length: 4\r\n\r\nbody");
	assert_true(ends_with(hear(small, &heard), "body"));
	for (int i = 0; i < 8; i++)
		close(fds[i]);
	close(small);
}

/* Four bodies of 1 MB where 2.5 MB fit, all of them half there. */
static void bodies_that_are_too_much_together_do_not_wait_for_one_another(void **state)
{
	static const char *const heads[] = {POST "Content-Length: 1048576\r\n\r\n",
	                                    POST "Transfer-Encoding: chunked\r\n\r\n"
	                                         "100000\r\n"};
	size_t half = 512u * 1024;
	struct server_options o = options();
	char *body = pattern(half);
	int fds[4], whole = 0, refused = 0;

	(void)state;
	o.max_held = 5 * half;
	restart(&o);
	for (int i = 0; i < 4; i++) {
		fds[i] = dial();
		say(fds[i], heads[i % 2]);
		assert_true(sayn(fds[i], body, half));
	}
	turn_until(server_body_bytes() > 3 * half); /* pressure.c: the last waits */
	for (int i = 0; i < 4; i++) {
		sayn(fds[i], body, half);
		if (i % 2 == 1)
			sayn(fds[i], "\r\n0\r\n\r\n", 7);
		hear(fds[i], &heard);
		whole += starts_with(heard.s, "HTTP/1.1 200 ");
		refused += starts_with(heard.s, "HTTP/1.1 429 ");
		close(fds[i]);
	}
	assert_true(whole >= 2 && whole + refused == 4);
	free(body);
}

static void one_body_alone_always_fits(void **state)
{
	struct server_options o = options();
	char *body = pattern(100000);
	int fd;

	(void)state;
	o.max_held = 1000;
	restart(&o);
	fd = dial();
	say(fd, POST "Content-Length: 100000\r\n\r\n");
	assert_true(sayn(fd, body, 100000));
	assert_true(starts_with(hear(fd, &heard), "HTTP/1.1 200 "));
	free(body);
	close(fd);
}

static void who_has_read_everything_at_last_is_left_alone(void **state)
{
	int fd = dial();

	(void)state;
	server_patience.stall = 150;
	answer = blob_adopt(pattern(8u * 1024 * 1024), 8u * 1024 * 1024);
	say(fd, "GET /blob HTTP/1.1\r\nHost: h\r\n\r\n");
	hear(fd, &heard);
	turns_for(250);
	say(fd, GET);
	assert_true(starts_with(hear(fd, &heard), "HTTP/1.1 200"));
	close(fd);
}

static void who_does_not_read_at_all_is_cut(void **state)
{
	int fd = dial();

	(void)state;
	server_patience.stall = 50;
	answer = blob_adopt(pattern(32u * 1024 * 1024), 32u * 1024 * 1024);
	say(fd, "GET /blob HTTP/1.1\r\nHost: h\r\n\r\n");
	turn_until(server_connections() == 1);
	turn_until(server_connections() == 0);
	hear_all(fd, &heard);
	assert_true(was_reset);
	assert_true(heard.len < 32u * 1024 * 1024);
	close(fd);
}

static void a_busy_source_does_not_help_who_does_not_read(void **state)
{
	struct evbuffer *much = bytes_of(16u * 1024 * 1024);
	msec start = clock_ms();
	int fd = dial();

	(void)state;
	server_patience.stall = 80;
	say(fd, GET_LATER);
	turn_until(waiting != NULL);
	client_begin(waiting, 200, NULL, -1);
	client_send(waiting, much);
	while (waiting != NULL && clock_ms() < start + PATIENCE) {
		struct evbuffer *little = bytes_of(1);

		client_send(waiting, little);
		evbuffer_free(little);
		turns_for(10);
	}
	assert_true(clock_ms() < start + 1000);
	evbuffer_free(much);
	close(fd);
}

static void who_does_not_read_an_answer_in_pieces_is_cut_and_told_gone(void **state)
{
	struct evbuffer *data = bytes_of(16u * 1024 * 1024);
	int fd = dial();

	(void)state;
	server_patience.stall = 50;
	say(fd, GET_LATER);
	turn_until(waiting != NULL);
	client_begin(waiting, 200, NULL, -1);
	client_send(waiting, data);
	turn_until(waiting == NULL);
	assert_string_equal(trace.s, "GET:/later gone ");
	evbuffer_free(data);
	close(fd);
}

static void an_answer_of_32_mb_is_not_copied_and_arrives_whole(void **state)
{
	size_t len = 32u * 1024 * 1024, held;
	int fd = dial();

	(void)state;
	answer = blob_adopt(pattern(len), len);
	say(fd, "GET /blob HTTP/1.0\r\n\r\n");
	turn_until(server_active() == 1);
	held = blob_total();
	assert_int_equal(held, len);
	hear_all(fd, &heard);
	assert_true(ends_with(heard.s, blob_bytes(answer)));
	assert_false(was_reset);
	close(fd);
}

/* ---- gone ---- */

static void who_leaves_before_the_answer_is_told_once(void **state)
{
	int fd = dial();

	(void)state;
	say(fd, GET_LATER);
	turn_until(waiting != NULL);
	close(fd);
	turn_until(waiting == NULL);
	turns_for(5);
	assert_string_equal(trace.s, "GET:/later gone ");
	assert_int_equal(server_connections(), 0);
}

static void reset(int fd)
{
	const struct linger now = {.l_onoff = 1};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

static void who_leaves_during_an_answer_in_pieces_is_told_once(void **state)
{
	struct evbuffer *data = bytes_of(4u * 1024 * 1024);
	int fd = dial();

	(void)state;
	say(fd, GET_LATER);
	turn_until(waiting != NULL);
	client_begin(waiting, 200, NULL, -1);
	client_send(waiting, data);
	reset(fd);
	turn_until(waiting == NULL);
	turns_for(5);
	assert_string_equal(trace.s, "GET:/later gone ");
	evbuffer_free(data);
}

static void sending_to_who_has_left_is_harmless_until_told(void **state)
{
	struct evbuffer *data;
	int fd = dial();

	(void)state;
	say(fd, GET_LATER);
	turn_until(waiting != NULL);
	reset(fd); /* and the loop has not turned yet */
	client_begin(waiting, 200, NULL, -1);
	for (int i = 0; i < 4; i++) {
		data = bytes_of(100000);
		client_send(waiting, data);
		assert_int_equal(evbuffer_get_length(data), 0);
		evbuffer_free(data);
	}
	turn_until(waiting == NULL);
	assert_string_equal(trace.s, "GET:/later gone ");
}

static void an_answer_to_who_has_left_is_dropped_and_not_told(void **state)
{
	int fd = dial();

	(void)state;
	answer = blob_adopt(pattern(100000), 100000);
	say(fd, GET_LATER);
	turn_until(waiting != NULL);
	reset(fd);
	client_reply(waiting, 200, NULL, answer);
	turn_until(server_connections() == 0);
	assert_string_equal(trace.s, "GET:/later ");
}

static void who_leaves_in_the_middle_of_a_head_or_body_is_forgotten(void **state)
{
	static const char *const parts[] = {
	        "G", "GET /x HTTP/1.1\r\nHo", POST "Content-Length: 9\r\n\r\nhalf",
	        POST "Transfer-Encoding: chunked\r\n\r\n5\r\nab"};

	(void)state;
	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		int fd = dial();

		say(fd, parts[i]);
		turn_until(server_connections() == 1);
		turns_for(3);
		assert_int_equal(server_body_bytes() > 0, i >= 2);
		close(fd);
		turn_until(server_connections() == 0);
	}
	assert_null(trace.s);
}

static void two_thousand_quick_connections_opened_and_reset_leave_nothing(void **state)
{
	static const char *const words[] = {"",
	                                    "GET",
	                                    GET,
	                                    GET_LATER,
	                                    GET GET_LATER GET,
	                                    POST "Content-Length: 9\r\n\r\nhalf"};

	(void)state;
	for (size_t i = 0; i < 2000; i++) {
		int fd = dial();
		const char *word = words[i % (sizeof(words) / sizeof(*words))];

		if (i % 3 == 0)
			turn();
		if (*word != '\0')
			assert_int_equal(send(fd, word, strlen(word), MSG_NOSIGNAL),
			                 strlen(word));
		if (i % 2 == 0)
			turn();
		if (i % 5 != 0)
			reset(fd);
		else
			close(fd);
	}
	turn_until(server_connections() == 0);
	assert_int_equal(server_active(), 0);
}

/* ---- answers that must not look whole ---- */

static void an_aborted_answer_does_not_look_whole(void **state)
{
	struct evbuffer *data = bytes_of(10);
	int fd = dial();

	(void)state;
	say(fd, "GET /later HTTP/1.0\r\n\r\n"); /* its end would be the close */
	turn_until(waiting != NULL);
	client_begin(waiting, 200, NULL, -1);
	client_send(waiting, data);
	turns_for(3);
	client_abort(waiting);
	hear_all(fd, &heard);
	assert_true(was_reset);
	assert_string_equal(trace.s, "GET:/later ");
	evbuffer_free(data);
	close(fd);
}

static void an_answer_that_breaks_its_promise_does_not_look_whole(void **state)
{
	(void)state;
	for (int length = 9; length <= 11; length += 2) {
		struct evbuffer *data = bytes_of(10);
		int fd = dial();

		waiting = NULL;
		text_reset(&trace);
		say(fd, GET_LATER);
		turn_until(waiting != NULL);
		client_begin(waiting, 200, NULL, length);
		assert_true(client_send(waiting, data));
		assert_int_equal(evbuffer_get_length(data), 0);
		if (length == 11)
			client_end(waiting); /* one less than promised */
		hear_all(fd, &heard);
		assert_true(was_reset);
		assert_string_equal(trace.s,
		                    length == 9 ? "GET:/later gone " : "GET:/later ");
		evbuffer_free(data);
		close(fd);
	}
}

/* ---- the end ---- */

static void draining_closes_idle_connections_but_not_the_port(void **state)
{
	int fd = dial(), port = server_port();

	(void)state;
	say(fd, GET);
	assert_null(strstr(hear(fd, &heard), "connection: close"));
	server_drain(0);
	assert_string_equal(hear_all(fd, &heard), "");
	assert_false(was_reset);
	close(fd);
	turn_until(server_connections() == 0);
	assert_int_equal(server_port(), port);
}

static void with_another_proxy_there_the_port_is_closed(void **state)
{
	int fd = dial(), port = server_port();

	(void)state;
	turn_until(server_connections() == 1);
	server_drain(5000);
	assert_true(server_awaits_last());
	assert_int_equal(dial_port(port), -1);
	assert_int_equal(server_port(), port);
	say(fd, GET);
	assert_non_null(strstr(hear_all(fd, &heard), "connection: close\r\n"));
	close(fd);
	turn_until(server_connections() == 0);
	assert_false(server_awaits_last());
}

static void who_comes_while_it_drains_is_late_and_has_one_answer(void **state)
{
	int early = dial(), late;

	(void)state;
	say(early, GET_LATER);
	turn_until(waiting != NULL);
	assert_false(client_is_late(waiting));
	client_reply(waiting, 200, NULL, NULL);
	waiting = NULL;
	server_drain(0);
	late = dial();
	say(late, GET_LATER);
	turn_until(waiting != NULL);
	assert_true(client_is_late(waiting));
	client_reply(waiting, 503, NULL, NULL);
	assert_non_null(strstr(hear_all(late, &heard), "connection: close\r\n"));
	close(early);
	close(late);
	turn_until(server_connections() == 0);
}

static void draining_lets_requests_finish_and_then_closes(void **state)
{
	int fd = dial(), half = dial(), unread = dial();

	(void)state;
	turn_until(server_connections() == 3);
	say(fd, GET_LATER);
	say(half, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbo");
	turn_until(waiting != NULL && server_active() == 2);
	assert_int_equal(send(unread, GET, strlen(GET), 0), strlen(GET));
	server_drain(0);
	turns_for(5);
	client_reply(waiting, 200, NULL, NULL);
	assert_non_null(strstr(hear_all(fd, &heard), "connection: close\r\n"));
	assert_true(starts_with(heard.s, "HTTP/1.1 200"));
	assert_non_null(strstr(hear_all(unread, &heard), "connection: close\r\n"));
	say(half, "dy");
	assert_true(ends_with(hear_all(half, &heard), "connection: close\r\n\r\nbody"));
	close(fd);
	close(half);
	close(unread);
	turn_until(server_connections() == 0);
}

static void an_answer_begun_before_draining_is_the_last(void **state)
{
	struct evbuffer *data = bytes_of(10);
	int fd = dial();

	(void)state;
	say(fd, GET_LATER GET);
	turn_until(waiting != NULL);
	client_begin(waiting, 200, NULL, 10);
	client_send(waiting, data);
	server_drain(0);
	client_end(waiting);
	hear_all(fd, &heard);
	assert_null(strstr(heard.s, "connection: close"));
	assert_false(was_reset);
	assert_string_equal(trace.s, "GET:/later ");
	evbuffer_free(data);
	close(fd);
}

static void stopping_tells_those_who_wait_and_frees_everything(void **state)
{
	struct evbuffer *data = bytes_of(8u * 1024 * 1024);
	int later = dial(), idle = dial(), half = dial(), part = dial(), over = dial();

	(void)state;
	answer = blob_adopt(pattern(8u * 1024 * 1024), 8u * 1024 * 1024);
	say(part, "GET /x HT");
	say(half, POST "Content-Length: 9\r\n\r\nhalf");
	say(over, "GET /blob HTTP/1.1\r\nHost: h\r\n\r\n");
	say(later, GET_LATER GET);
	turn_until(waiting != NULL && server_connections() == 5);
	client_begin(waiting, 200, NULL, -1);
	client_send(waiting, data);
	server_stop();
	assert_string_equal(trace.s, "GET:/blob GET:/later gone ");
	assert_int_equal(server_connections(), 0);
	assert_int_equal(server_active(), 0);
	hear_all(idle, &heard);
	evbuffer_free(data);
	close(later);
	close(idle);
	close(half);
	close(part);
	close(over);
}

static void it_can_be_started_again(void **state)
{
	struct server_options o = options();

	(void)state;
	for (int i = 0; i < 5; i++) {
		int fd;

		restart(&o);
		fd = dial();
		say(fd, GET);
		assert_true(starts_with(hear(fd, &heard), "HTTP/1.1 200"));
		close(fd);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, clean)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(what_could_be_read_in_two_ways_is_refused_and_the_connection_closed),
	        TEST(a_nul_in_a_head_is_refused),
	        TEST(what_follows_a_malformed_request_is_not_a_request),
	        TEST(an_endless_head_is_refused),
	        TEST(a_body_declared_too_large_is_refused_before_it_comes),
	        TEST(a_chunked_body_is_cut_off_where_it_becomes_too_large),
	        TEST(a_body_of_exactly_the_limit_is_taken),
	        TEST(who_is_refused_can_read_why_while_still_sending),
	        TEST(http_1_0_too_can_read_why_while_still_sending),
	        TEST(who_goes_on_sending_after_a_refusal_is_cut),
	        TEST(lingering_ends),
	        TEST(pipelining_without_end_is_not_read_without_end),
	        TEST(reading_goes_on_after_a_pause_of_pipelining),
	        TEST(above_the_limit_clients_wait_at_the_door),
	        TEST(at_the_limit_the_one_idle_longest_goes),
	        TEST(an_idle_connection_is_closed_without_a_word),
	        TEST(a_head_that_trickles_in_is_cut_off_with_408),
	        TEST(a_body_that_does_not_come_is_given_up_with_408),
	        TEST(a_body_that_stops_coming_is_given_up_all_the_same),
	        TEST(room_for_a_body_is_made_as_it_comes),
	        TEST(a_body_that_comes_steadily_gets_more_time),
	        TEST(who_reads_slowly_holds_its_source_back),
	        TEST(what_a_slow_reader_has_not_read_is_kept_for_it),
	        TEST(nobody_has_more_kept_than_is_reasonable),
	        TEST(an_answer_that_is_complete_keeps_no_source_waiting),
	        TEST(who_reads_a_byte_now_and_then_is_cut_too),
	        TEST(patience_grows_with_what_is_moved_but_is_not_saved_up),
	        TEST(a_body_announced_takes_no_place_from_others),
	        TEST(bodies_that_are_too_much_together_do_not_wait_for_one_another),
	        TEST(one_body_alone_always_fits),
	        TEST(who_has_read_everything_at_last_is_left_alone),
	        TEST(who_does_not_read_at_all_is_cut),
	        TEST(a_busy_source_does_not_help_who_does_not_read),
	        TEST(who_does_not_read_an_answer_in_pieces_is_cut_and_told_gone),
	        TEST(an_answer_of_32_mb_is_not_copied_and_arrives_whole),
	        TEST(who_leaves_before_the_answer_is_told_once),
	        TEST(who_leaves_during_an_answer_in_pieces_is_told_once),
	        TEST(sending_to_who_has_left_is_harmless_until_told),
	        TEST(an_answer_to_who_has_left_is_dropped_and_not_told),
	        TEST(who_leaves_in_the_middle_of_a_head_or_body_is_forgotten),
	        TEST(two_thousand_quick_connections_opened_and_reset_leave_nothing),
	        TEST(an_aborted_answer_does_not_look_whole),
	        TEST(an_answer_that_breaks_its_promise_does_not_look_whole),
	        TEST(draining_closes_idle_connections_but_not_the_port),
	        TEST(with_another_proxy_there_the_port_is_closed),
	        TEST(who_comes_while_it_drains_is_late_and_has_one_answer),
	        TEST(draining_lets_requests_finish_and_then_closes),
	        TEST(an_answer_begun_before_draining_is_the_last),
	        TEST(stopping_tells_those_who_wait_and_frees_everything),
	        TEST(it_can_be_started_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
