/* wal/look.c - a client names a tenant that is not known: has an instance got it?
 *
 * A Chroma cannot list its tenants, so those that were made before we came are only found
 * when somebody names one. The instances are asked once, and what is there is adopted
 * before the client is answered:
 *   wal_look   the first who names it asks; others who come meanwhile wait with him
 *   on_done    all of them go on; with the catalogue as it is now
 * A tenant that is nowhere is remembered for a while, so that who asks for what is not
 * there costs the instances nothing. */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "wal/heal.h"
#include "wal/strangers.h"

#define REMEMBER_MS 5000u
#define REMEMBERED_MOST 1000u
#define UNDER_WAY_MOST 8u

struct waiter {
	struct op op;
	wal_looked_fn *done;
	void *arg;
	TAILQ_ENTRY(waiter) link;
};

struct look {
	char *tenant;
	struct op *pending; /* NULL: over */
	msec until;
	TAILQ_HEAD(, waiter) waiters;
	TAILQ_ENTRY(look) link;
};

static TAILQ_HEAD(look_list, look) looks = TAILQ_HEAD_INITIALIZER(looks);
static unsigned n_looks, n_under_way;

static void deliver(struct op *op)
{
	struct waiter *w = (struct waiter *)op;

	w->done(w->arg);
}

static void release(struct op *op)
{
	free(op);
}

/* It stays with its look, unwanted, until that is over. */
static void abandon(struct op *op)
{
	(void)op;
}

static void wake(struct look *l)
{
	struct waiter *w;

	while ((w = TAILQ_FIRST(&l->waiters)) != NULL) {
		TAILQ_REMOVE(&l->waiters, w, link);
		op_end(&w->op);
	}
}

static void forget(struct look *l)
{
	TAILQ_REMOVE(&looks, l, link);
	n_looks--;
	op_cancel(&l->pending);
	wake(l);
	free(l->tenant);
	free(l);
}

static void forget_old(void)
{
	struct look *l, *next;

	for (l = TAILQ_FIRST(&looks); l != NULL; l = next) {
		next = TAILQ_NEXT(l, link);
		if (l->pending == NULL && clock_ms() >= l->until)
			forget(l);
	}
}

static struct look *find(const char *tenant)
{
	struct look *l;

	TAILQ_FOREACH (l, &looks, link)
		if (strcmp(l->tenant, tenant) == 0)
			return l;
	return NULL;
}

static void on_done(void *arg, unsigned scanned, struct stranger_list *found)
{
	struct look *l = arg;

	(void)scanned;
	(void)found;
	n_under_way--;
	l->until = clock_ms() + REMEMBER_MS;
	wake(l);
}

static struct look *begin(const char *tenant)
{
	struct adopt_spec spec = {
	        .instances = (1u << health_count()) - 1, .tenant = tenant, .adopt = true};
	struct look *l = mem_new(struct look);

	l->tenant = mem_string(tenant);
	TAILQ_INIT(&l->waiters);
	TAILQ_INSERT_TAIL(&looks, l, link);
	n_looks++;
	n_under_way++;
	adopt_start(&spec, on_done, l, &l->pending);
	return l;
}

static void join(struct look *l, wal_looked_fn *done, void *arg, struct op **slot)
{
	struct waiter *w = mem_new(struct waiter);

	w->op.deliver = deliver;
	w->op.release = release;
	w->op.abandon = abandon;
	w->done = done;
	w->arg = arg;
	op_begin(&w->op, slot);
	TAILQ_INSERT_TAIL(&l->waiters, w, link);
}

static bool is_worth_it(const char *tenant)
{
	return wal_ready() && wal_adopts_tenants() && !catalogue_tenant(tenant) &&
	       strncmp(tenant, RESERVED_PREFIX, strlen(RESERVED_PREFIX)) != 0;
}

bool wal_look(const char *tenant, wal_looked_fn *done, void *arg, struct op **slot)
{
	struct look *l;

	if (!is_worth_it(tenant))
		return false;
	forget_old();
	l = find(tenant);
	if (l == NULL && n_under_way < UNDER_WAY_MOST && n_looks < REMEMBERED_MOST)
		l = begin(tenant);
	if (l == NULL || l->pending == NULL)
		return false;
	join(l, done, arg, slot);
	return true;
}

void look_stop(void)
{
	while (!TAILQ_EMPTY(&looks))
		forget(TAILQ_FIRST(&looks));
	n_under_way = 0;
}
