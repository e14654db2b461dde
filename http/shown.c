/* http/shown.c - what only the proxy that leads knows, as every proxy shows it.
 *
 * Who leads makes a document of it: for its own pages whenever one is asked for, and each
 * second for the others (wal/shown.c), who keep the last one, parsed. A page takes what
 * it needs out of the one or the other and does not know which. So no page mixes what two
 * proxies know, and what is not there, or too old, is null on all of them. */
#include "http/shown.h"

#include <stdlib.h>

#include "core/mem.h"
#include "http/exchange.h"
#include "http/status.h"

static json_t *told[WAL_SHOWN_PARTS];

bool shown_is_ours(void)
{
	return wal_leads() && wal_serves();
}

/* --- what another has told ---------------------------------------------------------- */

json_t *shown_told(enum wal_shown part, msec *age)
{
	return !wal_leads() && wal_shown_age(part, age) ? told[part] : NULL;
}

static const json_t *told_figures(void)
{
	msec age;

	return shown_told(WAL_SHOWN_FIGURES, &age);
}

static bool is_told(const json_t *object, const char *key, uint64_t *out)
{
	const json_t *value = json_object_get(object, key);

	*out = (uint64_t)json_integer_value(value);
	return value != NULL;
}

static bool is_told_of_log(const char *key, uint64_t *out)
{
	return is_told(json_object_get(told_figures(), "wal"), key, out);
}

static const json_t *told_of(const struct instance *in)
{
	return json_object_get(json_object_get(told_figures(), "instances"),
	                       instance_name(in));
}

bool shown_pending_at(const struct instance *in, uint64_t *out)
{
	return is_told(told_of(in), "pending_writes", out);
}

/* --- what whoever leads knows ------------------------------------------------------- */

bool shown_pending(uint64_t *out)
{
	if (!shown_is_ours())
		return is_told_of_log("pending_writes", out);
	*out = wal_owed();
	return true;
}

bool shown_undecided(uint64_t *out)
{
	struct wal_figures f;

	if (!shown_is_ours())
		return is_told_of_log("undecided", out);
	wal_figures(&f);
	*out = f.undecided;
	return true;
}

static bool is_detached(const struct instance *in)
{
	if (!shown_is_ours())
		return !json_is_false(json_object_get(told_of(in), "detached"));
	return wal_detached(in);
}

bool shown_is_well(void)
{
	uint64_t quarantined = wal_quarantined();

	if (!shown_is_ours() && !is_told_of_log("quarantined", &quarantined))
		return false;
	for (unsigned i = 0; i < health_count(); i++)
		if (is_detached(health_instance(i)))
			return false;
	return quarantined == 0;
}

/* --- handed to the others ----------------------------------------------------------- */

static void write_part(enum wal_shown part, struct text *out)
{
	if (part == WAL_SHOWN_FIGURES)
		status_write_led(out);
	else
		collections_write(out);
}

static void read_part(enum wal_shown part, const char *json)
{
	json_set_alloc_funcs(mem_alloc, free);
	json_decref(told[part]);
	told[part] = json != NULL ? shown_parse(part, json) : NULL;
}

void shown_start(void)
{
	static const struct wal_shows shows = {.write = write_part, .read = read_part};

	wal_shown_start(&shows);
}

void shown_stop(void)
{
	wal_shown_stop();
}
