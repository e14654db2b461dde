#include "core/metrics.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct text page;

static void assert_page(const char *expected)
{
	assert_string_equal(text_string(&page), expected);
	text_clear(&page);
}

static void a_family_is_announced_with_escaped_help(void **state)
{
	(void)state;
	metrics_family(&page, "chromatid_ready", "gauge", "a \\ and\na \"line\"");
	assert_page("# HELP chromatid_ready a \\\\ and\\na \"line\"\n"
	            "# TYPE chromatid_ready gauge\n");
}

static void a_sample_has_labels_only_when_there_are_any(void **state)
{
	(void)state;
	metrics_value(&page, "x", "", 1);
	metrics_value(&page, "x", "instance=\"primary\"", 0);
	assert_page("x 1\nx{instance=\"primary\"} 0\n");
}

static void label_values_are_escaped(void **state)
{
	struct text labels = {0};

	(void)state;
	metrics_label(&labels, "instance", "a\"b\\c\nd");
	metrics_label(&labels, "code", "200");
	assert_string_equal(text_string(&labels),
	                    "instance=\"a\\\"b\\\\c\\nd\",code=\"200\"");
	text_clear(&labels);
}

static void numbers_read_back_as_they_were(void **state)
{
	(void)state;
	metrics_value(&page, "x", "", 0.1);
	metrics_value(&page, "x", "", 1767225600.123);
	metrics_value(&page, "x", "", 123456789012345.0);
	metrics_value(&page, "x", "", 1.0 / 3);
	metrics_value(&page, "x", "", (double)INFINITY);
	metrics_value(&page, "x", "", -(double)INFINITY);
	metrics_value(&page, "x", "", (double)NAN);
	assert_page("x 0.1\nx 1767225600.123\nx 123456789012345\n"
	            "x 0.33333333333333331\nx +Inf\nx -Inf\nx NaN\n");
}

static void buckets_are_cumulative_from_half_a_millisecond_to_half_a_minute(void **state)
{
	struct metric_histogram h = {0};

	(void)state;
	metrics_observe(&h, 0.0005); /* on the bound: inside */
	metrics_observe(&h, 0.0006);
	metrics_observe(&h, 20.5);
	metrics_observe(&h, 31);
	metrics_histogram(&page, "d", "op=\"add\"", &h);
	assert_page("d_bucket{op=\"add\",le=\"0.0005\"} 1\n"
	            "d_bucket{op=\"add\",le=\"0.001\"} 2\n"
	            "d_bucket{op=\"add\",le=\"0.0025\"} 2\n"
	            "d_bucket{op=\"add\",le=\"0.005\"} 2\n"
	            "d_bucket{op=\"add\",le=\"0.01\"} 2\n"
	            "d_bucket{op=\"add\",le=\"0.025\"} 2\n"
	            "d_bucket{op=\"add\",le=\"0.05\"} 2\n"
	            "d_bucket{op=\"add\",le=\"0.1\"} 2\n"
	            "d_bucket{op=\"add\",le=\"0.25\"} 2\n"
	            "d_bucket{op=\"add\",le=\"0.5\"} 2\n"
	            "d_bucket{op=\"add\",le=\"1\"} 2\n"
	            "d_bucket{op=\"add\",le=\"2.5\"} 2\n"
	            "d_bucket{op=\"add\",le=\"5\"} 2\n"
	            "d_bucket{op=\"add\",le=\"10\"} 2\n"
	            "d_bucket{op=\"add\",le=\"20\"} 2\n"
	            "d_bucket{op=\"add\",le=\"30\"} 3\n"
	            "d_bucket{op=\"add\",le=\"+Inf\"} 4\n"
	            "d_sum{op=\"add\"} 51.5011\n"
	            "d_count{op=\"add\"} 4\n");
}

static void a_histogram_without_labels_has_only_the_bound(void **state)
{
	struct metric_histogram h = {0};

	(void)state;
	metrics_histogram(&page, "d", "", &h);
	assert_non_null(strstr(text_string(&page), "d_bucket{le=\"0.0005\"} 0\n"));
	assert_non_null(strstr(text_string(&page), "\nd_sum 0\nd_count 0\n"));
	text_clear(&page);
}

static void a_time_that_makes_no_sense_counts_as_none(void **state)
{
	struct metric_histogram h = {0};

	(void)state;
	metrics_observe(&h, -1);
	metrics_observe(&h, (double)NAN);
	assert_int_equal(h.count, 2);
	assert_int_equal(h.counts[0], 2);
	assert_true(h.sum >= 0 && h.sum <= 0);
}

static void counts_have_bounds_of_their_own(void **state)
{
	struct metric_histogram h = {0};

	(void)state;
	metrics_observe_count(&h, 1);
	metrics_observe_count(&h, 5);
	metrics_observe_count(&h, 64);
	metrics_observe_count(&h, 65);
	metrics_histogram_of_counts(&page, "d", "", &h);
	assert_non_null(strstr(text_string(&page), "d_bucket{le=\"1\"} 1\n"));
	assert_non_null(strstr(text_string(&page), "d_bucket{le=\"4\"} 1\n"));
	assert_non_null(strstr(text_string(&page), "d_bucket{le=\"6\"} 2\n"));
	assert_non_null(strstr(text_string(&page), "d_bucket{le=\"64\"} 3\n"));
	assert_non_null(strstr(text_string(&page), "d_bucket{le=\"+Inf\"} 4\n"));
	assert_non_null(strstr(text_string(&page), "\nd_sum 135\nd_count 4\n"));
	text_clear(&page);
}

static void two_histograms_are_one(void **state)
{
	struct metric_histogram a = {0}, b = {0}, both = {0};

	(void)state;
	metrics_observe(&a, 0.002);
	metrics_observe(&b, 0.002);
	metrics_observe(&b, 100);
	metrics_observe(&both, 0.002);
	metrics_observe(&both, 0.002);
	metrics_observe(&both, 100);
	metrics_merge(&a, &b);
	assert_memory_equal(a.counts, both.counts, sizeof(a.counts));
	assert_int_equal(a.count, 3);
	assert_true(a.sum > 100.003 && a.sum < 100.005);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_family_is_announced_with_escaped_help),
	        cmocka_unit_test(a_sample_has_labels_only_when_there_are_any),
	        cmocka_unit_test(label_values_are_escaped),
	        cmocka_unit_test(numbers_read_back_as_they_were),
	        cmocka_unit_test(
	                buckets_are_cumulative_from_half_a_millisecond_to_half_a_minute),
	        cmocka_unit_test(a_histogram_without_labels_has_only_the_bound),
	        cmocka_unit_test(a_time_that_makes_no_sense_counts_as_none),
	        cmocka_unit_test(counts_have_bounds_of_their_own),
	        cmocka_unit_test(two_histograms_are_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
