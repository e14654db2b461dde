/* http/together.h - what together.c (who waits where) and trip.c (a call that several
 * share) know of each other. */
#ifndef HTTP_TOGETHER_H
#define HTTP_TOGETHER_H

#include "http/exchange.h"

/* All that is remembered of it while nobody is there is what a read costs. */
struct line {
	const struct instance *in;
	int64_t collection;
	enum route_verb verb;
	unsigned under_way; /* calls, also those of one read */
	TAILQ_HEAD(waiting_list, exchange) waiting;
	unsigned n_waiting;
	struct timer look;
	msec apart_until;
	uint64_t read_us, read_bytes; /* of one read, lately; 0: not known */
};

/* A call is over; the next may set out. */
void line_call_over(struct line *l);
/* What so many reads have cost, in one call. */
void line_learn(struct line *l, uint64_t us, size_t bytes, size_t reads);
/* A call came to nothing. */
void line_apart(struct line *l);
/* On its own, from where it stopped. */
void together_go_on(struct exchange *ex);

struct trip;

struct trip *trip_create(struct line *l, size_t seats);
void trip_board(struct trip *trip, struct exchange *ex);
void trip_set_out(struct trip *trip); /* at least one is on board */
void trip_leave(struct exchange *ex);

#endif
