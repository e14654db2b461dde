/* wal/verdict.c - pure: what an instance's reply means for the record it was sent.
 *
 * Only a clear answer is a verdict. A Chroma that answers 500 may have stored the write;
 * one that says nothing may have, too. */
#include <stdlib.h>
#include <string.h>

#include "core/json_scan.h"
#include "wal/record.h"
#include "wal/verdict.h"

static enum verdict of_failure(const struct reply *reply)
{
	return reply->sent ? VERDICT_UNKNOWN : VERDICT_NOT_SENT;
}

enum verdict verdict_of(const struct reply *reply)
{
	if (reply->status != STATUS_OK)
		return of_failure(reply);
	if (reply->http >= 200 && reply->http < 300)
		return VERDICT_APPLIED;
	if (health_is_lost(reply->http))
		return VERDICT_LOST;
	switch (reply->http) {
	case 401:
	case 403:
	case 407:
		return VERDICT_DENIED;
	case 408:
	case 429:
	case 503:
		return VERDICT_BUSY;
	case 501:
		return VERDICT_REFUSED;
	default:
		return reply->http >= 400 && reply->http < 500 ? VERDICT_REFUSED
		                                               : VERDICT_UNKNOWN;
	}
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), n = strlen(end);

	return len >= n && strcmp(text + len - n, end) == 0;
}

/* Chroma answers 400 there, not 404. What a client has said stands further behind in the
 * other messages. */
static bool lacks_database(const struct reply *reply)
{
	static const char begin[] = "Database [";
	struct json_slice answer;
	char *message;
	bool lacks;

	if (reply->http != 400 || reply->body == NULL)
		return false;
	answer = json_whole(blob_bytes(reply->body), blob_len(reply->body));
	message = json_text(json_member(answer, "message"), NULL);
	lacks = message != NULL && strncmp(message, begin, strlen(begin)) == 0 &&
	        ends_with(message, "] does not exist");
	free(message);
	return lacks;
}

enum verdict verdict_of_create(const struct reply *reply)
{
	enum verdict v = verdict_of(reply);

	return v == VERDICT_REFUSED && lacks_database(reply) ? VERDICT_LOST : v;
}

enum verdict verdict_of_sent(const struct record *r, const struct reply *reply)
{
	const struct collection *c = r->collection;
	bool creates = r->kind == RECORD_CREATE_COLLECTION && c->life != LIFE_GONE &&
	               c->db->life != LIFE_GONE;

	return creates ? verdict_of_create(reply) : verdict_of(reply);
}

const char *verdict_name(enum verdict v)
{
	static const char *const names[] = {"applied", "refused", "not sent", "unknown",
	                                    "busy",    "lost",    "denied"};

	return names[v];
}
