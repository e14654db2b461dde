/* http/operator.h - what the pages for operators and monitors share.
 *
 *	operator.c       /health, /ready, and who answers the rest
 *	status_page.c    /status, /wal/status
 *	mappings_page.c  /collection/mappings
 *	metrics_page.c   /metrics
 *	collection_metrics.c  ... of single collections
 *	tally.c          requests counted by what they were and how they ended
 *
 * None of them asks PostgreSQL or an instance: what they show is in memory. */
#ifndef HTTP_OPERATOR_H
#define HTTP_OPERATOR_H

#include "http/exchange.h"

#define OPERATOR_SERVICE "Chromatid: ChromaDB Load Balancer with Write-Ahead Log"
#define OPERATOR_ARCHITECTURE                                                            \
	"one log in PostgreSQL, executed in order by every Chroma server"

const char *operator_state(void); /* "starting", "healthy", "degraded", ... */
bool operator_ready(void);

void status_page(struct exchange *ex);
void wal_status_page(struct exchange *ex);
void mappings_page(struct exchange *ex);
void metrics_page(struct exchange *ex);

void tally_add_metrics(struct text *page);
void collection_metrics(struct text *page);

#endif
