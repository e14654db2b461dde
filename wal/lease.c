/* wal/lease.c - the one proxy that executes writes.
 *
 * A row in PostgreSQL names the leader and its epoch, for five seconds at a time. The
 * leader renews it every second and counts from before it asked: 3.5 s after the last
 * renewal that was granted it starts nothing any more, at 4.5 s it cuts off what is under
 * way, so nothing of it is left when another can have taken over. Everything it makes
 * durable is fenced by its epoch (persist_add_fence). A lost connection alone deposes
 * nobody: when PostgreSQL is back and the row still has our epoch, we go on.
 *
 * What it shows to readers is true only while nobody else can have acknowledged a write.
 * So with other proxies about it shows nothing when its lease has run out. Alone it does,
 * for as long as PostgreSQL does not answer: who was frozen asks first.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/failpoint.h"
#include "core/job.h"
#include "core/log.h"
#include "core/mem.h"
#include "wal/append.h"
#include "wal/engine.h"
#include "wal/lead.h"

#define TTL "5 seconds"
#define SEND_FOR_MS 3500u
#define ABANDON_MS 4500u
#define RENEW_MS 1000u
#define TRY_MS 250u
#define OTHERS_FOR_MS 60000u
#define SILENT_MS 500u
#define BELIEVED 3u

static struct {
	struct job *job;
	struct op *pending;
	struct uuid self;
	char host[64];
	int64_t epoch; /* 0: not held */
	msec asked, granted;
	unsigned in_a_row;    /* renewals that found another proxy ... */
	msec others_seen;     /* ... and when that was believed last; 0: never */
	struct timer abandon; /* what is under way when the lease has run out */
	bool told_waiting;
	void (*released)(void *arg);
	void *released_arg;
} lease;

static const struct pg_statement acquire = {
        "lease_acquire",
        "WITH l AS (SELECT one FROM chromatid.lease WHERE holder IS NULL OR until < now()"
        " OR holder = $1::uuid FOR UPDATE) UPDATE chromatid.lease SET epoch = epoch + 1, "
        "tails = epoch + 1, holder = $1::uuid,"
        " holder_name = $2, until = now() + interval '" TTL "' FROM l RETURNING epoch"};

static const struct pg_statement renew = {
        "lease_renew", "UPDATE chromatid.lease SET until = now() + interval '" TTL "'"
                       " WHERE epoch = $1 AND holder = $2::uuid"};

static const struct pg_statement who = {
        "lease_who", "SELECT coalesce(holder_name, ''),"
                     " greatest(0, extract(epoch FROM until - now()) * 1000)::bigint"
                     " FROM chromatid.lease"};

static const struct pg_statement count_others = {
        "count_others", "SELECT count(*) FROM pg_stat_activity"
                        " WHERE application_name = 'chromatid-log'"
                        " AND datname = current_database() AND pid <> $1"};

static const struct pg_statement give_back = {
        "lease_release", "UPDATE chromatid.lease SET holder = NULL, until = NULL"
                         " WHERE epoch = $1 AND holder = $2::uuid"};

static const struct pg_statement tell_free = {
        "tell_free", "SELECT pg_notify('" WAL_CHANNEL "', '" WAL_LEASE_FREE "')"};

static void on_recovered(bool ok)
{
	if (ok)
		wal_recovered();
	else
		wal_deposed("its state could not be loaded");
}

static struct op *recovery;

static void on_run_out(void *arg)
{
	(void)arg;
	engine_abandon("the lease has run out");
}

/* Counted from before we asked, so that we stop before PostgreSQL lets another lead. */
static void granted(void)
{
	msec since = clock_ms() - lease.asked;

	lease.granted = lease.asked;
	timer_start(&lease.abandon, since < ABANDON_MS ? ABANDON_MS - since : 0,
	            on_run_out, NULL);
}

static void on_acquired(void *arg, enum status s, const struct pg_results *r)
{
	(void)arg;
	if (s != STATUS_OK) {
		job_failed(lease.job);
		return;
	}
	if (pg_rows(r, 0) == 0) {
		if (!lease.told_waiting && pg_rows(r, 1) == 1)
			log_info("lease", "%s leads; waiting (its lease ends in %lld ms)",
			         pg_get_text(r, 1, 0, 0),
			         (long long)pg_get_int8(r, 1, 0, 1));
		lease.told_waiting = true;
		wal_another_is_leading();
		job_rest(lease.job, TRY_MS);
		return;
	}
	lease.told_waiting = false;
	wal_about_to_lead();
	lease.epoch = pg_get_int8(r, 0, 0, 0);
	FAILPOINT("lease_acquired");
	granted();
	log_info("lease", "leading, epoch %lld", (long long)lease.epoch);
	job_rest(lease.job, RENEW_MS);
	recover_start(on_recovered, &recovery);
}

/* For a moment after a loss the server may count a session of our own: the former one, or
 * the next, of which we do not know yet. */
static void see_others(bool yes)
{
	lease.in_a_row = yes ? lease.in_a_row + 1 : 0;
	if (lease.in_a_row >= BELIEVED)
		lease.others_seen = clock_ms();
}

static void on_renewed(void *arg, enum status s, const struct pg_results *r)
{
	bool could_send = lease_may_send();

	(void)arg;
	if (s != STATUS_OK) {
		job_failed(lease.job);
	} else if (pg_changed(r, 0) != 1) {
		job_rest(lease.job, TRY_MS);
		wal_deposed("another proxy has taken the lease");
	} else {
		granted();
		see_others(pg_get_int8(r, 1, 0, 0) > 0);
		job_rest(lease.job, RENEW_MS);
		if (!could_send)
			engine_kick_all();
	}
}

static void run(struct job *job, void *arg)
{
	struct pg_unit *unit;

	(void)arg;
	if (pg_state(wal_control()) != PG_UP || pg_state(wal_pg()) != PG_UP ||
	    wal_pooler_refused()) {
		job_rest(job, TRY_MS);
		return;
	}
	unit = pg_unit_create();
	pg_unit_is(unit, PG_LEASE);
	lease.asked = clock_ms();
	if (lease.epoch > 0) {
		pg_add(unit, &renew, 2,
		       (struct pg_param[]){pg_int8(lease.epoch),
		                           pg_text(lease.self.text)});
		lease_add_count(unit);
		pg_submit(wal_control(), unit, on_renewed, NULL, &lease.pending);
	} else {
		pg_add(unit, &acquire, 2,
		       (struct pg_param[]){pg_text(lease.self.text),
		                           pg_text(lease.host)});
		pg_add(unit, &who, 0, NULL);
		pg_submit(wal_control(), unit, on_acquired, NULL, &lease.pending);
	}
}

void lease_start(void)
{
	uuid_random(&lease.self);
	if (gethostname(lease.host, sizeof(lease.host) - 1) != 0)
		strcpy(lease.host, "chromatid");
	lease.job = job_create("lease", run, NULL);
}

void lease_freed(void)
{
	if (lease.job != NULL && lease.epoch == 0)
		job_kick(lease.job);
}

void lease_connected(void)
{
	if (lease.job != NULL) /* else: given back, or about to be */
		job_kick(lease.job);
}

void lease_lost(void)
{
	timer_stop(&lease.abandon);
	op_cancel(&recovery);
	lease.epoch = 0;
}

bool lease_may_send(void)
{
	return lease.epoch > 0 && clock_ms() < lease.granted + SEND_FOR_MS;
}

bool lease_is_alone(void)
{
	return lease.others_seen == 0 || clock_ms() > lease.others_seen + OTHERS_FOR_MS;
}

bool lease_shows(void)
{
	if (lease_may_send())
		return true;
	if (lease.epoch == 0 || !lease_is_alone())
		return false;
	return pg_state(wal_control()) != PG_UP || pg_state(wal_pg()) != PG_UP ||
	       (lease.asked > lease.granted && clock_ms() >= lease.asked + SILENT_MS);
}

void lease_add_count(struct pg_unit *unit)
{
	pg_add(unit, &count_others, 1,
	       (struct pg_param[]){pg_int4(pg_backend_pid(wal_pg()))});
}

bool lease_is_taken(void)
{
	return lease.told_waiting;
}

int64_t lease_epoch(void)
{
	return lease.epoch;
}

static void on_released(void *arg, enum status s, const struct pg_results *r)
{
	(void)arg;
	(void)r;
	log_info("lease", "given back (%s)", status_text(s));
	lease.epoch = 0;
	lease.released(lease.released_arg);
}

void lease_release(void (*done)(void *arg), void *arg)
{
	struct pg_unit *unit = pg_unit_create();

	job_destroy(&lease.job);
	timer_stop(&lease.abandon);
	op_cancel(&recovery);
	op_cancel(&lease.pending);
	lease.released = done;
	lease.released_arg = arg;
	pg_add(unit, &give_back, 2,
	       (struct pg_param[]){pg_int8(lease.epoch), pg_text(lease.self.text)});
	pg_add(unit, &tell_free, 0, NULL);
	pg_submit(wal_control(), unit, on_released, NULL, &lease.pending);
}

void lease_stop(void)
{
	timer_stop(&lease.abandon);
	op_cancel(&recovery);
	op_cancel(&lease.pending);
	job_destroy(&lease.job);
	lease.epoch = 0;
}
