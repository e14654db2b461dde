/* tests/lib/fake_upstream.h - stands in for core/upstream.c (and not for the pure
 * upstream_url.c): a test says how each endpoint behaves, and sees what was asked of it.
 * An endpoint hangs until told. */
#ifndef TESTS_LIB_FAKE_UPSTREAM_H
#define TESTS_LIB_FAKE_UPSTREAM_H

#include "core/upstream.h"

/* From now on, every call ... */
void fake_answers(struct upstream *up, int http, const char *body);      /* at once */
void fake_fails(struct upstream *up, enum status s, const char *detail); /* at once */
void fake_hangs(struct upstream *up); /* stays open until its timeout */

/* Or a server of the test's own takes every call; it answers now or later. */
struct fake_call;
struct fake_server {
	void (*take)(void *arg, struct fake_call *c, const struct call *call);
	void (*gone)(void *arg, struct fake_call *c); /* ended by somebody else */
};
void fake_serves(struct upstream *up, const struct fake_server *server, void *arg);
void fake_call_answer(struct fake_call *c, int http, const char *body);
void fake_call_fail(struct fake_call *c, enum status s, const char *detail);

/* Ends the oldest open call; false if there is none. */
bool fake_reply(struct upstream *up, int http, const char *body);
bool fake_fail(struct upstream *up, enum status s, const char *detail);

unsigned fake_open(const struct upstream *up); /* calls under way */
uint64_t fake_calls(const struct upstream *up);
unsigned fake_aborts(const struct upstream *up);
void fake_load(struct upstream *up, unsigned calls); /* figures say so many more */
/* The last call made; its strings are valid until the next. NULL: none yet. */
const struct call *fake_last(const struct upstream *up);
const char *fake_auth_header(const struct upstream *up); /* "Name: value" or "" */
struct upstream *fake_by_url(const char *url);           /* as created; NULL: none */

#endif
