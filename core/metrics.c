/* core/metrics.c - Prometheus text, format 0.0.4. */
#include "core/metrics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* From half a millisecond to half a minute. */
static const double bounds[METRIC_BUCKETS] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
                                              0.05,   0.1,   0.25,   0.5,   1,    2.5,
                                              5,      10,    20,     30};

static const double counts[METRIC_BUCKETS] = {1,  2,  3,  4,  6,  8,  10, 12,
                                              16, 20, 24, 32, 40, 48, 56, 64};

static void add_escaped(struct text *out, const char *s, const char *special)
{
	for (; *s != '\0'; s++) {
		if (*s == '\n') {
			text_adds(out, "\\n");
			continue;
		}
		if (strchr(special, *s) != NULL)
			text_addc(out, '\\');
		text_addc(out, *s);
	}
}

void metrics_family(struct text *page, const char *name, const char *type,
                    const char *help)
{
	text_addf(page, "# HELP %s ", name);
	add_escaped(page, help, "\\");
	text_addf(page, "\n# TYPE %s %s\n", name, type);
}

void metrics_label(struct text *labels, const char *name, const char *value)
{
	if (labels->len > 0)
		text_addc(labels, ',');
	text_addf(labels, "%s=\"", name);
	add_escaped(labels, value, "\\\"");
	text_addc(labels, '"');
}

/* The shortest text that reads back as the same number. */
static void add_number(struct text *page, double value)
{
	char digits[40];

	if (isnan(value)) {
		text_adds(page, "NaN");
	} else if (isinf(value)) {
		text_adds(page, value > 0 ? "+Inf" : "-Inf");
	} else {
		snprintf(digits, sizeof(digits), "%.15g", value);
		if (strtod(digits, NULL) < value || strtod(digits, NULL) > value)
			snprintf(digits, sizeof(digits), "%.17g", value);
		text_adds(page, digits);
	}
}

static void add_sample(struct text *page, const char *name, const char *suffix,
                       const char *labels, double value)
{
	text_addf(page, "%s%s", name, suffix);
	if (labels[0] != '\0')
		text_addf(page, "{%s}", labels);
	text_addc(page, ' ');
	add_number(page, value);
	text_addc(page, '\n');
}

void metrics_value(struct text *page, const char *name, const char *labels, double value)
{
	add_sample(page, name, "", labels, value);
}

static void add_bucket(struct text *page, const char *name, const char *labels, double le,
                       uint64_t count)
{
	text_addf(page, "%s_bucket{%s%sle=\"", name, labels,
	          labels[0] != '\0' ? "," : "");
	add_number(page, le);
	text_addf(page, "\"} %llu\n", (unsigned long long)count);
}

static void add_histogram(struct text *page, const char *name, const char *labels,
                          const struct metric_histogram *h, const double *limits)
{
	uint64_t below = 0;

	for (size_t i = 0; i < METRIC_BUCKETS; i++) {
		below += h->counts[i];
		add_bucket(page, name, labels, limits[i], below);
	}
	add_bucket(page, name, labels, (double)INFINITY, h->count);
	add_sample(page, name, "_sum", labels, h->sum);
	add_sample(page, name, "_count", labels, (double)h->count);
}

void metrics_histogram(struct text *page, const char *name, const char *labels,
                       const struct metric_histogram *h)
{
	add_histogram(page, name, labels, h, bounds);
}

void metrics_histogram_of_counts(struct text *page, const char *name, const char *labels,
                                 const struct metric_histogram *h)
{
	add_histogram(page, name, labels, h, counts);
}

static void observe(struct metric_histogram *h, double value, const double *limits)
{
	size_t i = 0;

	while (i < METRIC_BUCKETS && value > limits[i])
		i++;
	h->counts[i]++;
	h->count++;
	h->sum += value;
}

void metrics_observe(struct metric_histogram *h, double seconds)
{
	/* a clock that jumped, or not a number */
	observe(h, seconds >= 0 ? seconds : 0, bounds);
}

void metrics_observe_count(struct metric_histogram *h, unsigned n)
{
	observe(h, n, counts);
}

void metrics_merge(struct metric_histogram *into, const struct metric_histogram *h)
{
	for (size_t i = 0; i <= METRIC_BUCKETS; i++)
		into->counts[i] += h->counts[i];
	into->count += h->count;
	into->sum += h->sum;
}
