/* wal/traced.c - what a call to an instance says of the writes it carries, so that each
 * can be followed there: traceparent, and their places in the log.
 *
 * A call has one trace, that of its first write. Where others go along it is the places
 * that say so, here and in the line of each request. */
#include "core/log.h"
#include "wal/engine.h"
#include "wal/record.h"

/* As "17,20-25". */
static void list_records(struct record *const *records, size_t n, struct text *list)
{
	size_t k = 0, last;

	while (k < n) {
		for (last = k; last + 1 < n; last++)
			if (records[last + 1]->seq != records[last]->seq + 1)
				break;
		text_adds(list, k > 0 ? "," : "");
		text_add_number(list, records[k]->seq);
		if (last > k) {
			text_addc(list, '-');
			text_add_number(list, records[last]->seq);
		}
		k = last + 1;
	}
}

static void tell(const struct record *first, unsigned i, const char *list)
{
	char id[TRACE_ID_BYTES];
	struct log_field fields[] = {
	        {"instance", instance_name(health_instance(i)), 0},
	        {"trace_id", first->trace.set ? trace_id(&first->trace, id) : LOG_ABSENT,
	         0},
	        {"seq", NULL, first->seq},
	        {0}};

	log_line(LOG_DEBUG, "call", fields, "%s: records %s",
	         record_kind_name(first->kind), list);
}

void traced_call(struct record *const *records, size_t n, unsigned i, struct headers *to)
{
	const struct record *first = records[0];
	char text[TRACE_BYTES];
	struct text list = {0};

	if (first->trace.set)
		headers_add(to, "traceparent", trace_text(&first->trace, text));
	list_records(records, n, &list);
	headers_add(to, "x-chromatid-records", text_string(&list));
	if (log_wants(LOG_DEBUG))
		tell(first, i, text_string(&list));
	text_clear(&list);
}
