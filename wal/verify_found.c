/* wal/verify_found.c - what a comparison has found: kept, told, and written to a row.
 *
 * All of it stays in memory. The row tells a new leader when everything was equal last,
 * for an instance that was away since then is trusted less. */
#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "wal/append.h"
#include "wal/lead.h"
#include "wal/verify_private.h"

static struct op *keeping;

const char *wal_verified_name(enum wal_verified result)
{
	static const char *const names[] = {"equal", "differs", "lost", "index",
	                                    "unfinished"};

	return names[result];
}

/* --- kept ----------------------------------------------------------------------------
 */

static const char *level_name(unsigned levels)
{
	return (levels & LEVEL_CONTENT) != 0 ? "content"
	       : (levels & LEVEL_IDS) != 0   ? "ids"
	                                     : "index";
}

static enum wal_verified result_of(const struct pass *p)
{
	if (p->unfinished != NULL)
		return VERIFIED_UNFINISHED;
	if (p->lost != 0)
		return VERIFIED_LOST;
	if (look_total(&p->look) > 0)
		return VERIFIED_DIFFERS;
	return (p->damaged | p->unreadable) != 0 ? VERIFIED_INDEX : VERIFIED_EQUAL;
}

static void take_recalls(struct verified *v, const struct pass *p)
{
	for (unsigned i = 0; i < CONF_MAX_INSTANCES; i++) {
		if ((p->who >> i & 1) == 0 || p->scores[i].asked == 0)
			continue;
		v->found.recall[i] = probe_recall(&p->scores[i]);
		if ((v->made_anew >> i & 1) != 0) /* it does not get better than that */
			v->was[i] = v->found.recall[i];
		v->made_anew &= ~(1u << i);
	}
	if (p->repair)
		v->made_anew |= p->wrong & (p->damaged | p->unreadable);
}

/* What was found wrong stands until as much is compared again. */
static bool stands(const struct verified *v, const struct pass *p)
{
	enum wal_verified was = v->found.result;

	return v->known && was != VERIFIED_EQUAL && was != VERIFIED_UNFINISHED &&
	       (p->unfinished != NULL ||
	        (result_of(p) == VERIFIED_EQUAL && (v->levels & ~p->levels) != 0));
}

static void take_found(struct verified *v, const struct pass *p)
{
	struct wal_verification *f = &v->found;

	v->known = true;
	v->levels = p->levels;
	f->result = result_of(p);
	f->level = level_name(p->levels);
	f->at_wall_ms = clock_wall_ms();
	f->items = p->items;
	memcpy(f->found, p->look.found, sizeof(f->found));
	f->partly = p->partly;
	f->wrong = p->wrong;
	f->guessed = p->guessed;
	f->healing = p->repair && p->wrong != 0;
	f->rescued = p->rescued;
	if (f->result == VERIFIED_EQUAL && (p->levels & LEVEL_CONTENT) != 0)
		f->equal_wall_ms = f->at_wall_ms;
}

enum wal_verified found_take(struct verified *v, const struct pass *p)
{
	v->found.why = p->unfinished != NULL ? p->unfinished : "";
	take_recalls(v, p);
	if (!stands(v, p))
		take_found(v, p);
	return result_of(p);
}

/* --- told ----------------------------------------------------------------------------
 */

static void name_them(char *text, size_t room, unsigned who)
{
	size_t used = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < health_count() && used < room; i++)
		if ((who >> i & 1) != 0)
			used += (size_t)snprintf(text + used, room - used, "%s%s",
			                         used > 0 ? ", " : "",
			                         instance_name(health_instance(i)));
}

void found_say(const struct verified *v)
{
	const struct wal_verification *f = &v->found;
	const char *id = v->collection->public_id.text;
	char wrong[200];

	if (f->why[0] != '\0') {
		log_info("verify", "collection %s: not compared: %s", id, f->why);
	} else if (f->result == VERIFIED_EQUAL) {
		log_debug("verify", "collection %s: %s equal, %llu items", id, f->level,
		          (unsigned long long)f->items);
	} else {
		name_them(wrong, sizeof(wrong), f->wrong);
		log_warn(
		        "verify",
		        "collection %s: %s: missing %llu, content %llu, embeddings %llu, "
		        "order %llu, settings %llu; wrong at %s%s%s",
		        id, wal_verified_name(f->result),
		        (unsigned long long)f->found[LOOK_MISSING],
		        (unsigned long long)f->found[LOOK_CONTENT],
		        (unsigned long long)f->found[LOOK_EMBEDDING],
		        (unsigned long long)f->found[LOOK_ORDER],
		        (unsigned long long)f->found[LOOK_SHAPE], wrong,
		        f->guessed ? " (a guess)" : "",
		        f->healing ? "; it is made anew there" : "");
	}
}

/* --- its row --------------------------------------------------------------------------
 */

static const struct pg_statement keep = {
        "verify_keep",
        "INSERT INTO chromatid.verification AS v (collection, at, level, result, seq,"
        " equal_at) VALUES ($1, now(), $2, $3, $4, CASE WHEN $5 THEN now() END)"
        " ON CONFLICT (collection) DO UPDATE SET at = now(), level = excluded.level,"
        " result = excluded.result, seq = excluded.seq,"
        " equal_at = coalesce(excluded.equal_at, v.equal_at)"};

static void on_kept(void *arg, enum status s, const struct pg_results *r)
{
	(void)arg;
	if (s == STATUS_DB_REFUSED && strcmp(pg_sqlstate(r), "CT001") == 0)
		wal_deposed("its epoch is over");
}

/* If it cannot be written, nothing is lost: the collection is compared again. */
void found_keep(const struct verified *v, wal_seq seq)
{
	struct pg_unit *unit;
	bool equal = v->found.equal_wall_ms == v->found.at_wall_ms;

	if (!wal_ready() || v->collection->life != LIFE_LIVE ||
	    v->found.result == VERIFIED_UNFINISHED)
		return;
	unit = pg_unit_create();
	persist_add_fence(unit);
	pg_add(unit, &keep, 5,
	       (struct pg_param[]){pg_int8(v->collection->id), pg_text(v->found.level),
	                           pg_text(wal_verified_name(v->found.result)),
	                           pg_int8(seq), pg_bool(equal)});
	op_cancel(&keeping);
	pg_submit(wal_pg(), unit, on_kept, NULL, &keeping);
}

void found_clear(void)
{
	op_cancel(&keeping);
}
