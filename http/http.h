/* http/http.h - the client's side as a whole. */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include <stdbool.h>

#include "core/conf.h"

char *http_start(const struct conf *conf); /* NULL, or why not (freed by the caller) */
/* No new work; told when every exchange has ended, DRAIN_TIMEOUT at most. */
/* `others`: clients find another proxy; so their connections may have a last request. */
void http_drain(bool others, void (*done)(void *arg), void *arg);
void http_stop(void);
bool http_ready(void);                /* what /ready says */
void http_document(struct text *out); /* docs/API.md, from the route table */

#endif
