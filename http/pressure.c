/* http/pressure.c - while there is much in memory, clients wait with their bodies.
 *
 * The happy path:
 *   pressure_holds     asked before more of a body is read. Above the upper mark the
 *                      client is put in line and its socket left alone: TCP tells it to
 *                      wait. What needs no room to speak of is never held
 *   on_look            below the lower mark all read on
 * Until then one of them reads at a time, if what its body lacks fits below the limit:
 * what is in memory may be nothing but halves of bodies, each waiting for the others.
 * When it does not go well:
 *   - whose turn it is does not make use of it: last in line again
 *   - nothing is at work that could give memory back: the first reads on, and is refused
 *     (intake.c) if it is too much, which makes room for the next
 *   - a deadline ends while its client is in line: refused for now (client.c); it was not
 *     slow, we were */
#include "http/server_private.h"

#include <event2/event.h>

#define SMALL_BODY (64u * 1024)
#define LOOK_MS 20u
#define TURN_MS 250u

static struct {
	bool high;
	uint64_t events; /* how often it has become so */
	struct client_list line;
	struct client *reader;
	size_t had;      /* the reader, when its turn began */
	msec turn_until; /* ... or was last prolonged */
	struct timer look;
} pressure;

static void on_look(void *arg);

/* --- the marks --------------------------------------------------------------------- */

/* Below it the largest body still has room, if the limit is not all too small. */
static size_t upper_mark(void)
{
	size_t most = server.options.max_held, body = server.options.max_body;
	size_t mark = most / 3 * 2;

	if (body < most && most - body < mark)
		mark = most - body;
	return mark > most / 4 ? mark : most / 4;
}

static bool is_high(void)
{
	size_t mark = upper_mark();
	bool was = pressure.high;

	if (server.options.max_held == 0)
		return false;
	pressure.high = server_held_bytes() > (was ? mark / 4 * 3 : mark);
	pressure.events += pressure.high && !was;
	return pressure.high;
}

/* --- the line ---------------------------------------------------------------------- */

static bool is_large(const struct intake *in)
{
	return (in->chunked ? in->have : in->length) > SMALL_BODY;
}

static void look_soon(msec wait)
{
	timer_start(&pressure.look, wait, on_look, NULL);
}

static void put_in_line(struct client *c)
{
	event_del(&c->readable);
	c->in_line = true;
	TAILQ_INSERT_TAIL(&pressure.line, c, line);
	if (!timer_running(&pressure.look))
		look_soon(LOOK_MS);
}

static void take_out(struct client *c)
{
	TAILQ_REMOVE(&pressure.line, c, line);
	c->in_line = false;
}

static void read_on(struct client *c)
{
	take_out(c);
	event_add(&c->readable, NULL);
}

static bool has_place(const struct client *c)
{
	return server_has_room(c->intake.length - c->intake.have);
}

/* Who is owed an answer gives back with it what it holds. */
static bool nothing_is_at_work(void)
{
	return server.active == server.uploading;
}

bool pressure_holds(struct client *c)
{
	if (!is_large(&c->intake) || !is_high())
		return false;
	if (c == pressure.reader && (has_place(c) || nothing_is_at_work()))
		return false;
	if (c == pressure.reader)
		pressure.reader = NULL;
	put_in_line(c);
	return true;
}

void pressure_leave(struct client *c)
{
	if (c->in_line)
		take_out(c);
	if (c != pressure.reader)
		return;
	pressure.reader = NULL;
	look_soon(0);
}

/* --- one at a time ----------------------------------------------------------------- */

static void begin_turn(struct client *c)
{
	read_on(c);
	pressure.reader = c;
	pressure.had = c->intake.have;
	pressure.turn_until = clock_ms() + TURN_MS;
}

/* As with those who take an answer and hold an instance's connection meanwhile. */
static bool makes_use_of_it(const struct client *c)
{
	return c->intake.have - pressure.had >= SLOWEST_HOLDER * TURN_MS / 1000;
}

static void end_turn(struct client *c)
{
	if (clock_ms() < pressure.turn_until)
		return;
	if (makes_use_of_it(c)) {
		pressure.had = c->intake.have;
		pressure.turn_until = clock_ms() + TURN_MS;
		return;
	}
	pressure.reader = NULL;
	put_in_line(c);
}

static void choose(void)
{
	struct client *c;

	TAILQ_FOREACH (c, &pressure.line, line)
		if (has_place(c)) {
			begin_turn(c);
			return;
		}
	c = TAILQ_FIRST(&pressure.line);
	if (c != NULL && nothing_is_at_work())
		begin_turn(c);
}

static void all_read_on(void)
{
	pressure.reader = NULL;
	while (!TAILQ_EMPTY(&pressure.line))
		read_on(TAILQ_FIRST(&pressure.line));
}

static void on_look(void *arg)
{
	(void)arg;
	if (!is_high()) {
		all_read_on();
		return;
	}
	if (pressure.reader != NULL)
		end_turn(pressure.reader);
	if (pressure.reader == NULL)
		choose();
	if (pressure.reader != NULL || !TAILQ_EMPTY(&pressure.line))
		look_soon(LOOK_MS);
}

/* --- the whole --------------------------------------------------------------------- */

uint64_t server_pressure_events(void)
{
	return pressure.events;
}

void pressure_start(void)
{
	TAILQ_INIT(&pressure.line);
	pressure.high = false;
}

void pressure_stop(void)
{
	timer_stop(&pressure.look);
}
