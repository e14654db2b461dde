/* wal/verdict.c - pure: what an instance's reply means for the record it was sent.
 *
 * Only a clear answer is a verdict. A Chroma that answers 500 may have stored the write;
 * one that says nothing may have, too. */
#include "wal/wal_private.h"

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

const char *verdict_name(enum verdict v)
{
	static const char *const names[] = {"applied", "refused", "not sent", "unknown",
	                                    "busy",    "lost",    "denied"};

	return names[v];
}
