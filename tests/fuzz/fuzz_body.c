/* Any bytes as a body: splitting them anywhere gives the same body, the same end and the
 * same verdict.
 *
 * The first byte chooses the framing (c chunked, l length, n none, t to close); after l
 * the second one is the length. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/body.h"
#include "core/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool so)
{
	if (!so)
		abort();
}

struct stream {
	enum head_framing framing;
	uint64_t length;
	const char *bytes;
	size_t len;
};

struct outcome {
	struct text body;
	size_t used;
	enum body_state state, at_close;
};

/* Reads on to `until`, or to the end of the body. */
static void read_until(struct body *b, const struct stream *s, size_t until,
                       struct outcome *o)
{
	while (o->state == BODY_MORE && o->used < until) {
		const char *piece;
		size_t piece_len;
		size_t n = body_read(b, s->bytes + o->used, until - o->used, &piece,
		                     &piece_len, &o->state);

		must(n <= until - o->used && piece_len <= n);
		must(n > 0 || o->state != BODY_MORE);
		must(piece >= s->bytes + o->used &&
		     piece + piece_len <= s->bytes + until);
		text_add(&o->body, piece, piece_len);
		o->used += n;
	}
}

static struct outcome read_split(const struct stream *s, size_t at)
{
	struct outcome o = {.state = BODY_MORE};
	struct body b;

	body_init(&b, s->framing, s->length);
	read_until(&b, s, at, &o);
	read_until(&b, s, s->len, &o);
	o.at_close = body_at_close(&b);
	return o;
}

static struct outcome read_bytewise(const struct stream *s)
{
	struct outcome o = {.state = BODY_MORE};
	struct body b;

	body_init(&b, s->framing, s->length);
	for (size_t n = 1; n <= s->len; n++)
		read_until(&b, s, n, &o);
	o.at_close = body_at_close(&b);
	return o;
}

static void must_equal(const struct outcome *a, const struct outcome *b)
{
	must(a->state == b->state && a->at_close == b->at_close);
	must(a->body.len == b->body.len);
	must(a->body.len == 0 || memcmp(a->body.s, b->body.s, a->body.len) == 0);
	must(a->state != BODY_COMPLETE || a->used == b->used);
}

/* A body that came in chunks can be put into chunks again. */
static void check_chunks_again(const struct outcome *o)
{
	struct text t = {0};
	struct outcome again;
	struct stream s;

	if (o->body.len > 0)
		text_addf(&t, "%zx\r\n", o->body.len);
	text_add(&t, o->body.s, o->body.len);
	text_adds(&t, o->body.len > 0 ? "\r\n0\r\n\r\n" : "0\r\n\r\n");
	s = (struct stream){FRAMING_CHUNKED, 0, t.s, t.len};
	again = read_split(&s, 0);
	must(again.state == BODY_COMPLETE && again.used == t.len);
	must(again.body.len == o->body.len);
	text_clear(&again.body);
	text_clear(&t);
}

static void check(const struct stream *s)
{
	struct outcome whole = read_split(s, 0), bytewise = read_bytewise(s);
	size_t stride = s->len / 300 + 1;

	must_equal(&whole, &bytewise);
	text_clear(&bytewise.body);
	for (size_t at = 1; at < s->len; at += stride) {
		struct outcome split = read_split(s, at);

		must_equal(&whole, &split);
		text_clear(&split.body);
	}
	must(whole.state != BODY_MALFORMED || whole.at_close == BODY_MALFORMED);
	must(s->framing != FRAMING_LENGTH || whole.body.len <= s->length);
	if (s->framing == FRAMING_CHUNKED && whole.state == BODY_COMPLETE)
		check_chunks_again(&whole);
	text_clear(&whole.body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct stream s = {.framing = FRAMING_CHUNKED};
	size_t from = 1;

	if (size < 2)
		return 0;
	if (data[0] == 'l') {
		s.framing = FRAMING_LENGTH;
		s.length = data[from++];
	} else if (data[0] == 'n') {
		s.framing = FRAMING_NONE;
	} else if (data[0] == 't') {
		s.framing = FRAMING_TO_CLOSE;
	}
	s.bytes = (const char *)data + from;
	s.len = size - from;
	check(&s);
	return 0;
}
