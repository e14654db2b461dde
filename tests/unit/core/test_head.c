/* One HTTP/1 message head, parsed strictly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/head.h"
#include "core/text.h"

#define BYTES(s) (s), sizeof(s) - 1

/* Parses from a copy of exactly that length, so that reading beyond it is noticed. */
static int request_of(const char *bytes, size_t len, struct request_head *head)
{
	char *exact = malloc(len > 0 ? len : 1);
	size_t scanned = 0, used = 0;
	int r;

	memcpy(exact, bytes, len);
	r = head_parse_request(exact, len, &scanned, &used, head);
	if (r == HEAD_COMPLETE && used != len)
		fail_msg("used %zu of %zu", used, len);
	free(exact);
	return r;
}

static int reply_of(const char *bytes, size_t len, const char *method,
                    struct reply_head *head)
{
	char *exact = malloc(len > 0 ? len : 1);
	size_t scanned = 0, used = 0;
	int r;

	memcpy(exact, bytes, len);
	r = head_parse_reply(exact, len, method, &scanned, &used, head);
	if (r == HEAD_COMPLETE && used != len)
		fail_msg("used %zu of %zu", used, len);
	free(exact);
	return r;
}

static void expect_request(int expected, const char *bytes, size_t len)
{
	struct request_head head;
	int r;

	memset(&head, 'x', sizeof(head));
	r = request_of(bytes, len, &head);
	if (r != expected)
		fail_msg("%d, expected %d: %.*s", r, expected,
		         (int)(len < 200 ? len : 200), bytes);
	if (r != HEAD_COMPLETE) {
		assert_null(head.target);
		assert_int_equal(head.headers.count, 0);
		assert_null(head.headers.text.s);
	}
	request_head_clear(&head);
	request_head_clear(&head);
}

/* A request with these fields besides Host. */
static void expect_fields(int expected, const char *fields)
{
	struct text t = {0};

	text_addf(&t, "POST /x HTTP/1.1\r\nHost: h\r\n%s\r\n", fields);
	expect_request(expected, t.s, t.len);
	text_clear(&t);
}

static void expect_reply(int expected, const char *bytes, size_t len)
{
	struct reply_head head;
	int r;

	memset(&head, 'x', sizeof(head));
	r = reply_of(bytes, len, "GET", &head);
	if ((r > 0 ? 1 : r) != expected)
		fail_msg("%d, expected %d: %.*s", r, expected,
		         (int)(len < 200 ? len : 200), bytes);
	if (r != HEAD_COMPLETE)
		assert_null(head.headers.text.s);
	reply_head_clear(&head);
	reply_head_clear(&head);
}

/* ---- requests as they should be ---- */

static void a_usual_request_is_read(void **state)
{
	static const char bytes[] = "POST /api/v2/x%2Fy//z?a=b&c HTTP/1.1\r\n"
	                            "Host: chroma:8000\r\n"
	                            "Content-Type:application/json\r\n"
	                            "X-Blank: \t a b \t\r\n"
	                            "X-Empty:\r\n"
	                            "X-Latin: caf\xe9\r\n"
	                            "content-LENGTH: 0012\r\n\r\n";
	struct request_head head;

	(void)state;
	assert_int_equal(request_of(BYTES(bytes), &head), HEAD_COMPLETE);
	assert_string_equal(head.method, "POST");
	assert_string_equal(head.target, "/api/v2/x%2Fy//z?a=b&c");
	assert_int_equal(head.minor, 1);
	assert_int_equal(head.headers.count, 6);
	assert_string_equal(headers_get(&head.headers, "content-type"),
	                    "application/json");
	assert_string_equal(headers_get(&head.headers, "x-blank"), "a b");
	assert_string_equal(headers_get(&head.headers, "x-empty"), "");
	assert_string_equal(headers_get(&head.headers, "x-latin"), "caf\xe9");
	assert_int_equal(head.framing, FRAMING_LENGTH);
	assert_int_equal(head.content_length, 12);
	assert_true(head.keep_alive);
	assert_false(head.expect_continue);
	request_head_clear(&head);
	assert_null(head.target);
}

static void an_unknown_method_is_the_routers_business(void **state)
{
	struct request_head head;

	(void)state;
	assert_int_equal(
	        request_of(BYTES("BREW /pot HTTP/1.1\r\nHost: h\r\n\r\n"), &head),
	        HEAD_COMPLETE);
	assert_string_equal(head.method, "BREW");
	request_head_clear(&head);
	expect_request(0, BYTES("EXACTLY-FIFTEEN / HTTP/1.1\r\nHost: h\r\n\r\n"));
	expect_request(501, BYTES("SIXTEEN-LETTERS- / HTTP/1.1\r\nHost: h\r\n\r\n"));
}

static void what_follows_the_head_is_left(void **state)
{
	static const char bytes[] = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
	                            "GET /b HTTP/1.1\r\nHost: h\r\n\r\n";
	struct request_head head;
	size_t scanned = 0, used = 0, first = (sizeof(bytes) - 1) / 2;

	(void)state;
	assert_int_equal(head_parse_request(BYTES(bytes), &scanned, &used, &head), 0);
	assert_int_equal(used, first);
	assert_string_equal(head.target, "/a");
	request_head_clear(&head);
	scanned = 0;
	assert_int_equal(head_parse_request(bytes + first, first, &scanned, &used, &head),
	                 0);
	assert_string_equal(head.target, "/b");
	request_head_clear(&head);
}

static void empty_lines_before_a_request_are_skipped(void **state)
{
	(void)state;
	expect_request(0, BYTES("\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"));
	expect_request(-1, BYTES("\r\n\r\n"));
	expect_request(-1, BYTES("\r\n\r"));
	expect_request(400, BYTES("\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"));
	expect_request(400, BYTES("\r\n\rGET / HTTP/1.1\r\nHost: h\r\n\r\n"));
}

/* The bytes arrive one by one, and then in two pieces cut anywhere. */
static void a_head_may_come_in_pieces(void **state)
{
	static const char bytes[] = "\r\nPOST /some/path?q=1 HTTP/1.1\r\nHost: h\r\n"
	                            "Content-Length: 5\r\nX-A: b\r\n\r\n";
	struct request_head head;
	size_t len = sizeof(bytes) - 1, scanned = 0, used = 0;

	(void)state;
	assert_int_equal(head_parse_request(NULL, 0, &scanned, &used, &head), -1);
	for (size_t n = 0; n < len; n++) {
		assert_int_equal(head_parse_request(bytes, n, &scanned, &used, &head),
		                 -1);
		assert_null(head.target);
		assert_in_range(scanned, 0, n);
	}
	assert_int_equal(head_parse_request(bytes, len, &scanned, &used, &head), 0);
	assert_int_equal(used, len);
	assert_string_equal(head.target, "/some/path?q=1");
	request_head_clear(&head);
	for (size_t n = 0; n < len; n++) {
		scanned = 0;
		assert_int_equal(head_parse_request(bytes, n, &scanned, &used, &head),
		                 -1);
		assert_int_equal(head_parse_request(bytes, len, &scanned, &used, &head),
		                 0);
		assert_int_equal(used, len);
		assert_int_equal(head.headers.count, 3);
		assert_int_equal(head.content_length, 5);
		request_head_clear(&head);
	}
}

static void keep_alive_of(const char *bytes, bool expected)
{
	struct request_head head;

	assert_int_equal(request_of(bytes, strlen(bytes), &head), HEAD_COMPLETE);
	if (head.keep_alive != expected)
		fail_msg("keep_alive is %d: %s", head.keep_alive, bytes);
	request_head_clear(&head);
}

static void connection_is_a_list_of_tokens(void **state)
{
	(void)state;
	keep_alive_of("GET / HTTP/1.1\r\nHost: h\r\n\r\n", true);
	keep_alive_of("GET / HTTP/1.1\r\nHost: h\r\nConnection: foo, Close\r\n\r\n",
	              false);
	keep_alive_of("GET / HTTP/1.1\r\nHost: h\r\nConnection: foo\r\n"
	              "Connection: close\r\n\r\n",
	              false);
	keep_alive_of("GET / HTTP/1.1\r\nHost: h\r\nConnection: closed\r\n\r\n", true);
	keep_alive_of(
	        "GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, close\r\n\r\n",
	        false);
	keep_alive_of("GET / HTTP/1.0\r\n\r\n", false);
	keep_alive_of("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true);
	keep_alive_of("GET / HTTP/1.0\r\nConnection: close, keep-alive\r\n\r\n", false);
}

static bool continue_expected(const char *bytes)
{
	struct request_head head;
	bool expected;

	assert_int_equal(request_of(bytes, strlen(bytes), &head), HEAD_COMPLETE);
	expected = head.expect_continue;
	request_head_clear(&head);
	return expected;
}

static void only_the_exact_expectation_counts(void **state)
{
	(void)state;
	assert_true(continue_expected(
	        "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\n\r\n"));
	assert_false(continue_expected(
	        "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continued\r\n\r\n"));
	assert_false(continue_expected(
	        "POST / HTTP/1.1\r\nHost: h\r\nExpect: 200-ok\r\n\r\n"));
	assert_false(
	        continue_expected("POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n"));
}

/* ---- requests as they must not be ---- */

static void request_lines_that_are_none(void **state)
{
	static const char *const lines[] = {"GET",
	                                    "GET /",
	                                    "GET / ",
	                                    "GET  / HTTP/1.1",
	                                    "GET /  HTTP/1.1",
	                                    "GET / HTTP/1.1 ",
	                                    " GET / HTTP/1.1",
	                                    "GET\t/ HTTP/1.1",
	                                    "GET / HTTP/1.1x",
	                                    "GET / http/1.1",
	                                    "GET / HTTP/11",
	                                    "GET / HTTP/1",
	                                    "GET / HTTP/01.1",
	                                    "GET / HTTP/1.10",
	                                    "GET / HTP/1.1",
	                                    "GET /a b HTTP/1.1",
	                                    "G(T / HTTP/1.1",
	                                    "G\xc3\x84T / HTTP/1.1",
	                                    "/ HTTP/1.1",
	                                    " / HTTP/1.1",
	                                    "HTTP/1.1 200 OK"};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		struct text t = {0};

		text_addf(&t, "%s\r\n", lines[i]);
		expect_request(400, t.s, t.len); /* at once */
		text_adds(&t, "Host: h\r\n\r\n");
		expect_request(400, t.s, t.len);
		text_clear(&t);
	}
}

static void versions_but_1_0_and_1_1_are_not_spoken(void **state)
{
	(void)state;
	expect_request(505, BYTES("GET / HTTP/2.0\r\n\r\n"));
	expect_request(505, BYTES("GET / HTTP/9.9\r\nHost: h\r\n\r\n"));
	expect_request(505, BYTES("GET / HTTP/0.9\r\n\r\n"));
	expect_request(505, BYTES("GET / HTTP/1.2\r\nHost: h\r\n\r\n"));
	expect_request(505, BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
	expect_request(505, BYTES("GET / HTTP/3.0\r\nHo")); /* at once */
}

static void targets_are_origin_form_in_visible_ascii(void **state)
{
	(void)state;
	expect_request(400, BYTES("GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n"));
	expect_request(400, BYTES("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"));
	expect_request(400, BYTES("CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n"));
	expect_request(400, BYTES("GET a HTTP/1.1\r\nHost: h\r\n\r\n"));
	expect_request(400, BYTES("GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n"));
	expect_request(400, BYTES("GET /a\0b HTTP/1.1\r\nHost: h\r\n\r\n"));
	expect_request(400, BYTES("GET /a\x01 HTTP/1.1\r\nHost: h\r\n\r\n"));
	expect_request(400, BYTES("GET /a\tb HTTP/1.1\r\nHost: h\r\n\r\n"));
	expect_request(400, BYTES("GET /a\x7f HTTP/1.1\r\nHost: h\r\n\r\n"));
	expect_request(400, BYTES("GET /a\xc3\xa9 HTTP/1.1\r\nHost: h\r\n\r\n"));
	expect_request(0, BYTES("GET /%zz//%2F?\"<>|\\^`{} HTTP/1.1\r\nHost: h\r\n\r\n"));
}

static void a_segment_of_dots_is_refused(void **state)
{
	(void)state;
	expect_request(400, BYTES("GET /.. HTTP/1.1\r\nHost: h\r\n\r\n"));
	expect_request(400, BYTES("GET /. HTTP/1.1\r\nHost: h\r\n\r\n"));
	expect_request(400, BYTES("GET /a/../b HTTP/1.1\r\nHost: h\r\n\r\n"));
	expect_request(400, BYTES("GET /a/.?b HTTP/1.1\r\nHost: h\r\n\r\n"));
	expect_request(400, BYTES("GET /a/%2e%2E HTTP/1.1\r\nHost: h\r\n\r\n"));
	expect_request(400, BYTES("GET /a/.%2e/ HTTP/1.1\r\nHost: h\r\n\r\n"));
	expect_request(400, BYTES("GET /%2E/a HTTP/1.1\r\nHost: h\r\n\r\n"));
	expect_request(0, BYTES("GET /... HTTP/1.1\r\nHost: h\r\n\r\n"));
	expect_request(0,
	               BYTES("GET /..a/b../.c/%2e%2e%2e/%2 HTTP/1.1\r\nHost: h\r\n\r\n"));
	expect_request(0, BYTES("GET /a?/../b HTTP/1.1\r\nHost: h\r\n\r\n"));
}

static void host_is_there_once(void **state)
{
	(void)state;
	expect_request(400, BYTES("GET / HTTP/1.1\r\n\r\n"));
	expect_request(400, BYTES("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n"));
	expect_request(400, BYTES("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"));
	expect_request(0, BYTES("GET / HTTP/1.0\r\n\r\n"));
	expect_request(0, BYTES("GET / HTTP/1.1\r\nHost:\r\n\r\n"));
}

static void fields_that_are_none(void **state)
{
	(void)state;
	expect_fields(400, "X-A : b\r\n");
	expect_fields(400, "X-A\t: b\r\n");
	expect_fields(400, ": b\r\n");
	expect_fields(400, "X-A\r\n");
	expect_fields(400, "X A: b\r\n");
	expect_fields(400, "X(A): b\r\n");
	expect_fields(400, "X\xe9: b\r\n");
	expect_fields(400, "X-A: b\r\n continued\r\n");
	expect_fields(400, "X-A: b\r\n\tcontinued: c\r\n");
	expect_fields(400, " X-A: b\r\n");
	expect_fields(400, "X-A: \x0b\r\n");
	expect_fields(400, "X-A: \x7f\r\n");
	expect_fields(400, "X-A: \x1b[2J\r\n");
	expect_request(400, BYTES("GET / HTTP/1.1\r\n Host: h\r\n\r\n"));
}

static void a_nul_is_refused_anywhere(void **state)
{
	(void)state;
	expect_request(400, BYTES("G\0T / HTTP/1.1\r\nHost: h\r\n\r\n"));
	expect_request(400, BYTES("GET / HTTP/1.1\r\nHost: h\0\r\n\r\n"));
	expect_request(400,
	               BYTES("GET / HTTP/1.1\r\nHost: h\r\nContent-Length\0: 5\r\n\r\n"));
	expect_request(400,
	               BYTES("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\0\r\n\r\n"));
}

/* Lines are looked through in steps of several bytes: it must not matter where in a step
 * a byte is. */
static void each_byte_is_judged_alike_in_any_place(void **state)
{
	(void)state;
	for (int c = 0; c < 256; c++)
		for (size_t at = 0; at < 24; at++) {
			char head[] = "GET / HTTP/1.1\r\nHost: h\r\n"
			              "X-A: 012345678901234567890123\r\n\r\n";
			bool control = (c < 0x20 && c != '\t') || c == 0x7f;

			strchr(head, '0')[at] = (char)c;
			expect_request(control ? 400 : HEAD_COMPLETE, head,
			               sizeof(head) - 1);
		}
}

static void lines_end_with_cr_lf_and_nothing_else(void **state)
{
	(void)state;
	expect_request(400, BYTES("GET / HTTP/1.1\nHost: h\r\n\r\n"));
	expect_request(400, BYTES("GET / HTTP/1.1 \nHost: h\r\n\r\n"));
	expect_request(400, BYTES("GET / HTTP/1.1\r\nHost: h\n\r\n"));
	expect_request(400, BYTES("GET / HTTP/1.1\r\nHost: h\r\n\n"));
	expect_request(400, BYTES("GET / HTTP/1.1\r\nHost: h\n\n"));
	expect_request(400, BYTES("GET / HTTP/1.1\r\r\nHost: h\r\n\r\n"));
	expect_request(400, BYTES("GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n"));
	expect_request(400, BYTES("GET / HTTP/1.1\r\nHost: h\r\n\r\r\n"));
}

static void another_protocol_is_refused_at_its_first_bytes(void **state)
{
	(void)state;
	expect_request(400, BYTES("\x16\x03\x01\x02"));   /* TLS */
	expect_request(400, BYTES("\0\0\0\x08\x04\xd2")); /* PostgreSQL */
	expect_request(-1, BYTES("GET / HTTP/1.1\r"));
}

static void content_length_is_one_number(void **state)
{
	(void)state;
	expect_fields(0, "Content-Length: 0\r\n");
	expect_fields(0, "Content-Length: 18446744073709551615\r\n");
	expect_fields(400, "Content-Length: 18446744073709551616\r\n");
	expect_fields(400, "Content-Length: 30000000000000000000\r\n");
	expect_fields(400, "Content-Length: 3\r\nContent-Length: 5\r\n");
	expect_fields(400, "Content-Length: 5\r\ncontent-length: 5\r\n");
	expect_fields(400, "Content-Length: 5, 5\r\n");
	expect_fields(400, "Content-Length: +5\r\n");
	expect_fields(400, "Content-Length: -5\r\n");
	expect_fields(400, "Content-Length: 0x5\r\n");
	expect_fields(400, "Content-Length: 5 5\r\n");
	expect_fields(400, "Content-Length: 5.0\r\n");
	expect_fields(400, "Content-Length: five\r\n");
	expect_fields(400, "Content-Length:\r\n");
	expect_fields(400, "Content-Length : 5\r\n");
}

static void a_length_of_zero_is_no_body(void **state)
{
	struct request_head head;

	(void)state;
	assert_int_equal(
	        request_of(
	                BYTES("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"),
	                &head),
	        0);
	assert_int_equal(head.framing, FRAMING_NONE);
	request_head_clear(&head);
	assert_int_equal(request_of(BYTES("POST / HTTP/1.1\r\nHost: h\r\n\r\n"), &head),
	                 0);
	assert_int_equal(head.framing, FRAMING_NONE);
	request_head_clear(&head);
}

static void chunked_is_the_only_transfer_coding(void **state)
{
	struct request_head head;

	(void)state;
	assert_int_equal(request_of(BYTES("POST / HTTP/1.1\r\nHost: h\r\n"
	                                  "Transfer-Encoding: CHUNKED \r\n\r\n"),
	                            &head),
	                 0);
	assert_int_equal(head.framing, FRAMING_CHUNKED);
	request_head_clear(&head);
	expect_fields(0, "transfer-encoding:chunked\r\n");
	expect_fields(501, "Transfer-Encoding: gzip, chunked\r\n");
	expect_fields(501, "Transfer-Encoding: chunked, chunked\r\n");
	expect_fields(501, "Transfer-Encoding: identity\r\n");
	expect_fields(501, "Transfer-Encoding: xchunked\r\n");
	expect_fields(501, "Transfer-Encoding: chunked;q=1\r\n");
	expect_fields(501, "Transfer-Encoding: \"chunked\"\r\n");
	expect_fields(400, "Transfer-Encoding:\r\n");
	expect_fields(400, "Transfer-Encoding : chunked\r\n");
	expect_fields(400, "Transfer-Encoding: \x0b"
	                   "chunked\r\n");
	expect_fields(400,
	              "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n");
	expect_fields(400,
	              "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n");
	expect_request(400,
	               BYTES("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"));
}

static void two_ways_to_say_how_long_are_one_too_many(void **state)
{
	(void)state;
	expect_fields(400, "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n");
	expect_fields(400, "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n");
	expect_fields(400, "Transfer-Encoding: identity\r\nContent-Length: 5\r\n");
	expect_fields(400, "Transfer-Encoding: chunked\r\nContent-Length: \r\n");
}

/* ---- limits ---- */

static void request_line_of(int expected, size_t line)
{
	static const char end[] = " HTTP/1.1";
	struct text t = {0};

	text_adds(&t, "GET /");
	while (t.len < line - (sizeof(end) - 1))
		text_addc(&t, 'a');
	text_adds(&t, end);
	if (expected == 414)
		expect_request(expected, t.s, t.len); /* without waiting for its end */
	text_adds(&t, "\r\nHost: h\r\n\r\n");
	expect_request(expected, t.s, t.len);
	text_clear(&t);
}

static void a_request_line_may_be_so_long(void **state)
{
	(void)state;
	request_line_of(0, HEAD_MAX_LINE);
	request_line_of(414, HEAD_MAX_LINE + 1);
	request_line_of(414, HEAD_MAX_BYTES * 2);
}

static void a_field_may_be_so_long(void **state)
{
	(void)state;
	for (size_t line = HEAD_MAX_LINE; line <= HEAD_MAX_LINE + 1; line++) {
		struct text t = {0};

		text_adds(&t, "X: ");
		while (t.len < line)
			text_addc(&t, 'a');
		text_adds(&t, "\r\n");
		expect_fields(line == HEAD_MAX_LINE ? 0 : 431, t.s);
		text_clear(&t);
	}
}

static void there_may_be_so_many_fields(void **state)
{
	struct text t = {0};

	(void)state;
	for (unsigned i = 1; i < HEAD_MAX_FIELDS; i++) /* and Host */
		text_adds(&t, "a:\r\n");
	expect_fields(0, t.s);
	text_adds(&t, "a:\r\n");
	expect_fields(431, t.s);
	text_clear(&t);
}

/* A request head of that many bytes, in lines that are short enough. */
static void head_of(struct text *t, size_t len)
{
	text_adds(t, "GET / HTTP/1.1\r\nHost: h\r\n");
	while (t->len + 2000 < len)
		text_addf(t, "X: %01000d\r\n", 0);
	text_adds(t, "X: ");
	while (t->len + 4 < len)
		text_addc(t, 'a');
	text_adds(t, "\r\n\r\n");
}

static void a_head_may_be_so_large(void **state)
{
	struct text t = {0};

	(void)state;
	head_of(&t, HEAD_MAX_BYTES);
	assert_int_equal(t.len, HEAD_MAX_BYTES);
	expect_request(0, t.s, t.len);
	expect_request(-1, t.s, t.len - 1);
	text_reset(&t);
	head_of(&t, HEAD_MAX_BYTES + 1);
	expect_request(431, t.s, t.len);
	expect_request(431, t.s, t.len - 1); /* it can only get larger */
	text_clear(&t);
}

static void empty_lines_count_too(void **state)
{
	struct text t = {0};

	(void)state;
	while (t.len < HEAD_MAX_BYTES)
		text_adds(&t, "\r\n");
	expect_request(431, t.s, t.len);
	text_clear(&t);
}

/* ---- replies ---- */

static void a_usual_reply_is_read(void **state)
{
	static const char bytes[] =
	        "HTTP/1.1 201 Created\r\ncontent-type: application/json\r\n"
	        "content-length: 2\r\n\r\n";
	struct reply_head head;

	(void)state;
	assert_int_equal(reply_of(BYTES(bytes), "POST", &head), HEAD_COMPLETE);
	assert_int_equal(head.http, 201);
	assert_int_equal(head.minor, 1);
	assert_int_equal(head.headers.count, 2);
	assert_int_equal(head.framing, FRAMING_LENGTH);
	assert_true(head.has_content_length);
	assert_int_equal(head.content_length, 2);
	assert_true(head.keep_alive);
	reply_head_clear(&head);
}

static void the_reason_may_be_missing(void **state)
{
	(void)state;
	expect_reply(0, BYTES("HTTP/1.1 200\r\n\r\n"));
	expect_reply(0, BYTES("HTTP/1.1 200 \r\n\r\n"));
	expect_reply(0, BYTES("HTTP/1.1 404 Nicht gefunden, \xfc"
	                      "brigens\r\n\r\n"));
}

static void status_lines_that_are_none(void **state)
{
	(void)state;
	expect_reply(1, BYTES("\r\n"));
	expect_reply(1, BYTES("HTTP/1.1\r\n"));
	expect_reply(1, BYTES("HTTP/1.1 20\r\n"));
	expect_reply(1, BYTES("HTTP/1.1 2000\r\n"));
	expect_reply(1, BYTES("HTTP/1.1 2x0 OK\r\n"));
	expect_reply(1, BYTES("HTTP/1.1 099 OK\r\n"));
	expect_reply(1, BYTES("HTTP/1.1 600 OK\r\n"));
	expect_reply(1, BYTES("HTTP/1.1  200 OK\r\n"));
	expect_reply(1, BYTES(" HTTP/1.1 200 OK\r\n"));
	expect_reply(1, BYTES("HTTP/2.0 200 OK\r\n"));
	expect_reply(1, BYTES("ICY 200 OK\r\n"));
	expect_reply(1, BYTES("{\"error\": 1}\r\n"));
	expect_reply(1, BYTES("HTTP/1.1 200 OK\n\n"));
	expect_reply(1, BYTES("HTTP/1.1 200 O\0K\r\n\r\n"));
	expect_reply(1, BYTES("\r\nHTTP/1.1 200 OK\r\n\r\n"));
}

static void replies_of_doubtful_length_are_refused(void **state)
{
#define OK "HTTP/1.1 200 OK\r\n"
	(void)state;
	expect_reply(1,
	             BYTES(OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"));
	expect_reply(1, BYTES(OK "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"));
	expect_reply(1, BYTES(OK "Content-Length: 5, 5\r\n\r\n"));
	expect_reply(1, BYTES(OK "Content-Length: x\r\n\r\n"));
	expect_reply(1, BYTES(OK "Transfer-Encoding: gzip, chunked\r\n\r\n"));
	expect_reply(1, BYTES(OK "Transfer-Encoding: gzip\r\n\r\n"));
	expect_reply(1, BYTES("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"));
	expect_reply(1, BYTES(OK "X-A : b\r\n\r\n"));
	expect_reply(1, BYTES(OK "X-A: b\r\n c\r\n\r\n"));
	expect_reply(1, BYTES(OK "X-A: b\nX-B: c\r\n\r\n"));
#undef OK
}

static void framing_of(const char *method, const char *bytes, enum head_framing framing,
                       bool keep_alive)
{
	struct reply_head head;

	assert_int_equal(reply_of(bytes, strlen(bytes), method, &head), HEAD_COMPLETE);
	if (head.framing != framing || head.keep_alive != keep_alive)
		fail_msg("framing %d, keep_alive %d: %s %s", (int)head.framing,
		         head.keep_alive, method, bytes);
	reply_head_clear(&head);
}

static void how_long_a_reply_is(void **state)
{
#define OK "HTTP/1.1 200 OK\r\n"
	(void)state;
	framing_of("GET", OK "Content-Length: 5\r\n\r\n", FRAMING_LENGTH, true);
	framing_of("GET", OK "Content-Length: 0\r\n\r\n", FRAMING_NONE, true);
	framing_of("GET", OK "Transfer-Encoding: Chunked\r\n\r\n", FRAMING_CHUNKED, true);
	framing_of("GET", OK "\r\n", FRAMING_TO_CLOSE, false);
	framing_of("GET", OK "Connection: keep-alive\r\n\r\n", FRAMING_TO_CLOSE, false);
	framing_of("GET", OK "Connection: x, close\r\nContent-Length: 5\r\n\r\n",
	           FRAMING_LENGTH, false);
	framing_of("GET", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", FRAMING_LENGTH,
	           false);
	framing_of(
	        "GET",
	        "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n",
	        FRAMING_LENGTH, true);
#undef OK
}

static void some_replies_have_no_body_whatever_they_say(void **state)
{
	struct reply_head head;

	(void)state;
	framing_of("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", FRAMING_NONE,
	           true);
	framing_of("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
	           FRAMING_NONE, true);
	framing_of("HEAD", "HTTP/1.1 200 OK\r\n\r\n", FRAMING_NONE, true);
	framing_of("GET", "HTTP/1.1 204 No Content\r\n\r\n", FRAMING_NONE, true);
	framing_of("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
	           FRAMING_NONE, true);
	framing_of("POST", "HTTP/1.1 100 Continue\r\n\r\n", FRAMING_NONE, true);
	framing_of("POST", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", FRAMING_NONE,
	           true);
	assert_int_equal(reply_of(BYTES("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
	                          "HEAD", &head),
	                 0);
	assert_true(head.has_content_length);
	assert_int_equal(head.content_length, 5);
	reply_head_clear(&head);
}

static void a_reply_head_may_come_in_pieces(void **state)
{
	static const char bytes[] = "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\n{}";
	struct reply_head head;
	size_t len = sizeof(bytes) - 3, scanned = 0, used = 0;

	(void)state;
	for (size_t n = 0; n < len; n++)
		assert_int_equal(
		        head_parse_reply(bytes, n, "GET", &scanned, &used, &head), -1);
	assert_int_equal(head_parse_reply(bytes, len + 2, "GET", &scanned, &used, &head),
	                 0);
	assert_int_equal(used, len);
	reply_head_clear(&head);
}

static void a_reply_head_may_be_so_large(void **state)
{
	struct text t = {0};

	(void)state;
	text_adds(&t, "HTTP/1.1 200 OK\r\nX: ");
	while (t.len < HEAD_REPLY_MAX_BYTES - 4)
		text_addc(&t, 'a');
	text_adds(&t, "\r\n\r\n");
	expect_reply(0, t.s, t.len);
	expect_reply(-1, t.s, t.len - 1);
	t.s[t.len - 4] = 'a';
	t.s[t.len - 3] = 'a';
	expect_reply(1, t.s, t.len);
	text_clear(&t);
}

/* ---- passing heads on ---- */

static bool is_hop_by_hop(const char *name, const char *connection)
{
	return head_is_hop_by_hop(&(struct header){name, "", strlen(name), 0},
	                          connection);
}

static void fields_of_one_connection_are_not_passed_on(void **state)
{
	static const char *const hop[] = {
	        "connection", "KEEP-ALIVE", "Proxy-Authorization", "proxy-connection",
	        "Te",         "Trailer",    "Transfer-Encoding",   "upgrade"};

	(void)state;
	for (size_t i = 0; i < sizeof(hop) / sizeof(*hop); i++)
		assert_true(is_hop_by_hop(hop[i], NULL));
	assert_false(is_hop_by_hop("Host", NULL));
	assert_false(is_hop_by_hop("Content-Length", NULL));
	assert_false(is_hop_by_hop("Proxy", NULL));
	assert_false(is_hop_by_hop("Trailers", NULL));
	assert_true(is_hop_by_hop("X-Mine", "close, x-mine"));
	assert_false(is_hop_by_hop("X-Mine", "close, x-mine-not"));
	assert_false(is_hop_by_hop("Content-Length", "content-length"));
}

static void reasons_have_words(void **state)
{
	(void)state;
	assert_string_equal(head_reason(200), "OK");
	assert_string_equal(head_reason(422), "Unprocessable Entity");
	assert_string_equal(head_reason(429), "Too Many Requests");
	for (int http = -1; http < 1000; http++)
		assert_true(strlen(head_reason(http)) > 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_usual_request_is_read),
	        cmocka_unit_test(an_unknown_method_is_the_routers_business),
	        cmocka_unit_test(what_follows_the_head_is_left),
	        cmocka_unit_test(empty_lines_before_a_request_are_skipped),
	        cmocka_unit_test(a_head_may_come_in_pieces),
	        cmocka_unit_test(connection_is_a_list_of_tokens),
	        cmocka_unit_test(only_the_exact_expectation_counts),
	        cmocka_unit_test(request_lines_that_are_none),
	        cmocka_unit_test(versions_but_1_0_and_1_1_are_not_spoken),
	        cmocka_unit_test(targets_are_origin_form_in_visible_ascii),
	        cmocka_unit_test(a_segment_of_dots_is_refused),
	        cmocka_unit_test(host_is_there_once),
	        cmocka_unit_test(fields_that_are_none),
	        cmocka_unit_test(a_nul_is_refused_anywhere),
	        cmocka_unit_test(each_byte_is_judged_alike_in_any_place),
	        cmocka_unit_test(lines_end_with_cr_lf_and_nothing_else),
	        cmocka_unit_test(another_protocol_is_refused_at_its_first_bytes),
	        cmocka_unit_test(content_length_is_one_number),
	        cmocka_unit_test(a_length_of_zero_is_no_body),
	        cmocka_unit_test(chunked_is_the_only_transfer_coding),
	        cmocka_unit_test(two_ways_to_say_how_long_are_one_too_many),
	        cmocka_unit_test(a_request_line_may_be_so_long),
	        cmocka_unit_test(a_field_may_be_so_long),
	        cmocka_unit_test(there_may_be_so_many_fields),
	        cmocka_unit_test(a_head_may_be_so_large),
	        cmocka_unit_test(empty_lines_count_too),
	        cmocka_unit_test(a_usual_reply_is_read),
	        cmocka_unit_test(the_reason_may_be_missing),
	        cmocka_unit_test(status_lines_that_are_none),
	        cmocka_unit_test(replies_of_doubtful_length_are_refused),
	        cmocka_unit_test(how_long_a_reply_is),
	        cmocka_unit_test(some_replies_have_no_body_whatever_they_say),
	        cmocka_unit_test(a_reply_head_may_come_in_pieces),
	        cmocka_unit_test(a_reply_head_may_be_so_large),
	        cmocka_unit_test(fields_of_one_connection_are_not_passed_on),
	        cmocka_unit_test(reasons_have_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
