/* core/upstream.h - one HTTP endpoint: a pool of keep-alive connections; calls go in,
 * replies come out.
 *
 * A call either buffers its reply (upstream_call) or hands it on piece by piece
 * (upstream_stream). Both follow the slot rule (core/op.h); cancelling a call closes its
 * connection, so that the instance drops what it has not begun.
 *
 * How a call ends besides STATUS_OK: NOT_RESOLVED, REFUSED, TLS_FAILED: nothing was sent.
 * BROKEN, BAD_REPLY, TIMED_OUT, TOO_LARGE: see `sent`. STOPPED: upstream_abort() or
 * destroy.
 *
 * A reused connection that dies with zero bytes of reply: if the call is `repeatable` it
 * is sent again, once, on a fresh connection, within the same deadline. */
#ifndef CORE_UPSTREAM_H
#define CORE_UPSTREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "core/blob.h"
#include "core/clock.h"
#include "core/head.h"
#include "core/op.h"
#include "core/status.h"

struct upstream;
struct evbuffer;

struct upstream_options {
	const char *url;          /* host:port, http://host:port, https://host[:port] */
	unsigned max_connections; /* further calls wait, first come first served */
	msec connect_timeout;     /* name look-up, TCP and TLS together */
	msec idle_timeout;        /* an unused connection is closed after that */
	const char *auth_header;  /* NULL, or a header name sent with every call ... */
	const char *auth_value;   /* ... and its value; never logged */
	const char *ca_file;      /* NULL: the system's roots */
};

/* NULL if the URL is good, else what is wrong (freed by the caller). */
char *upstream_check_url(const char *url);
struct upstream *upstream_create(const struct upstream_options *options);
void upstream_destroy(struct upstream **up); /* open calls end STOPPED, from the loop */
const char *upstream_url(const struct upstream *up); /* normalised, without user info */
/* Ends every open call with STOPPED and closes every connection: the instance is not to
 * be trusted with what is under way. */
void upstream_abort(struct upstream *up, const char *why);

struct call {
	const char *method;
	const char *target;            /* origin-form */
	const struct headers *headers; /* NULL: none. Host, Content-Length, Connection and
	                                  hop-by-hop fields in it are left out */
	struct blob *body;             /* NULL: none; the call takes its own reference */
	msec timeout;                  /* for the whole call, from now */
	size_t max_reply; /* upstream_call: more than that is TOO_LARGE; 0: 64 MiB */
	bool repeatable;
	bool alone; /* a connection of its own, outside the pool (probes) */
};

struct reply {
	enum status status; /* anything else: http is 0, headers and body are empty */
	bool sent;          /* some byte of the request may have reached the instance */
	int http;
	const struct headers *headers; /* end-to-end fields only */
	struct blob *body;             /* blob_ref() to keep it */
	const char *detail;            /* more about a failure, for logs; never NULL */
};

typedef void(upstream_fn)(void *arg, const struct reply *reply);

/* What `call` points to is copied. The reply is valid inside `done`. */
void upstream_call(struct upstream *up, const struct call *call, upstream_fn *done,
                   void *arg, struct op **slot);

struct upstream_receiver {
	/* The head is there (never a 1xx). Always before any data. You may take its
	 * headers (headers_move). */
	void (*on_head)(void *arg, struct reply_head *head);
	/* Take what you want out of `data`; what stays is offered again with the next
	 * bytes or at the next upstream_resume(). While more than 256 KB stay, nothing is
	 * read from the instance. */
	void (*on_data)(void *arg, struct evbuffer *data);
	/* The last callback. After STATUS_OK all data has been offered and taken. `reply`
	 * has no headers and no body. */
	void (*on_end)(void *arg, const struct reply *reply);
};

/* The receiver must stay valid (static const). The time limit covers the head and any
 * stretch of `timeout` without a byte of progress, unless the receiver holds data back.
 */
void upstream_stream(struct upstream *up, const struct call *call,
                     const struct upstream_receiver *receiver, void *arg,
                     struct op **slot);
/* Offer held-back data again (from the loop), and read on. */
void upstream_resume(struct op *call);

struct upstream_figures {
	uint64_t calls, failures, connects, reused;
	unsigned open, idle, waiting;
};
struct upstream_figures upstream_figures(const struct upstream *up);
/* The longest time limit among the calls under way, without streams and without those
 * that are alone; 0: none. For so long their work may keep the endpoint busy. */
msec upstream_patience(const struct upstream *up);

#endif
