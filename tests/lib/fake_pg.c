/* tests/lib/fake_pg.c - connections: units, groups, and how they are lost. What the
 * statements do is in fake_pg_tables.c. */
#include "tests/lib/fake_pg.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "core/mem.h"
#include "tests/lib/fake_pg_tables.h"

#define RECONNECT_MS 100u
#define CONNECT_MS 5u

/* The statements of one unit; outlives it when the session lingers at the server. */
struct work {
	struct fake_part *parts;
	int n;
	bool copied; /* its bytes are its own */
};

struct pg_unit {
	struct op op; /* first */
	struct pg *pg;
	struct work *work;
	pg_fn *done;
	void *arg;
	enum status status;
	struct pg_results results;
	bool queued;
	TAILQ_ENTRY(pg_unit) link;
};

struct pg {
	char *name;
	pg_change_fn *on_change;
	void *arg;
	enum pg_state state;
	bool started;
	int pid;
	TAILQ_HEAD(, pg_unit) queue;
	unsigned group, queued; /* the first `group` of the queue were sent */
	struct timer commit, connect, drop;
	struct pg_figures figures;
	pg_heard_fn *heard;
	void *heard_arg;
	struct timer hear;
	char what[32];
	LIST_ENTRY(pg) link;
};

/* What a lost session goes on with at the server. */
struct lingering {
	int pid;
	struct work *work;
	struct timer commit;
	LIST_ENTRY(lingering) link;
};

static struct {
	LIST_HEAD(, pg) list;
	LIST_HEAD(, lingering) lingering;
	msec delay;
	bool unreachable, stalled, finishes;
	int last_pid;
	char *refused;
	unsigned refusals;
	unsigned death_commits;
	bool death_linger;
	msec death_later;
} fake;

/* --- units ---------------------------------------------------------------------------
 */

static void on_linger(void *arg);

static void work_free(struct work *w)
{
	for (int i = 0; i < w->n; i++) {
		struct fake_part *part = &w->parts[i];

		for (int k = 0; k < part->n; k++) {
			free(part->params[k].text);
			if (w->copied)
				free((char *)(uintptr_t)part->params[k].bytes);
		}
		free(part->params);
		free(part->sql);
	}
	free(w->parts);
	free(w);
}

static void work_copy_bytes(struct work *w)
{
	if (w->copied)
		return;
	w->copied = true;
	for (int i = 0; i < w->n; i++)
		for (int k = 0; k < w->parts[i].n; k++) {
			struct fake_param *p = &w->parts[i].params[k];

			if (p->bytes != NULL)
				p->bytes = mem_copy(p->bytes, p->len);
		}
}

struct pg_unit *pg_unit_create(void)
{
	struct pg_unit *u = mem_new(struct pg_unit);

	u->work = mem_new(struct work);
	return u;
}

static struct fake_part *next_part(struct pg_unit *u)
{
	struct work *w = u->work;

	w->parts = mem_resize(w->parts, (size_t)(w->n + 1) * sizeof(struct fake_part));
	w->parts[w->n] = (struct fake_part){0};
	return &w->parts[w->n++];
}

void pg_add(struct pg_unit *u, const struct pg_statement *statement, int n,
            const struct pg_param *params)
{
	struct fake_part *part = next_part(u);

	part->name = statement->name;
	part->n = n;
	part->params = mem_array((size_t)n + 1, sizeof(struct fake_param));
	for (int k = 0; k < n; k++) {
		struct fake_param *p = &part->params[k];

		p->kind = params[k].kind;
		p->number = params[k].number;
		if (p->kind == PG_TEXT)
			p->text = mem_string(params[k].data);
		if (p->kind == PG_BYTES) {
			p->bytes = params[k].data;
			p->len = params[k].len;
		}
	}
}

void pg_unit_is(struct pg_unit *u, enum pg_work work)
{
	(void)u;
	(void)work;
}

void pg_wants_bytes(struct pg_unit *u)
{
	(void)u;
}

void pg_add_once(struct pg_unit *u, const char *sql)
{
	next_part(u)->sql = mem_string(sql);
}

static void deliver(struct op *op)
{
	struct pg_unit *u = (struct pg_unit *)op;

	if (u->done != NULL)
		u->done(u->arg, u->status, &u->results);
}

static void release(struct op *op)
{
	struct pg_unit *u = (struct pg_unit *)op;

	fake_results_clear(&u->results);
	work_free(u->work);
	free(u);
}

/* It is executed all the same; only its bytes may go away now. */
static void abandon(struct op *op)
{
	work_copy_bytes(((struct pg_unit *)op)->work);
}

static void end_unit(struct pg_unit *u, enum status s)
{
	u->status = s;
	op_end(&u->op);
}

static void end_first(struct pg *pg, enum status s)
{
	struct pg_unit *u = TAILQ_FIRST(&pg->queue);

	TAILQ_REMOVE(&pg->queue, u, link);
	pg->queued--;
	if (pg->group > 0)
		pg->group--;
	end_unit(u, s);
}

/* --- executing ------------------------------------------------------------------------
 */

static bool is_refused(const struct work *w)
{
	for (int i = 0; i < w->n && fake.refusals > 0; i++)
		if (w->parts[i].name != NULL &&
		    strcmp(w->parts[i].name, fake.refused) == 0) {
			fake.refusals--;
			return true;
		}
	return false;
}

static const char *violates(const struct work *w)
{
	const char *state = "";

	for (int i = 0; i < w->n && state[0] == '\0'; i++)
		state = fake_tables_violates(&w->parts[i]);
	return state;
}

/* As PostgreSQL ends one: by a signal that what it does may be ahead of. */
static void end_lingering(struct lingering *l)
{
	if (fake.finishes) {
		timer_start(&l->commit, 1, on_linger, l);
		return;
	}
	LIST_REMOVE(l, link);
	timer_stop(&l->commit);
	work_free(l->work);
	free(l);
}

static int end_session(int pid)
{
	struct lingering *l, *next;
	int n = 0;

	for (l = LIST_FIRST(&fake.lingering); l != NULL; l = next) {
		next = LIST_NEXT(l, link);
		if (l->pid != pid)
			continue;
		end_lingering(l);
		n = 1;
	}
	return n;
}

/* "" or the SQLSTATE it is refused with; then nothing has happened. */
static const char *execute(const struct work *w, struct pg_results *r)
{
	const char *state = "";

	if (is_refused(w))
		return "53100";
	state = violates(w);
	if (state[0] != '\0')
		return state;
	r->n = w->n;
	r->sets = mem_array((size_t)w->n + 1, sizeof(struct fake_set));
	for (int i = 0; i < w->n && state[0] == '\0'; i++) {
		const struct fake_part *part = &w->parts[i];

		if (part->name != NULL && strcmp(part->name, "end_session") == 0)
			fake_set_number(&r->sets[i],
			                end_session((int)part->params[0].number));
		else
			state = fake_tables_execute(part, &r->sets[i]);
		/* only what comes first may refuse: nothing is to be rolled back */
		assert(state[0] == '\0' || i < 2);
	}
	return state;
}

bool fake_pg_elsewhere(struct pg_unit *u)
{
	bool logged =
	        execute(u->work, &u->results)[0] == '\0' && u->results.sets[0].rows == 1;

	release(&u->op);
	return logged;
}

static void execute_first(struct pg *pg)
{
	struct pg_unit *u = TAILQ_FIRST(&pg->queue);
	const char *state = execute(u->work, &u->results);

	pg->figures.units++;
	if (state[0] == '\0') {
		end_first(pg, STATUS_OK);
		return;
	}
	fake_results_clear(&u->results);
	strcpy(u->results.sqlstate, state);
	u->results.message = "refused by the test";
	end_first(pg, STATUS_DB_REFUSED);
}

static void send_group(struct pg *pg);

static void on_commit(void *arg)
{
	struct pg *pg = arg;

	if (fake.stalled) {
		timer_start(&pg->commit, 10, on_commit, pg);
		return;
	}
	while (pg->group > 0)
		execute_first(pg);
	send_group(pg);
}

static void send_group(struct pg *pg)
{
	if (pg->queued == 0 || pg->group > 0)
		return;
	pg->group = pg->queued < PG_MAX_UNITS_A_GROUP ? pg->queued : PG_MAX_UNITS_A_GROUP;
	timer_start(&pg->commit, fake.delay, on_commit, pg);
}

void pg_submit(struct pg *pg, struct pg_unit *u, pg_fn *done, void *arg, struct op **slot)
{
	u->pg = pg;
	u->done = done;
	u->arg = arg;
	u->op.deliver = deliver;
	u->op.release = release;
	u->op.abandon = abandon;
	op_begin(&u->op, slot);
	if (pg->state == PG_DOWN) {
		end_unit(u, STATUS_DB_DOWN);
		return;
	}
	TAILQ_INSERT_TAIL(&pg->queue, u, link);
	pg->queued++;
	if (!timer_running(&pg->commit))
		send_group(pg);
}

/* --- losing it -------------------------------------------------------------------------
 */

static void on_linger(void *arg)
{
	struct lingering *l = arg;
	struct pg_results none = {0};

	execute(l->work, &none);
	fake_results_clear(&none);
	LIST_REMOVE(l, link);
	work_free(l->work);
	free(l);
}

static void go_on_at_server(struct pg *pg, struct pg_unit *u, msec later)
{
	struct lingering *l = mem_new(struct lingering);

	work_copy_bytes(u->work);
	l->pid = pg->pid;
	l->work = u->work;
	u->work = mem_new(struct work);
	LIST_INSERT_HEAD(&fake.lingering, l, link);
	timer_start(&l->commit, later, on_linger, l);
}

static void lose(struct pg *pg, unsigned commits, bool linger, msec later,
                 enum status sent, enum status waiting)
{
	while (pg->group > 0) {
		struct pg_unit *u = TAILQ_FIRST(&pg->queue);
		struct pg_results unseen = {0};

		if (commits > 0) {
			execute(u->work, &unseen);
			fake_results_clear(&unseen);
			commits--;
		} else if (linger) {
			go_on_at_server(pg, u, later++);
		}
		end_first(pg, sent);
	}
	while (pg->queued > 0)
		end_first(pg, waiting);
	timer_stop(&pg->commit);
}

static void on_connect(void *arg)
{
	struct pg *pg = arg;

	if (fake.unreachable) {
		timer_start(&pg->connect, RECONNECT_MS, on_connect, pg);
		return;
	}
	pg->state = PG_UP;
	pg->pid = ++fake.last_pid;
	pg->on_change(pg->arg, PG_UP, "");
}

static void cut(struct pg *pg, unsigned commits, bool linger, msec later)
{
	if (pg->state == PG_DOWN)
		return;
	pg->state = PG_DOWN;
	lose(pg, commits, linger, later, STATUS_DB_LOST, STATUS_DB_DOWN);
	timer_start(&pg->connect, RECONNECT_MS, on_connect, pg);
	pg->on_change(pg->arg, PG_DOWN, "cut by the test");
}

static void on_drop(void *arg)
{
	cut(arg, 0, false, 0);
}

void pg_drop_session(struct pg *pg, const char *why)
{
	(void)why;
	timer_start(&pg->drop, 0, on_drop, pg);
}

/* --- the door --------------------------------------------------------------------------
 */

char *pg_check_url(const char *url)
{
	(void)url;
	return NULL;
}

struct pg *pg_create(const char *url, const char *name, pg_change_fn *on_change,
                     void *arg)
{
	struct pg *pg = mem_new(struct pg);

	(void)url;
	pg->name = mem_string(name);
	pg->on_change = on_change;
	pg->arg = arg;
	TAILQ_INIT(&pg->queue);
	LIST_INSERT_HEAD(&fake.list, pg, link);
	return pg;
}

void pg_listen(struct pg *pg, const char *channel, pg_heard_fn *heard, void *arg)
{
	(void)channel;
	pg->heard = heard;
	pg->heard_arg = arg;
}

static void on_hear(void *arg)
{
	struct pg *pg = arg;

	if (pg->state == PG_UP)
		pg->heard(pg->heard_arg, pg->what);
}

void fake_pg_notify(const char *what)
{
	struct pg *pg;

	LIST_FOREACH (pg, &fake.list, link) {
		if (pg->heard == NULL)
			continue;
		snprintf(pg->what, sizeof(pg->what), "%s", what);
		timer_start(&pg->hear, 1, on_hear, pg);
	}
}

void pg_start(struct pg *pg)
{
	timer_start(&pg->connect, CONNECT_MS, on_connect, pg);
}

void pg_destroy(struct pg **pg)
{
	struct pg *old = *pg;

	*pg = NULL;
	if (old == NULL)
		return;
	lose(old, fake.death_commits, fake.death_linger, fake.death_later, STATUS_STOPPED,
	     STATUS_STOPPED);
	timer_stop(&old->connect);
	timer_stop(&old->drop);
	timer_stop(&old->hear);
	LIST_REMOVE(old, link);
	free(old->name);
	free(old);
}

enum pg_state pg_state(const struct pg *pg)
{
	return pg->state;
}

bool pg_is_pooled(const struct pg *pg)
{
	(void)pg;
	return false;
}

int pg_backend_pid(const struct pg *pg)
{
	return pg->pid;
}

const char *pg_last_error(const struct pg *pg)
{
	(void)pg;
	return "";
}

struct pg_figures pg_figures(const struct pg *pg)
{
	return pg->figures;
}

/* --- what the test decides
 * --------------------------------------------------------------
 */

static struct pg *named(const char *session)
{
	struct pg *pg;

	LIST_FOREACH (pg, &fake.list, link)
		if (strcmp(pg->name, session) == 0)
			return pg;
	return NULL;
}

void fake_pg_start(void)
{
	memset(&fake, 0, sizeof(fake));
	fake.delay = 2;
	fake_tables_start();
}

void fake_pg_session_finishes(bool yes)
{
	fake.finishes = yes;
}

void fake_pg_stop(void)
{
	fake.finishes = false;
	while (!LIST_EMPTY(&fake.lingering))
		end_session(LIST_FIRST(&fake.lingering)->pid);
	free(fake.refused);
	fake.refused = NULL;
	fake_tables_stop();
}

void fake_pg_delay(msec commit)
{
	fake.delay = commit;
}

void fake_pg_reachable(bool yes)
{
	fake.unreachable = !yes;
}

void fake_pg_stall(bool yes)
{
	fake.stalled = yes;
}

void fake_pg_refuse(const char *statement, unsigned times)
{
	free(fake.refused);
	fake.refused = mem_string(statement);
	fake.refusals = times;
}

void fake_pg_cut(const char *session, unsigned commits, bool linger, msec later)
{
	struct pg *pg = named(session);

	if (pg != NULL)
		cut(pg, commits, linger, later);
}

void fake_pg_at_death(unsigned commits, bool linger, msec later)
{
	fake.death_commits = commits;
	fake.death_linger = linger;
	fake.death_later = later;
}

unsigned fake_pg_sent(const char *session)
{
	const struct pg *pg = named(session);

	return pg != NULL ? pg->group : 0;
}
