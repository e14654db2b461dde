/* http/intake.c - one body being read.
 *
 * The happy path, for a declared length: intake_start() makes the buffer, client.c
 * receives straight into intake_place(), and intake_take() turns the buffer, which has
 * exactly that size, into the blob without a copy. What came along with the head goes
 * through intake_add(), and so does everything of a chunked body.
 *
 * Room is made as bytes come, and only what has come counts: a client that announces
 * 40 MB and sends nothing takes no place from others. The limit of a chunked body is
 * checked piece by piece.
 *
 * Before there is too much in memory clients wait with their bodies (pressure.c). A byte
 * too much for the memory of all ends its body all the same, and what that body held is
 * free for the others at once. One alone always fits.
 */
#include "http/server_private.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

#define FIRST_ROOM (1024u * 1024)
#define FIRST_CHUNKED_ROOM (16u * 1024)
#define RECEIVE_AT_ONCE (1024u * 1024) /* so that one client does not hold the loop */

static size_t at_most(size_t n, size_t limit)
{
	return n < limit ? n : limit;
}

static void count(struct intake *in, size_t bytes)
{
	server.body_bytes += bytes - in->counted;
	in->counted = bytes;
}

static void make_room(struct intake *in, size_t need)
{
	size_t room = in->room * 2;

	if (need <= in->room)
		return;
	if (in->room == 0)
		room = in->chunked ? FIRST_CHUNKED_ROOM : FIRST_ROOM;
	if (room < need)
		room = need;
	in->room = at_most(room, in->length);
	in->bytes = mem_resize(in->bytes, in->room);
}

/* So many bytes have been put behind the others. */
static enum intake_result grown(struct intake *in, size_t len)
{
	in->have += len;
	count(in, in->have);
	in->patience = server_patience_after(in->patience, len, SLOWEST_CLIENT,
	                                     server_patience.body);
	if (!server_has_room(0) && server_held_bytes() > in->have)
		return INTAKE_NO_ROOM;
	return in->have == in->length && !in->chunked ? INTAKE_WHOLE : INTAKE_MORE;
}

void intake_start(struct intake *in, const struct request_head *head, size_t max)
{
	*in = (struct intake){.patience = clock_ms() + server_patience.body,
	                      .chunked = head->framing == FRAMING_CHUNKED};
	in->length = in->chunked ? max : (size_t)head->content_length;
	body_init(&in->chunks, head->framing, head->content_length);
}

char *intake_place(struct intake *in, size_t *room)
{
	if (in->chunked)
		return NULL;
	make_room(in, in->have + 1);
	*room = at_most(in->room - in->have, RECEIVE_AT_ONCE);
	return in->bytes + in->have;
}

enum intake_result intake_received(struct intake *in, size_t len)
{
	return grown(in, len);
}

static enum intake_result add_chunked(struct intake *in, const char *bytes, size_t len,
                                      size_t *used)
{
	enum body_state state = BODY_MORE;
	const char *piece;
	size_t n, piece_len;

	*used = 0;
	while (*used < len && state == BODY_MORE) {
		n = body_read(&in->chunks, bytes + *used, len - *used, &piece, &piece_len,
		              &state);
		*used += n;
		if (state == BODY_MALFORMED)
			return INTAKE_MALFORMED;
		if (piece_len > in->length - in->have)
			return INTAKE_TOO_LARGE;
		if (piece_len > 0) {
			make_room(in, in->have + piece_len);
			memcpy(in->bytes + in->have, piece, piece_len);
			if (grown(in, piece_len) == INTAKE_NO_ROOM)
				return INTAKE_NO_ROOM;
		}
	}
	return state == BODY_COMPLETE ? INTAKE_WHOLE : INTAKE_MORE;
}

enum intake_result intake_add(struct intake *in, const char *bytes, size_t len,
                              size_t *used)
{
	if (in->chunked)
		return add_chunked(in, bytes, len, used);
	*used = at_most(len, in->length - in->have);
	if (*used == 0)
		return INTAKE_MORE;
	make_room(in, in->have + *used);
	memcpy(in->bytes + in->have, bytes, *used);
	return intake_received(in, *used);
}

msec intake_time_left(const struct intake *in)
{
	msec now = clock_ms();

	return now < in->patience ? in->patience - now : 0;
}

struct blob *intake_take(struct intake *in)
{
	struct blob *b = NULL;

	if (in->have > 0) {
		if (in->have < in->room)
			in->bytes = mem_resize(in->bytes, in->have);
		b = blob_adopt(in->bytes, in->have);
		in->bytes = NULL;
	}
	intake_clear(in);
	return b;
}

void intake_clear(struct intake *in)
{
	count(in, 0);
	free(in->bytes);
	*in = (struct intake){0};
}
