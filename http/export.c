/* http/export.c - a copy of everything as of one place in the log, while clients go on.
 *
 * The happy path:
 *   export_begin    one instance that is well is taken out of execution (wal/pause.c):
 *                   it still executes what is in the log by now, nothing behind it. What
 *                   the catalogue holds at this moment is noted
 *   export_has_reached  it has come to that place; what was being created is decided
 *   export_page.c   passes on what the client asks of that instance
 *   export_end      it goes on, and catches up
 * When it does not go well, the export is over and the instance goes on by itself:
 *   - its client does not ask for half a minute, or it takes longer than it may
 *   - no other instance is there any more to execute what clients write, or one has a
 *     collection in quarantine: clients come first
 *   - the proxy leads no more
 * A page that is asked for then is refused, so a copy of more than one place is never
 * taken for a whole one: the last word of a client must find the export still there. */
#include "http/export.h"

#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"

#define LEASE_MS 30000u
#define BEHIND_MOST 1000u /* records the one that goes on may lack */
#define TICK_MS 500u
#define TOO_LONG "it took longer than it may"

static struct {
	struct export *export; /* NULL: none */
	struct timer tick;
	char last_id[UUID_LEN + 1];
	const char *last_why;
} state;

/* --- the end ----------------------------------------------------------------------- */

static void forget_content(struct export *x)
{
	for (size_t k = 0; k < x->n_collections; k++)
		collection_release(&x->collections[k]);
	for (size_t k = 0; k < x->n_databases; k++)
		database_release(&x->databases[k]);
	for (size_t k = 0; k < x->n_tenants; k++)
		free(x->tenants[k]);
	free(x->collections);
	free(x->databases);
	free(x->tenants);
	table_clear(&x->by_id);
}

void export_end(struct export *x, const char *why)
{
	log_info("export", "%s: %s goes on behind %lld: %s", x->id, instance_name(x->in),
	         (long long)x->position, why);
	memcpy(state.last_id, x->id, sizeof(state.last_id));
	state.last_why = why;
	state.export = NULL;
	timer_stop(&state.tick);
	wal_resume(x->in);
	forget_content(x);
	free(x);
}

void export_stop(void)
{
	if (state.export != NULL)
		export_end(state.export, "the proxy ends");
}

/* --- whether it may go on ---------------------------------------------------------- */

/* Somebody else executes what clients write, in every collection. */
static bool another_goes_on(const struct instance *in)
{
	if (wal_quarantined() > 0)
		return false;
	for (unsigned j = 0; j < health_count(); j++)
		if (health_instance(j) != in && instance_writable(health_instance(j)))
			return true;
	return false;
}

static const char *why_over(const struct export *x)
{
	msec now = clock_ms();

	if (!wal_leads() || !wal_pausing(x->in))
		return "the proxy does not lead any more";
	if (!instance_up(x->in))
		return "the instance is down";
	if (!x->holds_writes && !another_goes_on(x->in))
		return "no other instance is well enough to take the writes of clients";
	if (now >= x->over_at)
		return TOO_LONG;
	return now >= x->lease_until ? "nobody asked for it for half a minute" : NULL;
}

static void on_tick(void *arg)
{
	const char *why = why_over(state.export);

	(void)arg;
	if (why != NULL)
		export_end(state.export, why);
	else
		timer_start(&state.tick, TICK_MS, on_tick, NULL);
}

struct export *export_find(const char *id, const char **why)
{
	struct export *x = state.export;

	*why = "there is none of this id";
	if (x == NULL || strcmp(x->id, id) != 0) {
		if (strcmp(state.last_id, id) == 0)
			*why = state.last_why;
		return NULL;
	}
	*why = why_over(x);
	if (*why != NULL) {
		export_end(x, *why);
		return NULL;
	}
	x->lease_until = clock_ms() + LEASE_MS;
	return x;
}

const struct export *export_now(void)
{
	return state.export;
}

/* --- the content ------------------------------------------------------------------- */

static void note_tenant(void *arg, const char *name)
{
	struct export *x = arg;

	x->tenants = mem_resize(x->tenants, (x->n_tenants + 1) * sizeof(char *));
	x->tenants[x->n_tenants++] = mem_string(name);
}

static void note_database(struct export *x, struct database *db)
{
	size_t room = (x->n_databases + 1) * sizeof(struct database *), n = 0;
	struct collection *c;

	x->databases = mem_resize(x->databases, room);
	x->databases[x->n_databases++] = database_hold(db);
	TAILQ_FOREACH (c, &db->collections, link)
		n++;
	if (n == 0)
		return;
	room = (x->n_collections + n) * sizeof(struct collection *);
	x->collections = mem_resize(x->collections, room);
	TAILQ_FOREACH (c, &db->collections, link)
		x->collections[x->n_collections++] = collection_hold(c);
}

/* Everything that is in the log by now has changed the catalogue, and nothing else has:
 * what was deleted is not here, what is being created is. */
static void note_content(struct export *x)
{
	catalogue_each_tenant(note_tenant, x);
	for (struct database *db = catalogue_next_database(NULL); db != NULL;
	     db = catalogue_next_database(db))
		note_database(x, db);
}

/* What was deleted since is still in it: the instance has not executed that. */
static bool is_there(const struct export *x, const struct collection *c)
{
	return !uuid_none(&c->public_id) && !uuid_none(&c->local[instance_index(x->in)]);
}

static void drop_what_was_refused(struct export *x)
{
	size_t n = 0;

	for (size_t k = 0; k < x->n_collections; k++) {
		struct collection *c = x->collections[k];

		if (is_there(x, c)) {
			x->collections[n++] = c;
			table_put(&x->by_id, c->public_id.text, c);
		} else {
			collection_release(&c);
		}
	}
	x->n_collections = n;
}

bool export_has_reached(struct export *x)
{
	if (x->reached)
		return true;
	if (!wal_paused(x->in))
		return false;
	x->reached = true;
	x->at_wall_ms = clock_wall_ms();
	drop_what_was_refused(x);
	log_info("export", "%s: %s stands still at %lld: %zu collections", x->id,
	         instance_name(x->in), (long long)x->position, x->n_collections);
	return true;
}

/* --- begin ------------------------------------------------------------------------- */

/* Why that instance cannot be the one; NULL: it can. */
static const char *why_not(const struct instance *in, const struct wal_figures *f,
                           const struct export_wish *wish)
{
	uint64_t least = UINT64_MAX;

	if (f->instances[instance_index(in)].quarantined > 0)
		return "a collection is in quarantine there";
	if (wal_unproven(in) > 0)
		return "a collection was made anew there, and is not compared yet";
	if (wish->hold_writes)
		return NULL;
	if (!another_goes_on(in))
		return "while it is read another instance must take the writes of "
		       "clients, "
		       "and none is well enough";
	for (unsigned j = 0; j < health_count(); j++)
		if (health_instance(j) != in && instance_writable(health_instance(j)) &&
		    f->instances[j].owed < least)
			least = f->instances[j].owed;
	return least <= BEHIND_MOST ? NULL : "the other instance is far behind";
}

/* The one least preferred for reads, so that clients notice least. */
static struct instance *choose(const struct export_wish *wish, const char **why)
{
	struct wal_figures f;

	wal_figures(&f);
	*why = "no instance takes writes now";
	for (unsigned i = health_count(); i-- > 0;) {
		struct instance *in = health_instance(i);
		const char *wrong;

		if (!instance_writable(in) ||
		    (wish->instance != NULL &&
		     strcmp(instance_name(in), wish->instance) != 0))
			continue;
		wrong = why_not(in, &f, wish);
		if (wrong == NULL)
			return in;
		*why = wrong;
	}
	return NULL;
}

struct export *export_begin(const struct export_wish *wish, const char **why)
{
	struct instance *in;
	struct export *x;
	struct uuid id;
	wal_seq position;

	*why = "another one is under way";
	if (state.export != NULL)
		return NULL;
	in = choose(wish, why);
	if (in == NULL)
		return NULL;
	*why = "it is too far behind";
	if (!wal_pause(in, &position))
		return NULL;
	x = mem_new(struct export);
	uuid_random(&id);
	memcpy(x->id, id.text, sizeof(x->id));
	x->in = in;
	x->cluster = wish->cluster;
	x->position = position;
	x->holds_writes = wish->hold_writes;
	x->begun = clock_ms();
	x->lease_until = x->begun + LEASE_MS;
	x->over_at = x->begun + wish->most;
	note_content(x);
	state.export = x;
	timer_start(&state.tick, TICK_MS, on_tick, NULL);
	log_info("export", "%s: %s executes up to %lld", x->id, instance_name(in),
	         (long long)position);
	return x;
}
