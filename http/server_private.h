/* http/server_private.h - what the files behind http/server.h share.
 *
 *	server.c   the ports, the list of connections, starting and stopping
 *	gate.c     libevhtp; the only file that knows it
 *	client.c   one connection: heads in, deadlines, closing
 *	intake.c   one body being read
 *	pressure.c who waits with its body while there is much in memory
 *	reply.c    one answer: composing, writing, back-pressure
 *
 * Nothing that a handler calls (reply.c) frees a connection: it only notes what has to
 * happen, and client_turn(), on the loop, makes it happen. */
#ifndef HTTP_SERVER_PRIVATE_H
#define HTTP_SERVER_PRIVATE_H

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "core/blob.h"
#include "core/body.h"
#include "core/clock.h"
#include "core/head.h"
#include "core/text.h"
#include "core/timer.h"
#include "http/server.h"

#define CLIENT_MAX_SURPLUS (64u * 1024) /* read beyond a request before its answer */
#define CLIENT_MAX_DROPPED (1024u * 1024)
#define REPLY_HIGH (512u * 1024) /* more waits for a client: its source rests ... */
#define REPLY_LOW (128u * 1024)
#define REPLY_MOST (32u * 1024 * 1024) /* ... or so much, while there is memory */

/* libevhtp's side of a connection. */
struct gate {
	struct evhtp_connection *conn;   /* NULL: libevhtp has given it up */
	struct evhtp_request *request;   /* from a fed head to on_request_fini */
	struct bufferevent *bev;         /* only libevhtp's: it never reads or writes */
	bufferevent_data_cb read, write; /* libevhtp's own callbacks ... */
	void *arg;                       /* ... and what they take */
};

enum intake_result {
	INTAKE_MORE,
	INTAKE_WHOLE,
	INTAKE_TOO_LARGE,
	INTAKE_NO_ROOM, /* all bodies together are too much */
	INTAKE_MALFORMED
};

/* A body on its way in. Zeroed is valid and empty. */
struct intake {
	char *bytes;
	size_t have, room;
	size_t length; /* as declared, or the limit if chunked */
	bool chunked;
	struct body chunks;
	size_t counted; /* in server_body_bytes() */
	msec patience;  /* lasts until then */
};

enum client_state {
	CLIENT_HEAD,   /* between requests, or a part of a head is there */
	CLIENT_BODY,   /* the head was taken, the body is being read */
	CLIENT_ANSWER, /* an answer is owed or being written */
	CLIENT_LINGER, /* our side is shut; what still comes is dropped */
};

enum reply_framing { REPLY_PLAIN, REPLY_CHUNKED, REPLY_BODYLESS };

/* A connection, and as handlers see it, the request on it. */
struct client {
	TAILQ_ENTRY(client) next;
	struct gate gate;
	int fd;
	bool loopback;
	bool late; /* opened while the server drains */
	char address[INET6_ADDRSTRLEN];
	enum client_state state;
	struct event readable, writable;
	struct timer deadline; /* of the state */
	struct timer stall;    /* output waits ... */
	msec patience;         /* ... and may until then */
	struct timer turn;     /* does what was noted */

	struct text in; /* received, not used yet */
	size_t scanned; /* see head_parse_request() */
	struct request_head head;
	struct intake intake;
	bool in_line; /* waits with its body: pressure.c */
	TAILQ_ENTRY(client) line;
	size_t dropped; /* while lingering */

	bool open;      /* the handler owes an answer and is told if the client leaves */
	void *arg;      /* for on_gone, on_drained */
	bool begun;     /* the answer's head is composed */
	bool complete;  /* nothing will be added to `out` */
	bool keep;      /* another request may follow this answer */
	bool unread;    /* the client may be sending what nobody will read */
	bool broken;    /* writing has failed, or the handler wants it cut */
	bool cut;       /* close with a reset: what was sent must not look whole */
	bool throttled; /* client_send() has returned false */
	bool pieces;    /* the answer comes in pieces, and so counts: */
	size_t counted; /* in server_reply_bytes() */
	enum reply_framing framing;
	int64_t left; /* of the length promised; -1: none was */
	struct evbuffer *out;
};

TAILQ_HEAD(client_list, client);

struct server {
	struct server_options options;
	struct client_list clients;
	unsigned connections;
	unsigned active;    /* requests without their answer ... */
	unsigned uploading; /* ... of those, whose bodies are being read */
	size_t body_bytes, reply_bytes;
	int port;
	bool draining;
};

extern struct server server;

/* Patience with slow clients; tests shorten it. */
struct server_patience {
	msec body;   /* for a body */
	msec stall;  /* for an answer to be taken */
	msec linger; /* for a client to notice that we have shut down */
};

extern struct server_patience server_patience;

/* Who moves fewer bytes a second than these uses its patience up ... */
#define SLOWEST_CLIENT (16u * 1024)
#define SLOWEST_HOLDER (256u * 1024) /* ... while it keeps an instance's connection */
/* The end of a patience that would have ended at `end`, after so many bytes more: each
 * byte buys time, but nobody can save up more than `most`. */
msec server_patience_after(msec end, size_t bytes, size_t slowest, msec most);

/* server.c */
void server_count(int connections); /* +1, -1: opens and shuts the ports at the limit */
void server_make_room(void);        /* at the limit, who is idle goes */
bool server_has_room(size_t more);  /* in memory, for so many bytes */
void server_out_of_descriptors(void);

/* gate.c */
bool gate_listen(int fd);        /* a listening socket; the gate closes it */
int gate_listening_socket(void); /* -1: none */
void gate_accepting(bool on);
void gate_unlisten(void); /* closes the ports */
void gate_stop(void);     /* when no connection is left */
/* Tells libevhtp of c->head. False: it did not take it; the connection must close. */
bool gate_begin_request(struct client *c);
void gate_end_request(struct client *c); /* leads to client_request_over() */
void gate_close(struct client *c);       /* likewise, if there is a request */

/* client.c */
void client_open(struct client *c, const struct sockaddr *address);
void client_request_over(struct client *c);
void client_turn_soon(struct client *c);
bool client_is_idle(const struct client *c);
/* If it is idle: one more request within so long, or (0) none. */
void client_drain(struct client *c, msec last);
void client_close(struct client *c); /* frees it; never from below a handler's function */

/* intake.c */
void intake_start(struct intake *in, const struct request_head *head, size_t max);
/* Where to receive into, NULL: anywhere, and hand it to intake_add(). */
char *intake_place(struct intake *in, size_t *room);
enum intake_result intake_received(struct intake *in, size_t len);
enum intake_result intake_add(struct intake *in, const char *bytes, size_t len,
                              size_t *used);
msec intake_time_left(const struct intake *in);
struct blob *intake_take(struct intake *in); /* NULL if it is empty */
void intake_clear(struct intake *in);

/* pressure.c */
void pressure_start(void);
void pressure_stop(void);
/* True: nothing more of its body is read for now; it is told when. */
bool pressure_holds(struct client *c);
void pressure_leave(struct client *c); /* its body is there, or will never be */

/* reply.c */
void reply_whole(struct client *c, int http, const struct headers *headers,
                 struct blob *body);
void reply_continue(struct client *c);
void reply_flush(struct client *c);
void on_reply_writable(evutil_socket_t fd, short what, void *arg);

#endif
