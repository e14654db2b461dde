/* core/trace.h - pure but for new ids: where a request belongs, as the W3C has it
 * (traceparent): the trace, one id for everything that one deed of a client leads to,
 * and the span, which is our part of it.
 *
 * It is taken from the client or made, sent with every call to an instance, kept with a
 * write in the log, and said in the log, so that what becomes of a write minutes later
 * can be found by the one id. */
#ifndef CORE_TRACE_H
#define CORE_TRACE_H

#include <stdbool.h>
#include <stddef.h>

struct trace {
	unsigned char id[16], span[8];
	unsigned char flags;
	bool set; /* else there is none */
};

#define TRACE_BYTES 56u    /* "00-ID-SPAN-FLAGS" */
#define TRACE_ID_BYTES 33u /* the id's hexadecimal digits */

/* The client's, if it sent a good one, else a new one; in both cases with a span of its
 * own. `parent` may be NULL. */
void trace_begin(struct trace *t, const char *parent);
/* One that was kept, as it was; false: it is none. */
bool trace_parse(struct trace *t, const char *text, size_t len);
/* As a header; "" if there is none. */
const char *trace_text(const struct trace *t, char out[TRACE_BYTES]);
const char *trace_id(const struct trace *t, char out[TRACE_ID_BYTES]);

#endif
