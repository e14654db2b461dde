/* http/repeat.c - Idempotency-Key: a write that is sent again with its key gets the
 * answer it had, or will have.
 *
 * The happy path:
 *   repeat_begin    the key is looked up before anything else is asked, for the catalogue
 *                   would say that what the first one made exists
 *   on_looked       nothing has it: the write goes its way, its key into the log with it
 *   repeat_settled  it is in the log: from now on the key has an answer
 * and sent again:
 *   on_looked       the outcome as it was stored, or once it is decided
 * When it does not go well:
 *   - the key came with another request: 422, no effect
 *   - several with one key at a time: one after the other, until it is known what the
 *     first one has made of it. (From another proxy: the append finds out, repeat_again.)
 *   - the write is refused before it is logged: its key is as good as new
 *   - PostgreSQL cannot be asked: 503, outcome unknown, for it may have been logged
 *
 * A request is the same if method, path and body are. */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "http/exchange.h"

#define HEADER "Idempotency-Key"
#define KEY_MOST 255u

struct repeat {
	struct exchange *ex;
	struct wal_key key; /* its text is ours */
	void (*answer)(struct exchange *ex);
	bool queued, first; /* others with that key wait for this one */
	TAILQ_ENTRY(repeat) link;
};

static TAILQ_HEAD(repeat_list, repeat) repeats = TAILQ_HEAD_INITIALIZER(repeats);

static void refuse(struct exchange *ex, int http, const char *message)
{
	struct headers h = {0};
	struct text json = {0};
	struct blob *body;
	size_t len;

	exchange_add_error(&json, "ChromaError", message);
	len = json.len;
	body = blob_adopt(text_detach(&json), len);
	headers_add(&h, "content-type", "application/json");
	headers_add(&h, "x-chromatid-outcome", "none");
	exchange_reply(ex, http, &h, body);
	headers_clear(&h);
	blob_unref(&body);
}

/* --- the key ----------------------------------------------------------------------- */

bool repeat_named(const struct exchange *ex)
{
	return headers_get(&ex->head->headers, HEADER) != NULL;
}

static bool is_key(const struct exchange *ex)
{
	const char *text = headers_get(&ex->head->headers, HEADER);
	size_t len = strlen(text);

	if (headers_count_of(&ex->head->headers, HEADER) > 1 || len == 0 ||
	    len > KEY_MOST)
		return false;
	for (; *text != '\0'; text++)
		if (*text <= ' ' || *text > '~')
			return false;
	return true;
}

/* The NULs keep the parts apart; neither method nor target has one. */
static struct digest fingerprint(const struct exchange *ex)
{
	const struct request_head *head = ex->head;
	struct digest_part parts[] = {
	        {head->method, strlen(head->method) + 1},
	        {head->target, strlen(head->target) + 1},
	        {blob_bytes(ex->body), blob_len(ex->body)},
	};

	return digest_of(parts, 3);
}

static void repeat_create(struct exchange *ex)
{
	struct repeat *r = mem_new(struct repeat);

	r->ex = ex;
	r->key.text = mem_string(headers_get(&ex->head->headers, HEADER));
	r->key.fingerprint = fingerprint(ex);
	r->queued = true;
	ex->repeat = r;
	TAILQ_INSERT_TAIL(&repeats, r, link);
}

const struct wal_key *repeat_key(const struct exchange *ex)
{
	return ex->repeat != NULL ? &ex->repeat->key : NULL;
}

/* --- looking it up ----------------------------------------------------------------- */

static void on_looked(void *arg, enum status s, const struct wal_outcome *outcome)
{
	struct exchange *ex = arg;

	timer_stop(&ex->timer);
	switch (s) {
	case STATUS_OK:
		write_answer(ex, outcome);
		break;
	case STATUS_NOT_FOUND:
		ex->repeat->answer(ex);
		break;
	case STATUS_CONFLICT:
		refuse(ex, 422, HEADER " was used with another request");
		break;
	default:
		exchange_fail(ex, s, "unknown");
	}
}

static void look(struct exchange *ex)
{
	ex->repeat->first = true;
	wal_repeat(&ex->repeat->key, write_appended, on_looked, ex, &ex->pending);
}

/* Of those with that key the one that looks already, or else the one that came first. */
static struct repeat *first_with(const char *key)
{
	struct repeat *r, *first = NULL;

	TAILQ_FOREACH (r, &repeats, link) {
		if (strcmp(r->key.text, key) != 0)
			continue;
		if (r->first)
			return r;
		if (first == NULL)
			first = r;
	}
	return first;
}

static void on_late(void *arg)
{
	exchange_fail(arg, STATUS_UNKNOWN, "unknown");
}

static void look_when_first(struct exchange *ex)
{
	timer_start(&ex->timer, exchange_left(ex), on_late, ex);
	if (first_with(ex->repeat->key.text) == ex->repeat)
		look(ex);
}

void repeat_begin(struct exchange *ex, void (*answer)(struct exchange *ex))
{
	if (!is_key(ex)) {
		refuse(ex, 400,
		       HEADER " must be given once, as 1 to 255 visible ASCII "
		              "characters");
		return;
	}
	if (ex->repeat == NULL)
		repeat_create(ex);
	ex->repeat->answer = answer;
	look_when_first(ex);
}

void repeat_again(struct exchange *ex)
{
	look_when_first(ex);
}

/* --- the end ----------------------------------------------------------------------- */

/* Leaves the queue; if it was the first, the next one begins to look. */
static void leave(struct repeat *r)
{
	struct repeat *next;

	if (!r->queued)
		return;
	TAILQ_REMOVE(&repeats, r, link);
	r->queued = false;
	next = r->first ? first_with(r->key.text) : NULL;
	if (next != NULL)
		look(next->ex);
}

void repeat_settled(struct exchange *ex)
{
	if (ex->repeat != NULL)
		leave(ex->repeat);
}

void repeat_end(struct exchange *ex)
{
	struct repeat *r = ex->repeat;

	if (r == NULL)
		return;
	leave(r);
	ex->repeat = NULL;
	free((char *)(uintptr_t)r->key.text);
	free(r);
}
