/* core/head.h - pure: one HTTP/1 message head, parsed strictly.
 *
 * Shared by the side that faces clients (http/gate.c) and the side that faces instances
 * (core/upstream_conn.c). Nothing ambiguous passes: bare LF, obsolete folding, NUL and
 * control bytes, space before the colon, empty or non-token names, several or
 * non-numeric Content-Length, Content-Length with Transfer-Encoding, any
 * Transfer-Encoding but exactly one "chunked" (compared without case), absolute-form
 * and asterisk-form targets, bytes outside 0x21-0x7e in the target, segments that are
 * dots (also as %2e), no or several Host in HTTP/1.1. */
#ifndef CORE_HEAD_H
#define CORE_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/headers.h"

#define HEAD_MAX_BYTES 32768u /* a request head */
#define HEAD_MAX_LINE 8000u   /* one line of a request head */
#define HEAD_MAX_FIELDS 100u
#define HEAD_REPLY_MAX_BYTES 65536u

/* How long the body after a head is. */
enum head_framing {
	FRAMING_NONE,   /* there is no body */
	FRAMING_LENGTH, /* content_length bytes (0 counts as FRAMING_NONE) */
	FRAMING_CHUNKED,
	FRAMING_TO_CLOSE, /* replies only: until the connection closes */
};

struct request_head {
	char method[16];
	char *target; /* origin-form, exactly as it came: path and query */
	int minor;    /* HTTP/1.minor */
	struct headers headers;
	enum head_framing framing;
	uint64_t content_length;
	bool keep_alive;
	bool expect_continue; /* Expect: 100-continue, and HTTP/1.1 */
};

struct reply_head {
	int http;
	int minor;
	struct headers headers;
	enum head_framing framing;
	uint64_t content_length;
	bool has_content_length; /* also where there is no body: HEAD, 304 */
	bool keep_alive;         /* the connection can be used again after the body */
};

/* What a parse found. More than 0: the status to refuse a request with (400, 414, 431,
 * 501, 505); for a reply, any such number only means "not understood". */
enum { HEAD_COMPLETE = 0, HEAD_INCOMPLETE = -1 };

/* Looks for a whole head at the start of bytes[0..len). On HEAD_COMPLETE *used is the
 * length of the head with its empty line, and `head` is filled (clear it afterwards;
 * on any other result it is left clear). Empty lines before a request line are skipped
 * and counted in *used. To be called again with more bytes after HEAD_INCOMPLETE;
 * *scanned (0 at first) remembers how far the search for the end has come. */
int head_parse_request(const char *bytes, size_t len, size_t *scanned, size_t *used,
                       struct request_head *head);
/* A reply to `method`: HEAD and 1xx, 204, 304 have no body. 1xx heads are returned like
 * any other; the caller skips them. Bare LF is refused here as well. */
int head_parse_reply(const char *bytes, size_t len, const char *method, size_t *scanned,
                     size_t *used, struct reply_head *head);

void request_head_clear(struct request_head *head); /* may come twice */
void reply_head_clear(struct reply_head *head);     /* may come twice */

/* True for the fields that belong to one connection and are never passed on:
 * Connection and what it names (given as `connection`, may be NULL), Keep-Alive,
 * Proxy-*, TE, Trailer, Transfer-Encoding, Upgrade. Content-Length is not one. */
bool head_is_hop_by_hop(const struct header *f, const char *connection);
/* "Unprocessable Entity" for 422; never NULL */
const char *head_reason(int http);

#endif
