/* Requests and answers as they should be. */
#include "tests/unit/http/peer.h"

#define GET "GET /x HTTP/1.1\r\nHost: h\r\n\r\n"

static struct text heard;

static int clean(void **state)
{
	text_clear(&heard);
	return teardown(state);
}

static void a_request_gets_its_answer_with_small_header_names(void **state)
{
	int fd = dial();

	(void)state;
	say(fd, GET);
	assert_string_equal(hear(fd, &heard), "HTTP/1.1 200 OK\r\n"
	                                      "content-type: application/json\r\n"
	                                      "content-length: 0\r\n\r\n");
	assert_string_equal(trace.s, "GET:/x ");
	close(fd);
}

static void an_answer_without_content_type_gets_none(void **state)
{
	int fd = dial();

	(void)state;
	answer = blob_create("hi", 2);
	say(fd, "GET /blob HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_string_equal(hear(fd, &heard),
	                    "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
	close(fd);
}

static void an_answer_has_a_date(void **state)
{
	int fd = dial();

	(void)state;
	say(fd, "GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	assert_non_null(strstr(hear_all(fd, &heard), "\r\ndate: "));
	assert_non_null(strstr(heard.s, " GMT\r\n"));
	close(fd);
}

static void a_204_has_neither_length_nor_body(void **state)
{
	int fd = dial();

	(void)state;
	say(fd, "GET /none HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_string_equal(hear(fd, &heard), "HTTP/1.1 204 No Content\r\n\r\n");
	say(fd, GET);
	assert_true(starts_with(hear(fd, &heard), "HTTP/1.1 200 OK\r\n"));
	close(fd);
}

static void the_query_and_odd_bytes_of_a_target_come_through_untouched(void **state)
{
	static const char *const targets[] = {
	        "/a?",     "/a?%4z=1&%", "/a?x=%zz&&=;", "/a//b/.c?/../c",
	        "/%2F%00", "/?",         "/a:b;c=d",     "/a\"<>\\^`{|}~",
	        "/a/?/b",  "/...",       "//",           "/coll'ection(1)*!$&+,@",
	};
	struct text say_this = {0}, expected = {0};
	int fd = dial();

	(void)state;
	for (size_t i = 0; i < sizeof(targets) / sizeof(*targets); i++) {
		text_reset(&say_this);
		text_addf(&say_this, "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", targets[i]);
		text_addf(&expected, "GET:%s ", targets[i]);
		say(fd, say_this.s);
		assert_true(starts_with(hear(fd, &heard), "HTTP/1.1 200 OK\r\n"));
	}
	assert_string_equal(trace.s, expected.s);
	text_clear(&say_this);
	text_clear(&expected);
	close(fd);
}

static void a_long_target_of_odd_bytes_comes_through(void **state)
{
	struct text target = {0}, request = {0};
	int fd = dial();

	(void)state;
	text_addc(&target, '/');
	while (target.len < 7900)
		text_adds(&target, "\"/.%");
	text_addf(&request, "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", target.s);
	say(fd, request.s);
	assert_true(starts_with(hear(fd, &heard), "HTTP/1.1 200 OK\r\n"));
	text_clear(&target);
	text_clear(&request);
	close(fd);
}

static void methods_that_libevhtp_does_not_know_come_through(void **state)
{
	static const char *const methods[] = {"get", "M-SEARCH", "BREW", "CONNECT",
	                                      "X_Y"};
	struct text expected = {0};
	int fd = dial();

	(void)state;
	for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++) {
		say(fd, methods[i]);
		say(fd, " /x HTTP/1.1\r\nHost: h\r\n\r\n");
		assert_true(starts_with(hear(fd, &heard), "HTTP/1.1 200 OK\r\n"));
		text_addf(&expected, "%s:/x ", methods[i]);
	}
	assert_string_equal(trace.s, expected.s);
	text_clear(&expected);
	close(fd);
}

static void a_head_split_at_any_byte_is_the_same_head(void **state)
{
	const char *request =
	        "POST /api/v2/collections/%20?limit=3 HTTP/1.1\r\nHost: h\r\n"
	        "X-Long-Name: value\r\nContent-Length: 4\r\n\r\nbody";
	size_t len = strlen(request);
	int fd = dial();

	(void)state;
	for (size_t at = 1; at < len; at++) {
		text_reset(&trace);
		assert_true(sayn(fd, request, at));
		turns_for(0);
		assert_true(sayn(fd, request + at, len - at));
		assert_true(ends_with(hear(fd, &heard), "\r\n\r\nbody"));
		assert_string_equal(trace.s, "POST:/api/v2/collections/%20?limit=3 ");
	}
	close(fd);
}

static void a_request_sent_byte_by_byte_is_understood(void **state)
{
	const char *request = "POST /x HTTP/1.1\r\nHost: h\r\n"
	                      "Transfer-Encoding: chunked\r\n\r\n"
	                      "3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: v\r\n\r\n";
	int fd = dial();

	(void)state;
	for (const char *at = request; *at != '\0'; at++) {
		assert_true(sayn(fd, at, 1));
		turn();
	}
	assert_true(ends_with(hear(fd, &heard), "\r\n\r\nabcde"));
	close(fd);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
	int fd = dial();

	(void)state;
	say(fd, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
	        "POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\none"
	        "POST /c HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
	        "Transfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n");
	hear_all(fd, &heard);
	assert_string_equal(trace.s, "GET:/a POST:/b POST:/c ");
	assert_non_null(strstr(heard.s, "\r\n\r\noneHTTP/1.1 200 OK\r\n"));
	assert_true(ends_with(heard.s, "connection: close\r\n\r\ntwo"));
	close(fd);
}

static void a_pipelined_request_waits_for_the_answer_before_it(void **state)
{
	int fd = dial();

	(void)state;
	say(fd, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n" GET);
	turns_for(20);
	assert_string_equal(trace.s, "GET:/later ");
	client_reply(waiting, 201, NULL, NULL);
	assert_true(starts_with(hear(fd, &heard), "HTTP/1.1 201 Created\r\n"));
	turn_until(strcmp(trace.s, "GET:/later GET:/x ") == 0);
	close(fd);
}

static void a_thousand_pipelined_requests_do_not_pile_up_on_the_stack(void **state)
{
	struct text request = {0};
	size_t answers = 0;
	int fd = dial();

	(void)state;
	for (int i = 0; i < 999; i++)
		text_adds(&request, GET);
	text_adds(&request, "GET /x HTTP/1.0\r\n\r\n");
	assert_true(sayn(fd, request.s, request.len));
	hear_all(fd, &heard);
	for (const char *at = heard.s; (at = strstr(at, "HTTP/1.1 200")) != NULL; at++)
		answers++;
	assert_int_equal(answers, 1000);
	text_clear(&request);
	close(fd);
}

static void post(int fd, const char *type, const char *body, size_t len)
{
	struct text head = {0};

	text_addf(&head, "POST /x HTTP/1.1\r\nHost: h\r\n%sContent-Length: %zu\r\n\r\n",
	          type, len);
	assert_true(sayn(fd, head.s, head.len));
	assert_true(sayn(fd, body, len));
	text_clear(&head);
}

static void a_large_body_arrives_and_returns_byte_for_byte(void **state)
{
	static const size_t sizes[] = {1, 4096, 4097, 70000, 1048576, 1048577, 5000000};
	int fd = dial();

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		char *body = pattern(sizes[i]);

		last_body = 0;
		post(fd, "", body, sizes[i]);
		hear(fd, &heard);
		assert_int_equal(last_body, sizes[i]);
		assert_true(last_sum == sum_of(body, sizes[i]));
		assert_true(ends_with(heard.s, body));
		free(body);
	}
	close(fd);
}

static void a_form_of_8_mb_is_just_a_body(void **state)
{
	size_t len = 8 * 1024 * 1024;
	char *body = pattern(len);
	int fd = dial();

	(void)state;
	post(fd, "Content-Type: application/x-www-form-urlencoded\r\n", body, len);
	hear(fd, &heard);
	assert_int_equal(last_body, len);
	assert_true(ends_with(heard.s, body));
	free(body);
	close(fd);
}

static void a_chunked_body_is_gathered(void **state)
{
	size_t len = 300000, at = 0, step = 1;
	char *body = pattern(len);
	struct text chunks = {0};
	int fd = dial();

	(void)state;
	for (; at < len; at += step, step = step * 3 % 50021) {
		size_t n = step < len - at ? step : len - at;

		text_addf(&chunks, "%zX\r\n%.*s\r\n", n, (int)n, body + at);
		step = n;
	}
	text_adds(&chunks, "0\r\n\r\n");
	say(fd, "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n");
	assert_true(sayn(fd, chunks.s, chunks.len));
	hear(fd, &heard);
	assert_int_equal(last_body, len);
	assert_true(last_sum == sum_of(body, len));
	text_clear(&chunks);
	free(body);
	close(fd);
}

static void an_empty_chunked_body_is_no_body(void **state)
{
	int fd = dial();

	(void)state;
	last_body = 1;
	say(fd, "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
	        "0\r\n\r\n" GET);
	hear(fd, &heard);
	assert_int_equal(last_body, 0);
	turn_until(strcmp(trace.s, "POST:/x GET:/x ") == 0);
	close(fd);
}

static void who_expects_100_continue_gets_it_before_the_body(void **state)
{
	int fd = dial();

	(void)state;
	say(fd, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n"
	        "Expect: 100-continue\r\n\r\n");
	assert_string_equal(hearn(fd, &heard, 25), "HTTP/1.1 100 Continue\r\n\r\n");
	say(fd, "body");
	assert_true(ends_with(hear(fd, &heard), "\r\n\r\nbody"));
	assert_true(starts_with(heard.s, "HTTP/1.1 200 OK\r\n"));
	close(fd);
}

static void who_did_not_wait_for_100_continue_gets_none(void **state)
{
	int fd = dial();

	(void)state;
	say(fd, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n"
	        "Expect: 100-continue\r\n\r\nbo");
	turns_for(5);
	say(fd, "dy");
	assert_true(starts_with(hear(fd, &heard), "HTTP/1.1 200 OK\r\n"));
	close(fd);
}

static void a_refused_head_gets_no_100_continue(void **state)
{
	int fd = dial();

	(void)state;
	say(fd, "POST /refused HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n"
	        "Expect: 100-continue\r\n\r\n");
	assert_true(starts_with(hear_all(fd, &heard), "HTTP/1.1 403 Forbidden\r\n"));
	assert_true(ends_with(heard.s, "connection: close\r\n\r\nno"));
	assert_false(was_reset);
	close(fd);
}

static void http_1_0_ends_with_the_answer(void **state)
{
	int fd = dial();

	(void)state;
	say(fd, "POST /x HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi");
	hear_all(fd, &heard);
	assert_true(starts_with(heard.s, "HTTP/1.1 200 OK\r\n"));
	assert_non_null(strstr(heard.s, "connection: close\r\n"));
	assert_true(ends_with(heard.s, "\r\n\r\nhi"));
	assert_false(was_reset);
	close(fd);
}

static void http_1_0_goes_on_if_it_asks_to(void **state)
{
	int fd = dial();

	(void)state;
	for (int i = 0; i < 3; i++) {
		say(fd, "GET /x HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
		assert_non_null(strstr(hear(fd, &heard), "connection: keep-alive\r\n"));
	}
	close(fd);
}

static void connection_close_is_honoured_in_a_list(void **state)
{
	int fd = dial();

	(void)state;
	say(fd, "GET /x HTTP/1.1\r\nHost: h\r\nConnection: foo, Close\r\n\r\n");
	assert_non_null(strstr(hear_all(fd, &heard), "connection: close\r\n"));
	assert_int_equal(server_connections(), 0);
	close(fd);
}

static void head_gets_the_length_but_not_the_body(void **state)
{
	int fd = dial();

	(void)state;
	answer = blob_create("0123456789", 10);
	say(fd, "HEAD /blob HTTP/1.1\r\nHost: h\r\n\r\n"
	        "HEAD /blob HTTP/1.0\r\n\r\n");
	hear_all(fd, &heard);
	assert_non_null(strstr(heard.s, "content-length: 10\r\n"));
	assert_null(strstr(heard.s, "0123456789"));
	assert_non_null(strstr(heard.s, "\r\n\r\nHTTP/1.1 200 OK\r\n"));
	close(fd);
}

static void send_text(struct client *c, const char *text)
{
	struct evbuffer *data = evbuffer_new();

	evbuffer_add(data, text, strlen(text));
	assert_true(client_send(c, data));
	assert_int_equal(evbuffer_get_length(data), 0);
	evbuffer_free(data);
}

static void stream(int64_t length)
{
	turn_until(waiting != NULL);
	client_begin(waiting, 200, NULL, length);
	send_text(waiting, "Hello, ");
	turns_for(3);
	send_text(waiting, "");
	send_text(waiting, "world");
	client_end(waiting);
	waiting = NULL;
}

static void an_answer_in_pieces_is_chunked_if_its_length_is_not_known(void **state)
{
	int fd = dial();

	(void)state;
	say(fd, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n"
	        "GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	stream(-1);
	hear_all(fd, &heard);
	assert_non_null(strstr(heard.s, "transfer-encoding: chunked\r\n"));
	assert_non_null(strstr(heard.s, "\r\n\r\n7\r\nHello, \r\n5\r\nworld\r\n0\r\n\r\n"
	                                "HTTP/1.1 200 OK\r\n"));
	close(fd);
}

static void an_answer_in_pieces_of_a_known_length(void **state)
{
	int fd = dial();

	(void)state;
	say(fd, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
	stream(12);
	assert_string_equal(hear(fd, &heard), "HTTP/1.1 200 OK\r\n"
	                                      "content-length: 12\r\n\r\nHello, world");
	close(fd);
}

static void an_answer_in_pieces_to_http_1_0_ends_with_the_connection(void **state)
{
	int fd = dial();

	(void)state;
	say(fd, "GET /later HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	stream(-1);
	hear_all(fd, &heard);
	assert_null(strstr(heard.s, "transfer-encoding"));
	assert_null(strstr(heard.s, "content-length"));
	assert_true(ends_with(heard.s, "connection: close\r\n\r\nHello, world"));
	assert_false(was_reset);
	close(fd);
}

static void an_answer_in_pieces_to_head_has_no_body(void **state)
{
	int fd = dial();

	(void)state;
	say(fd, "HEAD /later HTTP/1.1\r\nHost: h\r\n\r\n"
	        "GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	stream(12);
	hear_all(fd, &heard);
	assert_non_null(strstr(heard.s, "content-length: 12\r\n"));
	assert_non_null(strstr(heard.s, "\r\n\r\nHTTP/1.1 200 OK\r\n"));
	assert_null(strstr(heard.s, "Hello"));
	close(fd);
}

static void the_head_of_an_answer_does_not_wait_for_its_body(void **state)
{
	int fd = dial();

	(void)state;
	say(fd, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
	turn_until(waiting != NULL);
	client_begin(waiting, 200, NULL, 4);
	text_reset(&heard);
	assert_true(starts_with(hearn(fd, &heard, 40), "HTTP/1.1 200 OK\r\n"));
	send_text(waiting, "done");
	client_end(waiting);
	close(fd);
}

static void headers_that_are_ours_cannot_be_given(void **state)
{
	struct headers h = {0};
	int fd = dial();

	(void)state;
	headers_add(&h, "Content-Length", "99");
	headers_add(&h, "Transfer-Encoding", "gzip");
	headers_add(&h, "Connection", "upgrade");
	headers_add(&h, "Date", "never");
	headers_add(&h, "Retry-After", "1\r\nX-Evil: 1");
	say(fd, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
	turn_until(waiting != NULL);
	client_reply(waiting, 503, &h, NULL);
	assert_string_equal(hear(fd, &heard), "HTTP/1.1 503 Service Unavailable\r\n"
	                                      "retry-after: 1  X-Evil: 1\r\n"
	                                      "content-length: 0\r\n\r\n");
	headers_clear(&h);
	close(fd);
}

static void a_refusal_without_a_body_on_its_way_keeps_the_connection(void **state)
{
	int fd = dial();

	(void)state;
	say(fd, "GET /refused HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_string_equal(hear(fd, &heard), "HTTP/1.1 403 Forbidden\r\n"
	                                      "content-type: text/plain\r\n"
	                                      "content-length: 2\r\n\r\nno");
	say(fd, GET);
	assert_true(starts_with(hear(fd, &heard), "HTTP/1.1 200 OK\r\n"));
	assert_string_equal(trace.s, "refuse GET:/x ");
	close(fd);
}

static void the_client_has_an_address(void **state)
{
	int fd = dial();

	(void)state;
	say(fd, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
	turn_until(waiting != NULL);
	assert_string_equal(client_address(waiting), "127.0.0.1");
	assert_true(client_is_loopback(waiting));
	assert_int_equal(server_active(), 1);
	client_reply(waiting, 200, NULL, NULL);
	turn_until(server_active() == 0);
	assert_int_equal(server_connections(), 1);
	close(fd);
	turn_until(server_connections() == 0);
}

static bool knock_v6(int port)
{
	struct sockaddr_in6 to = {.sin6_family = AF_INET6,
	                          .sin6_port = htons((uint16_t)port),
	                          .sin6_addr = in6addr_loopback};
	int fd = socket(AF_INET6, SOCK_STREAM, 0);

	if (fd < 0)
		return true; /* there is no IPv6 here */
	if (connect(fd, (const void *)&to, sizeof(to)) != 0 && errno != EADDRNOTAVAIL) {
		close(fd);
		return false;
	}
	say(fd, "GET /x HTTP/1.0\r\n\r\n");
	fcntl(fd, F_SETFL, O_NONBLOCK);
	hear_all(fd, &heard);
	close(fd);
	return starts_with(heard.s, "HTTP/1.1 200");
}

static void every_address_means_ipv4_and_ipv6_on_one_port(void **state)
{
	struct server_options o = options();
	int fd;

	(void)state;
	o.listen = NULL;
	restart(&o);
	fd = dial();
	say(fd, GET);
	assert_true(starts_with(hear(fd, &heard), "HTTP/1.1 200"));
	close(fd);
	assert_true(knock_v6(server_port()));
}

static void a_taken_port_is_said_plainly(void **state)
{
	struct server_options o = options();
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in at = {.sin_family = AF_INET,
	                         .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	char *error;

	(void)state;
	assert_int_equal(bind(fd, (const void *)&at, len), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (void *)&at, &len), 0);
	server_stop();
	o.listen = NULL;
	o.port = ntohs(at.sin_port);
	error = server_start(&o);
	assert_non_null(error);
	assert_non_null(strstr(error, "cannot listen on port "));
	assert_true(ends_with(error, "Address already in use"));
	free(error);
	o.listen = "localhost:80";
	error = server_start(&o);
	assert_string_equal(error, "cannot listen on localhost:80: not an address as "
	                           "127.0.0.1:8000 or [::1]:8000");
	free(error);
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, clean)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(a_request_gets_its_answer_with_small_header_names),
	        TEST(an_answer_without_content_type_gets_none),
	        TEST(an_answer_has_a_date),
	        TEST(a_204_has_neither_length_nor_body),
	        TEST(the_query_and_odd_bytes_of_a_target_come_through_untouched),
	        TEST(a_long_target_of_odd_bytes_comes_through),
	        TEST(methods_that_libevhtp_does_not_know_come_through),
	        TEST(a_head_split_at_any_byte_is_the_same_head),
	        TEST(a_request_sent_byte_by_byte_is_understood),
	        TEST(pipelined_requests_are_answered_in_order),
	        TEST(a_pipelined_request_waits_for_the_answer_before_it),
	        TEST(a_thousand_pipelined_requests_do_not_pile_up_on_the_stack),
	        TEST(a_large_body_arrives_and_returns_byte_for_byte),
	        TEST(a_form_of_8_mb_is_just_a_body),
	        TEST(a_chunked_body_is_gathered),
	        TEST(an_empty_chunked_body_is_no_body),
	        TEST(who_expects_100_continue_gets_it_before_the_body),
	        TEST(who_did_not_wait_for_100_continue_gets_none),
	        TEST(a_refused_head_gets_no_100_continue),
	        TEST(http_1_0_ends_with_the_answer),
	        TEST(http_1_0_goes_on_if_it_asks_to),
	        TEST(connection_close_is_honoured_in_a_list),
	        TEST(head_gets_the_length_but_not_the_body),
	        TEST(an_answer_in_pieces_is_chunked_if_its_length_is_not_known),
	        TEST(an_answer_in_pieces_of_a_known_length),
	        TEST(an_answer_in_pieces_to_http_1_0_ends_with_the_connection),
	        TEST(an_answer_in_pieces_to_head_has_no_body),
	        TEST(the_head_of_an_answer_does_not_wait_for_its_body),
	        TEST(headers_that_are_ours_cannot_be_given),
	        TEST(a_refusal_without_a_body_on_its_way_keeps_the_connection),
	        TEST(the_client_has_an_address),
	        TEST(every_address_means_ipv4_and_ipv6_on_one_port),
	        TEST(a_taken_port_is_said_plainly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
