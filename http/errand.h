/* http/errand.h - requests that are passed on to the proxy that leads; see errand.c. */
#ifndef HTTP_ERRAND_H
#define HTTP_ERRAND_H

#include "core/headers.h"
#include "core/text.h"

struct blob;
struct errand;
struct exchange;

/* At a proxy that follows; a whole request, by somebody who may. */
void errand_pass_on(struct exchange *ex);

/* At the one that leads: the answer of an exchange that has an errand instead of a
 * client, and its end. */
void errand_reply(struct errand *e, int http, const struct headers *h, struct blob *body);
void errand_end(struct errand *e);
const char *errand_who(const struct errand *e); /* as access_who() */

void errand_start(void);
void errand_stop_all(void);

/* --- errand_headers.c, pure: fields as they are kept in a row, "name: value\n" -------
 */
void errand_headers_add(struct text *to, const char *name, const char *value);
void errand_headers_write(const struct headers *h, struct text *to);
void errand_headers_read(const char *text, struct headers *out);

#endif
