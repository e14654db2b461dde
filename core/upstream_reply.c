/* core/upstream_reply.c - bytes of a connection become head and body of a call.
 *
 * The happy path:
 *   take_head     heads of 1xx are skipped; the first other one decides how the body ends
 *   begin_body    room for a reply of known length is made once, in its exact size
 *   take_body     what comes is decoded and kept: for a whole reply in call->whole, for a
 *                 stream in call->pieces
 *   upreply_place for long stretches of body: read them right where they belong
 *
 * When it does not go well: what cannot be understood, or is more than the caller wants,
 * is said at once; the connection is then closed by whoever feeds us. No receiver is
 * called from here. */
#include <assert.h>
#include <string.h>

#include "core/mem.h"
#include "core/upstream_private.h"

#define MAX_INTERIM 16u
/* Shorter rests of a body go by way of the common buffer. */
#define DIRECT_FROM ((size_t)64 * 1024)
/* A stretch of a stream; with what libevent adds to it just 64 KB. */
#define STREAM_READ ((size_t)64 * 1024 - 64)

/* ---- the head ---- */

static bool ends_here(const struct header *f, const void *connection)
{
	return head_is_hop_by_hop(f, connection);
}

/* Fields that end at this connection are dropped: among them those that are named in a
 * Connection field. */
static void keep_end_to_end(struct headers *headers)
{
	static struct text named; /* by all of these; keeps its room */
	struct header f;
	size_t at = 0;

	text_reset(&named);
	while (headers_next(headers, &at, &f)) {
		if (!header_named(&f, "Connection"))
			continue;
		text_adds(&named, f.value);
		text_addc(&named, ',');
	}
	headers_drop(headers, ends_here, text_string(&named));
}

static enum upreply begin_body(struct upcall *call)
{
	const struct reply_head *head = &call->head;

	call->has_head = true;
	keep_end_to_end(&call->head.headers);
	body_init(&call->body, head->framing, head->content_length);
	if (head->framing == FRAMING_NONE)
		return UPREPLY_COMPLETE;
	if (head->framing != FRAMING_LENGTH || call->receiver != NULL)
		return UPREPLY_MORE;
	if (head->content_length > call->max_reply)
		return UPREPLY_TOO_LARGE;
	call->whole.room = (size_t)head->content_length + 1;
	call->whole.s = mem_resize(NULL, call->whole.room);
	return UPREPLY_MORE;
}

/* *used: how many of the bytes belong to the head, and to those of 1xx before it. */
static enum upreply take_head(struct upcall *call, const char *bytes, size_t len,
                              size_t *used)
{
	*used = 0;
	while (!call->has_head) {
		size_t n = 0;
		int r = head_parse_reply(bytes + *used, len - *used, call->method,
		                         &call->head_scanned, &n, &call->head);

		if (r == HEAD_INCOMPLETE)
			return UPREPLY_MORE;
		if (r != HEAD_COMPLETE)
			return UPREPLY_NOT_UNDERSTOOD;
		*used += n;
		call->head_scanned = 0;
		if (call->head.http >= 200)
			return begin_body(call);
		if (call->head.http == 101 || ++call->interim > MAX_INTERIM)
			return UPREPLY_NOT_UNDERSTOOD;
		reply_head_clear(&call->head);
	}
	return UPREPLY_MORE;
}

/* ---- the body ---- */

static bool keep(struct upcall *call, const char *piece, size_t len)
{
	if (len == 0)
		return true;
	if (call->receiver != NULL)
		return evbuffer_add(call->pieces, piece, len) == 0;
	if (len > call->max_reply - call->whole.len)
		return false;
	text_add(&call->whole, piece, len);
	return true;
}

static enum upreply take_body(struct upcall *call, const char *bytes, size_t len,
                              bool *leftover)
{
	enum body_state state = BODY_MORE;

	while (len > 0 && state == BODY_MORE) {
		const char *piece;
		size_t piece_len;
		size_t n = body_read(&call->body, bytes, len, &piece, &piece_len, &state);

		if (!keep(call, piece, piece_len))
			return UPREPLY_TOO_LARGE;
		bytes += n;
		len -= n;
	}
	*leftover = len > 0;
	if (state == BODY_MALFORMED)
		return UPREPLY_NOT_UNDERSTOOD;
	return state == BODY_COMPLETE ? UPREPLY_COMPLETE : UPREPLY_MORE;
}

static enum upreply take_head_and_body(struct upcall *call, const char *bytes, size_t len,
                                       size_t *used, bool *leftover)
{
	enum upreply r = take_head(call, bytes, len, used);

	*leftover = r == UPREPLY_COMPLETE && *used < len;
	if (r == UPREPLY_MORE && call->has_head)
		r = take_body(call, bytes + *used, len - *used, leftover);
	return r;
}

enum upreply upreply_take(struct upcall *call, const char *bytes, size_t len,
                          bool *leftover)
{
	struct text *held = &call->head_bytes;
	enum upreply r;
	size_t used;

	call->began = true;
	*leftover = false;
	if (call->has_head)
		return take_body(call, bytes, len, leftover);
	if (held->len == 0) { /* mostly a head comes in one piece and is not copied */
		r = take_head_and_body(call, bytes, len, &used, leftover);
		if (!call->has_head && r == UPREPLY_MORE)
			text_add(held, bytes + used, len - used);
		return r;
	}
	text_add(held, bytes, len);
	r = take_head_and_body(call, held->s, held->len, &used, leftover);
	if (call->has_head)
		text_clear(held);
	else
		text_drop(held, used);
	return r;
}

/* ---- the body, without a detour ---- */

/* Never for its last byte: that goes through upreply_take(), which sees whether more
 * comes with it. */
char *upreply_place(struct upcall *call, size_t *room)
{
	struct evbuffer_iovec place;

	if (!call->has_head || call->body.framing != FRAMING_LENGTH ||
	    call->body.left < DIRECT_FROM)
		return NULL;
	*room = (size_t)call->body.left - 1;
	if (call->receiver == NULL)
		return call->whole.s + call->whole.len;
	if (evbuffer_reserve_space(call->pieces, STREAM_READ, &place, 1) != 1)
		return NULL;
	if (*room > place.iov_len)
		*room = place.iov_len;
	return place.iov_base;
}

void upreply_placed(struct upcall *call, char *place, size_t len)
{
	struct evbuffer_iovec taken = {.iov_base = place, .iov_len = len};
	enum body_state state;
	const char *piece;
	size_t piece_len;

	body_read(&call->body, place, len, &piece, &piece_len, &state);
	assert(state == BODY_MORE && piece == place && piece_len == len);
	if (call->receiver != NULL) {
		evbuffer_commit_space(call->pieces, &taken, 1);
	} else {
		call->whole.len += len;
		call->whole.s[call->whole.len] = '\0';
	}
}

bool upreply_complete_at_close(const struct upcall *call)
{
	return call->has_head && body_at_close(&call->body) == BODY_COMPLETE;
}
