/* wal/leave.c - this proxy is about to end.
 *
 * The happy path:
 *   wal_leave       are there other proxies?
 *   on_others       yes, and we lead: nothing new is sent; what is under way comes to its
 *                   end
 *   on_handed_over  the lease is given back, another leads. What our clients wait for it
 *                   executes (await.c), and what they ask now goes by its catalogue
 *   wal_drain       they are gone: so may we
 *
 * When it does not go well:
 *   - there are no others: we lead until our clients are gone, and then give the lease
 *     back
 *   - PostgreSQL does not say: as if there were none
 *   - what is under way does not end within two seconds: the next one finds it in doubt
 */
#include "core/failpoint.h"
#include "core/timer.h"
#include "wal/append.h"
#include "wal/engine.h"
#include "wal/errand.h"
#include "wal/lead.h"
#include "wal/mirror.h"
#include "wal/rebuild.h"

#define DRAIN_MOST_MS 2000u
#define DRAIN_LOOK_MS 10u
#define GOODBYE_MOST_MS 1000u
#define TELL_MOST_MS 300u

static struct {
	enum { STAYING, HANDING, HANDED } handing;
	struct op *leaving;
	wal_leaves_fn *told;
	void *told_arg;
	struct timer drain;
	msec drain_until;
	void (*drained)(void *arg);
	void *drained_arg;
	void (*ended)(void *arg);
	void *ended_arg;
} leave;

static void give_lease_back(void *arg)
{
	(void)arg;
	timer_stop(&leave.drain);
	if (lease_epoch() > 0 && pg_state(wal_control()) == PG_UP)
		lease_release(leave.drained, leave.drained_arg);
	else
		leave.drained(leave.drained_arg);
}

/* The others find out by themselves. */
static void on_no_goodbye(void *arg)
{
	worker_leave();
	give_lease_back(arg);
}

static void on_drain_look(void *arg)
{
	bool quiet = persist_waiting() == 0 && !worker_is_busy() &&
	             !chronicle_is_busy() && !errand_is_busy();

	(void)arg;
	for (unsigned i = 0; i < health_count(); i++)
		quiet = quiet && slots_in_flight(i) == 0;
	if (!quiet && clock_ms() < leave.drain_until) {
		timer_start(&leave.drain, DRAIN_LOOK_MS, on_drain_look, NULL);
		return;
	}
	FAILPOINT("shutdown_drained");
	if (!wal_migrated() || pg_state(wal_upkeep()) != PG_UP) {
		give_lease_back(NULL);
		return;
	}
	timer_start(&leave.drain, GOODBYE_MOST_MS, on_no_goodbye, NULL);
	worker_say_goodbye(give_lease_back, NULL);
}

static void begin_drain(void (*done)(void *arg), void *arg)
{
	engine_hold(true);
	worker_leave();
	chronicle_now();
	leave.drain_until = clock_ms() + DRAIN_MOST_MS;
	leave.drained = done;
	leave.drained_arg = arg;
	timer_start(&leave.drain, 0, on_drain_look, NULL);
}

/* --- handing over ------------------------------------------------------------------ */

/* What we have appended and not begun is executed by the next one (await.c). */
static void on_handed_over(void *arg)
{
	(void)arg;
	leave.handing = HANDED;
	wal_forget();
	mirror_start();
	if (leave.ended != NULL)
		leave.ended(leave.ended_arg);
}

static void on_not_told(void *arg)
{
	(void)arg;
	op_cancel(&leave.leaving);
	leave.told(leave.told_arg, false);
}

static void on_others(void *arg, enum status s, const struct pg_results *r)
{
	bool others = s == STATUS_OK && pg_get_int8(r, 0, 0, 0) > 0;

	(void)arg;
	timer_stop(&leave.drain);
	if (others && wal_leads()) {
		leave.handing = HANDING;
		begin_drain(on_handed_over, NULL);
	}
	leave.told(leave.told_arg, others);
}

void wal_leave(wal_leaves_fn *told, void *arg)
{
	struct pg_unit *unit = pg_unit_create();

	leave.told = told;
	leave.told_arg = arg;
	lease_add_count(unit);
	pg_submit(wal_pg(), unit, on_others, NULL, &leave.leaving);
	timer_start(&leave.drain, TELL_MOST_MS, on_not_told, NULL);
}

void wal_drain(void (*done)(void *arg), void *arg)
{
	leave.ended = done;
	leave.ended_arg = arg;
	if (leave.handing == HANDED)
		done(arg);
	else if (leave.handing == STAYING)
		begin_drain(done, arg);
}

void leave_stop(void)
{
	op_cancel(&leave.leaving);
	timer_stop(&leave.drain);
}
