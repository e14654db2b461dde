/* http/collection_metrics.c - what the operator wants to know of single collections:
 * METRICS_PER_COLLECTION of them, the oldest first, so that it is always the same ones.
 *
 * Off by default. Names are the clients': each makes series that a Prometheus keeps for
 * weeks, so there is a limit, and beyond it the sums over all have to do. */
#include <stdlib.h>

#include "core/mem.h"
#include "core/metrics.h"
#include "http/operator.h"
#include "http/shown.h"

static int oldest_first(const void *a, const void *b)
{
	const struct collection *const *x = a, *const *y = b;

	return (*x)->id > (*y)->id ? 1 : (*x)->id < (*y)->id ? -1 : 0;
}

static size_t list(const struct collection **out)
{
	const struct collection *c;
	size_t n = 0;

	for (struct database *db = catalogue_next_database(NULL); db != NULL;
	     db = catalogue_next_database(db))
		TAILQ_FOREACH (c, &db->collections, link)
			if (c->life == LIFE_LIVE)
				out[n++] = c;
	qsort(out, n, sizeof(const struct collection *), oldest_first);
	return n;
}

static void add(struct text *page, const char *name, const struct collection *c,
                unsigned i, double value)
{
	struct text labels = {0};

	metrics_label(&labels, "tenant", c->db->tenant);
	metrics_label(&labels, "database", c->db->name);
	metrics_label(&labels, "collection", c->name);
	metrics_label(&labels, "instance", instance_name(health_instance(i)));
	metrics_value(page, name, text_string(&labels), value);
	text_clear(&labels);
}

static void add_family(struct text *page, const char *name, const char *help,
                       const struct collection *const *shown, size_t n,
                       double (*value)(const struct instance *,
                                       const struct collection *))
{
	metrics_family(page, name, "gauge", help);
	for (size_t k = 0; k < n; k++)
		for (unsigned i = 0; i < health_count(); i++)
			add(page, name, shown[k], i, value(health_instance(i), shown[k]));
}

static double pending(const struct instance *in, const struct collection *c)
{
	return (double)wal_behind(in, c);
}

static double readable(const struct instance *in, const struct collection *c)
{
	return wal_readable(in, c);
}

void collection_metrics(struct text *page)
{
	size_t most = (size_t)exchange_conf->metrics_per_collection, n;
	const struct collection **shown;

	if (most == 0 || !shown_is_ours())
		return;
	shown = mem_array(catalogue_count(NULL).live + 1,
	                  sizeof(const struct collection *));
	n = list(shown);
	n = n < most ? n : most;
	add_family(page, "chromatid_collection_pending_entries",
	           "Writes to it that the instance lacks.", shown, n, pending);
	add_family(page, "chromatid_collection_readable",
	           "1 while it is there, and not in quarantine.", shown, n, readable);
	free(shown);
}
