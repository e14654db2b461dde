/* core/metrics.h - counters, gauges and histograms, rendered as Prometheus text.
 *
 * Families are declared once, at start, with a closed list of label sets, so that each
 * series is there from the first scrape, at 0. Values are read by the caller's function
 * where they can be derived (gauges): nothing is counted twice. */
#ifndef CORE_METRICS_H
#define CORE_METRICS_H

#include <stdint.h>

#include "core/text.h"

struct metric_counter {
	uint64_t value;
};

#define METRIC_BUCKETS 16
struct metric_histogram { /* of seconds, or of how many at once */
	uint64_t counts[METRIC_BUCKETS + 1];
	uint64_t count;
	double sum;
};

/* Writers: a page is made by calling these in order from whoever has the values.
 * `labels` is "" or e.g. "instance=\"primary\"". Values that others chose go through
 * metrics_label(), which escapes. */
void metrics_label(struct text *labels, const char *name, const char *value);
void metrics_family(struct text *page, const char *name, const char *type,
                    const char *help);
void metrics_value(struct text *page, const char *name, const char *labels, double value);
void metrics_histogram(struct text *page, const char *name, const char *labels,
                       const struct metric_histogram *h);
void metrics_observe(struct metric_histogram *h, double seconds);
/* The same for a number from 1 to 64. */
void metrics_histogram_of_counts(struct text *page, const char *name, const char *labels,
                                 const struct metric_histogram *h);
void metrics_observe_count(struct metric_histogram *h, unsigned n);
void metrics_merge(struct metric_histogram *into, const struct metric_histogram *h);

#endif
