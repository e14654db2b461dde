/* wal/retain.c - pure: what of the log is kept, and for whom.
 *
 * The log lies in partitions, each a range of places. New writes go into the one that is
 * open; some are there ahead of it. One that is closed goes as a whole when nobody needs
 * it any more.
 *
 *   add      there are less than AHEAD ahead
 *   close    the open one has become large, or old: what comes goes into the next
 *   drop     the oldest is closed, every instance the log is kept for has all of it, and
 *            it is older than the retention
 * When the log has come to its limit:
 *   - the retention gives way first: what every instance has may go, however young
 *   - then the instance that is furthest behind, if it is down and others are not: the
 *     log is not kept for it any more (detach). Made anew from another it is when it
 *     returns, so there must be one that is up and has everything as it should be, and
 *     something must be won by it
 *   - nothing of that helps: the log grows on. Refusing writes would be worse, and the
 *     disk is the operator's
 * An instance that nobody has configured for as long as the retention is detached, too.
 */
#include "wal/retain.h"

#define AHEAD 3u
#define PLACES 200000
/* A partition is closed when it is so large ... */
#define BYTES_LEAST (256ull << 10)
#define BYTES_USUAL (64ull << 20)
#define PARTITIONS_USUAL 64u /* ... or larger, for there to be no more than those ... */
#define PARTS_OF_LIMIT 16u   /* ... but small against the limit ... */
/* ... or when its first record is so old. */
#define PARTS_OF_RETENTION 4
#define OPEN_LEAST_MS 60000

uint64_t retain_bytes(const struct retain_facts *f)
{
	uint64_t sum = f->other_bytes;

	for (size_t k = 0; k < f->n_partitions; k++)
		sum += f->partitions[k].bytes;
	return sum;
}

static bool is_over_limit(const struct retain_facts *f)
{
	return f->limit > 0 && retain_bytes(f) >= f->limit;
}

static bool is_empty(const struct retain_partition *p)
{
	return p->newest_ms < 0;
}

/* No record comes into it any more. */
static bool is_closed(const struct retain_facts *f, const struct retain_partition *p)
{
	return p->hi - 1 <= f->clock;
}

/* --- add --------------------------------------------------------------------------- */

static bool add(const struct retain_facts *f, struct retain_decision *d)
{
	wal_seq end = f->clock + 1;
	unsigned ahead = 0;

	for (size_t k = 0; k < f->n_partitions; k++) {
		ahead += f->partitions[k].lo > f->clock;
		if (f->partitions[k].hi > end)
			end = f->partitions[k].hi;
	}
	*d = (struct retain_decision){.step = RETAIN_ADD, .lo = end, .hi = end + PLACES};
	return ahead < AHEAD;
}

/* --- close ------------------------------------------------------------------------- */

static uint64_t bytes_wanted(const struct retain_facts *f)
{
	uint64_t bytes = retain_bytes(f) / PARTITIONS_USUAL;

	if (bytes < BYTES_USUAL)
		bytes = BYTES_USUAL;
	if (f->limit > 0 && bytes > f->limit / PARTS_OF_LIMIT)
		bytes = f->limit / PARTS_OF_LIMIT;
	return bytes > BYTES_LEAST ? bytes : BYTES_LEAST;
}

static int64_t open_most_ms(const struct retain_facts *f)
{
	int64_t most = f->retention_ms / PARTS_OF_RETENTION;

	return most > OPEN_LEAST_MS ? most : OPEN_LEAST_MS;
}

static bool is_to_close(const struct retain_facts *f, const struct retain_partition *p)
{
	if (is_empty(p) || is_closed(f, p) || p->lo > f->clock)
		return false;
	if (f->asked && p->newest_ms >= f->keep_ms)
		return true;
	return p->bytes >= bytes_wanted(f) || p->oldest_ms >= open_most_ms(f);
}

static bool close_open(const struct retain_facts *f, struct retain_decision *d)
{
	for (size_t k = 0; k + 1 < f->n_partitions; k++) {
		const struct retain_partition *p = &f->partitions[k];

		if (!is_to_close(f, p))
			continue;
		*d = (struct retain_decision){
		        .step = RETAIN_CLOSE, .lo = p->lo, .hi = p->hi};
		return true;
	}
	return false;
}

/* --- drop -------------------------------------------------------------------------- */

/* Nobody the log is kept for owes anything up to there. */
static wal_seq least_floor(const struct retain_facts *f)
{
	wal_seq least = INT64_MAX;

	for (size_t k = 0; k < f->n_instances; k++)
		if (!f->instances[k].detached && f->instances[k].floor < least)
			least = f->instances[k].floor;
	return least;
}

static bool drop(const struct retain_facts *f, struct retain_decision *d)
{
	const struct retain_partition *p = f->partitions;
	bool old;

	if (f->n_partitions < 2 || !is_closed(f, p) || least_floor(f) < p->hi - 1)
		return false;
	old = is_empty(p) || p->newest_ms >= f->keep_ms;
	*d = (struct retain_decision){
	        .step = RETAIN_DROP, .lo = p->lo, .hi = p->hi, .early = !old};
	return old || is_over_limit(f);
}

/* --- detach ------------------------------------------------------------------------ */

static bool is_kept_for(const struct retain_instance *in)
{
	return !in->detached && in->configured;
}

static bool another_is_kept_for(const struct retain_facts *f, size_t but)
{
	for (size_t k = 0; k < f->n_instances; k++)
		if (k != but && is_kept_for(&f->instances[k]))
			return true;
	return false;
}

/* From whom one that is detached can be made anew. */
static bool one_is_whole(const struct retain_facts *f)
{
	for (size_t k = 0; k < f->n_instances; k++)
		if (is_kept_for(&f->instances[k]) && f->instances[k].up &&
		    f->instances[k].whole)
			return true;
	return false;
}

static bool may_be_given_up(const struct retain_instance *in)
{
	return !in->detached && (!in->configured || (in->dead && !in->busy));
}

/* Without those that may be detached the oldest partition could go. */
static bool is_worth_it(const struct retain_facts *f)
{
	if (f->n_partitions < 2 || !is_closed(f, f->partitions))
		return false;
	for (size_t k = 0; k < f->n_instances; k++)
		if (!f->instances[k].detached && !may_be_given_up(&f->instances[k]) &&
		    f->instances[k].floor < f->partitions[0].hi - 1)
			return false;
	return true;
}

static bool detach(size_t k, bool over_limit, struct retain_decision *d)
{
	*d = (struct retain_decision){
	        .step = RETAIN_DETACH, .instance = k, .early = over_limit};
	return true;
}

static bool detach_unseen(const struct retain_facts *f, struct retain_decision *d)
{
	for (size_t k = 0; k < f->n_instances; k++) {
		const struct retain_instance *in = &f->instances[k];

		if (!in->configured && !in->detached &&
		    in->unseen_ms >= f->retention_ms && another_is_kept_for(f, k))
			return detach(k, false, d);
	}
	return false;
}

static bool detach_furthest(const struct retain_facts *f, struct retain_decision *d)
{
	const struct retain_instance *in, *found = NULL;

	if (!is_over_limit(f) || !one_is_whole(f) || !is_worth_it(f))
		return false;
	for (in = f->instances; in < f->instances + f->n_instances; in++)
		if (may_be_given_up(in) && in->floor < f->partitions[0].hi - 1 &&
		    (found == NULL || in->floor < found->floor))
			found = in;
	return found != NULL && detach((size_t)(found - f->instances), true, d);
}

/* ----------------------------------------------------------------------------------- */

struct retain_decision retain_decide(const struct retain_facts *f)
{
	struct retain_decision d;

	if (add(f, &d))
		return d;
	if (f->leads && (detach_unseen(f, &d) || close_open(f, &d) || drop(f, &d) ||
	                 detach_furthest(f, &d)))
		return d;
	return (struct retain_decision){
	        .step = RETAIN_REST,
	        .stuck = f->leads && is_over_limit(f),
	};
}

/* Told when it is reached, and again only after it was well below. */
unsigned retain_level(uint64_t bytes, uint64_t limit, unsigned was)
{
	static const unsigned levels[] = {100, 90, 70};
	uint64_t percent = limit > 0 ? bytes * 100 / limit : 0;

	for (size_t k = 0; k < sizeof(levels) / sizeof(levels[0]); k++)
		if (percent >= levels[k] ||
		    (was >= levels[k] && percent + 10 >= levels[k]))
			return levels[k];
	return 0;
}
