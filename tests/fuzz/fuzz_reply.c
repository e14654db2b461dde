/* Any bytes as what an instance sends: cut anywhere, it is the same reply, and the same
 * one that head and body parser make of it.
 *
 * The first byte chooses the method and whether the reply is taken whole or as a stream.
 */
#include <event2/buffer.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/upstream_private.h"

#define MAX_REPLY 20000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool so)
{
	if (!so)
		abort();
}

static const struct upstream_receiver receiver; /* never called from here */

struct outcome {
	enum upreply end;
	bool leftover, complete_at_close;
	int http;
	struct text body;
};

static struct upcall *call_of(const char *method, bool stream)
{
	struct upcall *call = mem_new(struct upcall);

	memcpy(call->method, method, strlen(method));
	call->max_reply = MAX_REPLY;
	if (stream) {
		call->receiver = &receiver;
		call->pieces = evbuffer_new();
	}
	return call;
}

static void take_pieces(struct upcall *call, struct text *to)
{
	size_t len = call->pieces != NULL ? evbuffer_get_length(call->pieces) : 0;

	if (len == 0)
		return;
	text_add(to, evbuffer_pullup(call->pieces, -1), len);
	evbuffer_drain(call->pieces, len);
}

static void free_call(struct upcall *call)
{
	text_clear(&call->head_bytes);
	text_clear(&call->whole);
	reply_head_clear(&call->head);
	if (call->pieces != NULL)
		evbuffer_free(call->pieces);
	free(call);
}

/* As a connection does it: into its own place where there is one, else from a buffer. */
static enum upreply feed(struct upcall *call, const char *bytes, size_t len, size_t *used,
                         bool *leftover)
{
	size_t room;
	char *place = upreply_place(call, &room);

	*used = len;
	if (place == NULL)
		return upreply_take(call, bytes, len, leftover);
	*used = room < len ? room : len;
	memcpy(place, bytes, *used);
	upreply_placed(call, place, *used);
	return UPREPLY_MORE;
}

static struct outcome read_in_steps(const char *method, bool stream, const char *bytes,
                                    size_t len, size_t step)
{
	struct upcall *call = call_of(method, stream);
	struct outcome o = {.end = UPREPLY_MORE};
	size_t at = 0, used;

	while (at < len && o.end == UPREPLY_MORE) {
		size_t n = len - at < step ? len - at : step;

		o.end = feed(call, bytes + at, n, &used, &o.leftover);
		take_pieces(call, &o.body);
		at += used;
	}
	o.leftover = o.end == UPREPLY_COMPLETE && (o.leftover || at < len);
	o.complete_at_close = o.end == UPREPLY_MORE && upreply_complete_at_close(call);
	o.http = call->has_head ? call->head.http : 0;
	must(call->whole.len <= MAX_REPLY);
	must(!call->has_head || (o.http >= 200 && call->interim <= 16));
	if (!stream)
		text_add(&o.body, call->whole.s, call->whole.len);
	free_call(call);
	return o;
}

static void must_equal(const struct outcome *a, const struct outcome *b)
{
	must(a->end == b->end && a->leftover == b->leftover);
	must(a->complete_at_close == b->complete_at_close);
	if (a->end == UPREPLY_NOT_UNDERSTOOD || a->end == UPREPLY_TOO_LARGE)
		return;
	must(a->http == b->http && a->body.len == b->body.len);
	must(a->body.len == 0 || memcmp(a->body.s, b->body.s, a->body.len) == 0);
}

/* ---- the second reading ---- */

static size_t skip_interim(const char *method, const char *bytes, size_t len,
                           struct reply_head *head)
{
	size_t at = 0, used, scanned = 0;

	while (head_parse_reply(bytes + at, len - at, method, &scanned, &used, head) ==
	       HEAD_COMPLETE) {
		at += used;
		scanned = 0;
		if (head->http >= 200)
			return at;
		reply_head_clear(head);
	}
	return 0;
}

static void check_against_parsers(const char *method, const char *bytes, size_t len,
                                  const struct outcome *o)
{
	enum body_state state = BODY_MORE;
	struct reply_head head = {0};
	struct text body = {0};
	size_t at = skip_interim(method, bytes, len, &head);
	struct body b;

	must(at > 0 && head.http == o->http);
	body_init(&b, head.framing, head.content_length);
	if (head.framing == FRAMING_NONE)
		state = BODY_COMPLETE;
	while (at < len && state == BODY_MORE) {
		const char *piece;
		size_t n;

		at += body_read(&b, bytes + at, len - at, &piece, &n, &state);
		text_add(&body, piece, n);
	}
	must(state == (o->end == UPREPLY_COMPLETE ? BODY_COMPLETE : BODY_MORE));
	must(body.len == o->body.len);
	must(body.len == 0 || memcmp(body.s, o->body.s, body.len) == 0);
	must(o->leftover == (state == BODY_COMPLETE && at < len));
	text_clear(&body);
	reply_head_clear(&head);
}

static void check(const char *method, bool stream, const char *bytes, size_t len)
{
	struct outcome whole = read_in_steps(method, stream, bytes, len, SIZE_MAX);
	size_t steps[] = {1, 7, 100, 4096};

	for (size_t i = len > 4000 ? 2 : 0; i < 4; i++) {
		struct outcome split =
		        read_in_steps(method, stream, bytes, len, steps[i]);

		must_equal(&whole, &split);
		text_clear(&split.body);
	}
	if (whole.http > 0 && whole.end <= UPREPLY_COMPLETE)
		check_against_parsers(method, bytes, len, &whole);
	text_clear(&whole.body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const methods[] = {"GET", "POST", "HEAD"};

	if (size < 2)
		return 0;
	check(methods[data[0] / 2 % 3], data[0] % 2 != 0, (const char *)data + 1,
	      size - 1);
	return 0;
}
