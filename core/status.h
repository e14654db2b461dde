/* core/status.h - every way an operation can end, its text, and what a client sees.
 *
 * An instance that answers 404 has answered: STATUS_OK, http 404. */
#ifndef CORE_STATUS_H
#define CORE_STATUS_H

/*	name             http  text */
#define STATUS_LIST(X)                                                                   \
	X(OK, 200, "ok")                                                                 \
	X(BAD_REQUEST, 400, "request not understood")                                    \
	X(NOT_FOUND, 404, "not found")                                                   \
	X(CONFLICT, 409, "already exists")                                               \
	X(TOO_LARGE, 413, "too large")                                                   \
	X(BUSY, 429, "at a limit")                                                       \
	X(NO_INSTANCE, 503, "no instance can serve this request")                        \
	X(LOG_UNAVAILABLE, 503, "the write-ahead log is unavailable")                    \
	X(DRAINING, 503, "shutting down")                                                \
	X(NOT_RESOLVED, 503, "host name not resolved")                                   \
	X(REFUSED, 502, "connection refused")                                            \
	X(TLS_FAILED, 502, "TLS failed")                                                 \
	X(BROKEN, 502, "connection closed early")                                        \
	X(BAD_REPLY, 502, "reply not understood")                                        \
	X(TIMED_OUT, 504, "no answer in time")                                           \
	X(STOPPED, 503, "stopped")                                                       \
	X(DB_DOWN, 503, "PostgreSQL is not connected; nothing was sent")                 \
	X(DB_LOST, 503, "connection to PostgreSQL lost; not known if it committed")      \
	X(DB_REFUSED, 500, "PostgreSQL refused the statement")                           \
	X(DEPOSED, 503, "another proxy leads")                                           \
	X(PENDING, 503, "logged, not executed yet")                                      \
	X(UNKNOWN, 504, "outcome not known")

enum status {
#define X(name, http, text) STATUS_##name,
	STATUS_LIST(X)
#undef X
};

const char *status_text(enum status s);
int status_http(enum status s);

#endif
