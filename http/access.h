/* http/access.h - who may do what: by the token a request carries, or, where no
 * ADMIN_TOKEN is set, by where it comes from.
 *
 * Asked once for each request, when its head is there (http.c), for every path by one
 * table of needs: a path that is new is for administrators until it is said otherwise. */
#ifndef HTTP_ACCESS_H
#define HTTP_ACCESS_H

#include "core/conf.h"
#include "core/networks.h"
#include "http/route.h"
#include "http/server.h"

/* Later needs more. */
enum access_need {
	ACCESS_OPEN,  /* anybody: is it alive? */
	ACCESS_LOOK,  /* as ACCESS_READ if STATUS_AUTH is on, else anybody */
	ACCESS_READ,  /* READ_TOKEN, or one of those below */
	ACCESS_WRITE, /* API_TOKEN, or */
	ACCESS_ADMIN, /* ADMIN_TOKEN; without one: from this machine */
};

enum access_answer {
	ACCESS_GRANTED,
	ACCESS_UNKNOWN,    /* 401: no token, or none we know */
	ACCESS_TOO_LITTLE, /* 403: a token, that may not do this */
	ACCESS_NOT_HERE,   /* 403: only from this machine */
	ACCESS_NOT_TYPED,  /* 415: it could be a page in somebody's browser */
};

void access_start(const struct conf *conf); /* also says so if everything is open */
/* Pure: what the route needs. */
enum access_need access_need(const struct route *r);
/* May it? `route` NULL: it is found out, unless that does not matter. */
enum access_answer access_judge(const struct client *client,
                                const struct request_head *head);
/* Fills the answer to who may not; counts and logs it. */
void access_refuse(enum access_answer answer, const struct client *client,
                   const struct request_head *head, struct refusal *out);
/* Who asks, for the events: "ADMIN_TOKEN", "127.0.0.1"; without secrets. */
const char *access_who(const struct request_head *head);
/* From where, as far as that is known for certain: TRUSTED_PROXIES. */
#define ADDRESS_BYTES 46u
void access_address(const struct client *client, const struct request_head *head,
                    char out[ADDRESS_BYTES]);
uint64_t access_failures(void);

/* --- forwarded.c, pure ------------------------------------------------------------- */
void forwarded_for(const struct networks *trusted, const char *peer,
                   const struct headers *h, char out[ADDRESS_BYTES]);

/* --- cors.c: what browsers ask before they let a page of another origin speak to us - */
void cors_start(const char *origins); /* CORS_ALLOW_ORIGINS; NULL: none */
/* Is this the question of a browser whether it may? Then `out` is the answer. */
bool cors_preflight(const struct request_head *head, struct refusal *out);
/* Lets a page that is allowed to see the answer see it. */
void cors_add(const struct request_head *head, struct headers *answer);

#endif
