/* Takes an HTTP/1 body out of a stream of bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/body.h"
#include "core/text.h"

#define BYTES(s) (s), sizeof(s) - 1

struct outcome {
	struct text body;
	size_t used;
	enum body_state state;
};

/* Feeds one segment, from a copy of exactly its length. */
static size_t feed(struct body *b, const char *bytes, size_t len, struct outcome *o)
{
	char *exact = malloc(len > 0 ? len : 1);
	size_t used = 0;

	memcpy(exact, bytes, len);
	do {
		const char *piece;
		size_t piece_len;
		size_t n = body_read(b, exact + used, len - used, &piece, &piece_len,
		                     &o->state);

		assert_in_range(n, 0, len - used);
		text_add(&o->body, piece, piece_len);
		used += n;
		if (n == 0)
			break;
	} while (o->state == BODY_MORE && used < len);
	free(exact);
	return used;
}

/* The stream comes in segments of that many bytes. */
static struct outcome read_in(size_t segment, enum head_framing framing, uint64_t length,
                              const char *bytes, size_t len)
{
	struct outcome o = {.state = BODY_MORE};
	struct body b;

	body_init(&b, framing, length);
	while (o.used < len && o.state == BODY_MORE) {
		size_t n = len - o.used < segment ? len - o.used : segment;
		size_t used = feed(&b, bytes + o.used, n, &o);

		o.used += used;
		if (o.state == BODY_MORE)
			assert_int_equal(used, n);
	}
	if (len == 0)
		feed(&b, bytes, 0, &o);
	return o;
}

static void expect(enum head_framing framing, uint64_t length, const char *bytes,
                   size_t len, enum body_state state, const char *body, size_t left)
{
	for (size_t segment = 1; segment <= len + 1; segment++) {
		struct outcome o = read_in(segment, framing, length, bytes, len);

		if (o.state != state ||
		    (state == BODY_COMPLETE && len - o.used != left) ||
		    (body != NULL && strcmp(text_string(&o.body), body) != 0))
			fail_msg("in %zus: state %d, %zu left, body '%s': %.*s", segment,
			         (int)o.state, len - o.used, text_string(&o.body),
			         (int)(len < 200 ? len : 200), bytes);
		text_clear(&o.body);
	}
}

static void expect_chunked(enum body_state state, const char *body, const char *bytes)
{
	expect(FRAMING_CHUNKED, 0, bytes, strlen(bytes), state, body, 0);
}

static void expect_malformed(const char *bytes, size_t len)
{
	expect(FRAMING_CHUNKED, 0, bytes, len, BODY_MALFORMED, NULL, 0);
}

/* ---- by length ---- */

static void a_body_of_known_length_ends_there(void **state)
{
	(void)state;
	expect(FRAMING_LENGTH, 5, BYTES("hello"), BODY_COMPLETE, "hello", 0);
	expect(FRAMING_LENGTH, 5, BYTES("helloGET /"), BODY_COMPLETE, "hello", 5);
	expect(FRAMING_LENGTH, 6, BYTES("hello"), BODY_MORE, "hello", 0);
	expect(FRAMING_LENGTH, UINT64_MAX, BYTES("hello"), BODY_MORE, "hello", 0);
}

static void no_body_is_complete_at_once(void **state)
{
	struct outcome o = {.state = BODY_MORE};
	const char *piece;
	size_t piece_len;
	struct body b;

	(void)state;
	expect(FRAMING_NONE, 0, BYTES("GET /"), BODY_COMPLETE, "", 5);
	expect(FRAMING_NONE, 0, BYTES(""), BODY_COMPLETE, "", 0);
	expect(FRAMING_LENGTH, 0, BYTES("GET /"), BODY_COMPLETE, "", 5);
	body_init(&b, FRAMING_NONE, 0);
	assert_int_equal(body_read(&b, NULL, 0, &piece, &piece_len, &o.state), 0);
	assert_int_equal(o.state, BODY_COMPLETE);
	assert_int_equal(piece_len, 0);
}

static void pieces_point_into_what_was_given(void **state)
{
	static const char bytes[] = "3\r\nabc\r\n0\r\n\r\n";
	enum body_state at;
	const char *piece;
	size_t piece_len;
	struct body b;

	(void)state;
	body_init(&b, FRAMING_CHUNKED, 0);
	assert_int_equal(body_read(&b, BYTES(bytes), &piece, &piece_len, &at), 6);
	assert_ptr_equal(piece, bytes + 3);
	assert_int_equal(piece_len, 3);
	assert_int_equal(at, BODY_MORE);
	assert_int_equal(body_read(&b, bytes + 6, 7, &piece, &piece_len, &at), 7);
	assert_int_equal(piece_len, 0);
	assert_int_equal(at, BODY_COMPLETE);
}

/* ---- until the connection closes ---- */

static void a_body_to_close_never_ends_by_itself(void **state)
{
	struct outcome o;
	struct body b;

	(void)state;
	expect(FRAMING_TO_CLOSE, 0, BYTES("anything\r\n0\r\n\r\n"), BODY_MORE,
	       "anything\r\n0\r\n\r\n", 0);
	body_init(&b, FRAMING_TO_CLOSE, 0);
	assert_int_equal(body_at_close(&b), BODY_COMPLETE);
	o = (struct outcome){0};
	feed(&b, "x", 1, &o);
	assert_int_equal(body_at_close(&b), BODY_COMPLETE);
	text_clear(&o.body);
}

static enum body_state closed_after(enum head_framing framing, uint64_t length,
                                    const char *bytes)
{
	struct outcome o = {0};
	struct body b;

	body_init(&b, framing, length);
	feed(&b, bytes, strlen(bytes), &o);
	text_clear(&o.body);
	return body_at_close(&b);
}

static void a_close_in_the_middle_is_not_the_end(void **state)
{
	static const char whole[] = "3\r\nabc\r\n0\r\nA: b\r\n\r\n";
	char part[sizeof(whole)];

	(void)state;
	assert_int_equal(closed_after(FRAMING_NONE, 0, ""), BODY_COMPLETE);
	assert_int_equal(closed_after(FRAMING_LENGTH, 3, "ab"), BODY_MALFORMED);
	assert_int_equal(closed_after(FRAMING_LENGTH, 3, "abc"), BODY_COMPLETE);
	assert_int_equal(closed_after(FRAMING_CHUNKED, 0, "x"), BODY_MALFORMED);
	for (size_t n = 0; n < sizeof(whole); n++) {
		memcpy(part, whole, n);
		part[n] = '\0';
		assert_int_equal(closed_after(FRAMING_CHUNKED, 0, part),
		                 n == sizeof(whole) - 1 ? BODY_COMPLETE : BODY_MALFORMED);
	}
}

/* ---- chunked ---- */

static void chunks_become_one_body(void **state)
{
	(void)state;
	expect_chunked(BODY_COMPLETE, "", "0\r\n\r\n");
	expect_chunked(BODY_COMPLETE, "", "000\r\n\r\n");
	expect_chunked(BODY_COMPLETE, "Wikipedia in\r\n\r\nchunks.",
	               "4\r\nWiki\r\n5\r\npedia\r\nE\r\n in\r\n\r\nchunks.\r\n0\r\n\r\n");
	expect_chunked(BODY_COMPLETE, "aaaaaaaaaaaaaaaaaaaaaaaaaa",
	               "1a\r\naaaaaaaaaaaaaaaaaaaaaaaaaa\r\n0\r\n\r\n");
	expect_chunked(BODY_COMPLETE, "aaaaaaaaaa",
	               "000000000000000A\r\naaaaaaaaaa\r\n0\r\n\r\n");
	expect_chunked(BODY_MORE, "Wiki", "4\r\nWiki\r\n");
}

static void the_next_message_is_left_alone(void **state)
{
	(void)state;
	expect(FRAMING_CHUNKED, 0, BYTES("1\r\na\r\n0\r\n\r\nGET /"), BODY_COMPLETE, "a",
	       5);
	expect(FRAMING_CHUNKED, 0, BYTES("0\r\n\r\n\r\n"), BODY_COMPLETE, "", 2);
}

static void extensions_are_dropped(void **state)
{
	(void)state;
	expect_chunked(BODY_COMPLETE, "abc", "3;a=b;c=\"d;\te\"\r\nabc\r\n0;x\r\n\r\n");
	expect_malformed(BYTES("3;a\nabc\r\n0\r\n\r\n"));
	expect_malformed(BYTES("3;a\rb\r\nabc\r\n0\r\n\r\n"));
	expect_malformed(BYTES("3;a\0b\r\nabc\r\n0\r\n\r\n"));
	expect_malformed(BYTES("3;a\x7f\r\nabc\r\n0\r\n\r\n"));
}

static void trailers_are_checked_and_dropped(void **state)
{
	(void)state;
	expect_chunked(BODY_COMPLETE, "a", "1\r\na\r\n0\r\nX-A: b\r\nx-c:\r\n\r\n");
	expect_malformed(BYTES("0\r\nX-A : b\r\n\r\n"));
	expect_malformed(BYTES("0\r\n folded\r\n\r\n"));
	expect_malformed(BYTES("0\r\n: b\r\n\r\n"));
	expect_malformed(BYTES("0\r\nX-A\r\n\r\n"));
	expect_malformed(BYTES("0\r\nX-A: b\n\r\n"));
	expect_malformed(BYTES("0\r\nX-A: b\r\r\n\r\n"));
	expect_malformed(BYTES("0\r\nX-A: \0\r\n\r\n"));
	expect_malformed(BYTES("0\r\n\rX"));
	expect_malformed(BYTES("0\r\n\n"));
}

static void sizes_are_hexadecimal_digits(void **state)
{
	(void)state;
	expect_malformed(BYTES("\r\n"));
	expect_malformed(BYTES(";a\r\n"));
	expect_malformed(BYTES("g\r\n"));
	expect_malformed(BYTES("-1\r\n"));
	expect_malformed(BYTES("+1\r\n"));
	expect_malformed(BYTES("0x5\r\nhello\r\n"));
	expect_malformed(BYTES(" 5\r\nhello\r\n"));
	expect_malformed(BYTES("5 \r\nhello\r\n"));
	expect_malformed(BYTES("5 ;a\r\nhello\r\n"));
	expect_malformed(BYTES("5\t\r\nhello\r\n"));
	expect_malformed(BYTES("\xff\xfe"
	                       "5\r\nhello\r\n"));
	expect_malformed(BYTES("5\0\r\nhello\r\n"));
}

static void sizes_do_not_wrap(void **state)
{
	(void)state;
	expect_malformed(BYTES("10000000000000005\r\nhello\r\n"));
	expect_malformed(BYTES("00000000000000005\r\nhello\r\n"));
	expect_chunked(BODY_MORE, "hello\r\n0\r\n\r\n",
	               "ffffffffffffffff\r\nhello\r\n0\r\n\r\n");
}

static void lines_end_with_cr_lf_and_nothing_else(void **state)
{
	(void)state;
	expect_malformed(BYTES("5\nhello\r\n0\r\n\r\n"));
	expect_malformed(BYTES("5\r\rhello\r\n0\r\n\r\n"));
	expect_malformed(BYTES("5\r\nhello\n0\r\n\r\n"));
	expect_malformed(BYTES("5\r\nhello0\r\n\r\n"));
	expect_malformed(BYTES("5\r\nhello!\r\n0\r\n\r\n"));
	expect_malformed(BYTES("5\r\nhello\r\r\n0\r\n\r\n"));
	expect_malformed(BYTES("5\r\nhello\r\n\r\n0\r\n\r\n"));
}

static void broken_stays_broken(void **state)
{
	struct outcome o = {0};
	struct body b;

	(void)state;
	body_init(&b, FRAMING_CHUNKED, 0);
	feed(&b, "x", 1, &o);
	assert_int_equal(o.state, BODY_MALFORMED);
	assert_int_equal(feed(&b, "5\r\nhello\r\n0\r\n\r\n", 15, &o), 0);
	assert_int_equal(o.state, BODY_MALFORMED);
	assert_int_equal(o.body.len, 0);
	assert_int_equal(body_at_close(&b), BODY_MALFORMED);
	text_clear(&o.body);
}

/* ---- limits ---- */

static enum body_state state_after(const struct text *t)
{
	struct outcome o = read_in(t->len, FRAMING_CHUNKED, 0, t->s, t->len);

	text_clear(&o.body);
	return o.state;
}

/* A size line of that many bytes with its CR, then its chunk, twice. */
static enum body_state size_lines_of(size_t len)
{
	enum body_state state;
	struct text t = {0};

	for (int i = 0; i < 2; i++) {
		text_adds(&t, "1;");
		for (size_t n = 3; n < len; n++)
			text_addc(&t, 'x');
		text_adds(&t, "\r\na\r\n");
	}
	text_adds(&t, "0\r\n\r\n");
	state = state_after(&t);
	text_clear(&t);
	return state;
}

static void a_size_line_may_be_so_long(void **state)
{
	(void)state;
	assert_int_equal(size_lines_of(BODY_MAX_CHUNK_LINE), BODY_COMPLETE);
	assert_int_equal(size_lines_of(BODY_MAX_CHUNK_LINE + 1), BODY_MALFORMED);
}

static enum body_state trailers_of(size_t len)
{
	enum body_state state;
	struct text t = {0};

	text_adds(&t, "0\r\n");
	for (size_t n = 0; n + 16 < len - 2; n += 8)
		text_adds(&t, "x: yyy\r\n");
	text_adds(&t, "x: ");
	while (t.len - 3 < len - 4)
		text_addc(&t, 'y');
	text_adds(&t, "\r\n\r\n");
	assert_int_equal(t.len - 3, len);
	state = state_after(&t);
	text_clear(&t);
	return state;
}

static void all_trailers_together_may_be_so_long(void **state)
{
	(void)state;
	assert_int_equal(trailers_of(BODY_MAX_TRAILER_BYTES), BODY_COMPLETE);
	assert_int_equal(trailers_of(BODY_MAX_TRAILER_BYTES + 1), BODY_MALFORMED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_body_of_known_length_ends_there),
	        cmocka_unit_test(no_body_is_complete_at_once),
	        cmocka_unit_test(pieces_point_into_what_was_given),
	        cmocka_unit_test(a_body_to_close_never_ends_by_itself),
	        cmocka_unit_test(a_close_in_the_middle_is_not_the_end),
	        cmocka_unit_test(chunks_become_one_body),
	        cmocka_unit_test(the_next_message_is_left_alone),
	        cmocka_unit_test(extensions_are_dropped),
	        cmocka_unit_test(trailers_are_checked_and_dropped),
	        cmocka_unit_test(sizes_are_hexadecimal_digits),
	        cmocka_unit_test(sizes_do_not_wrap),
	        cmocka_unit_test(lines_end_with_cr_lf_and_nothing_else),
	        cmocka_unit_test(broken_stays_broken),
	        cmocka_unit_test(a_size_line_may_be_so_long),
	        cmocka_unit_test(all_trailers_together_may_be_so_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
