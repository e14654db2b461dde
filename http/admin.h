/* http/admin.h - what the pages for administrators share. Who may ask for them is said in
 * access.c, before a page is asked.
 *
 *	admin.c          whom a request means, events
 *	query.c          what stands behind the '?'
 *	drain_page.c     /admin/instances: taken out by hand, and put back
 *	log_page.c       the log: entries, errors
 *	transaction_page.c  the same in the words of older scripts
 *	settings_page.c  /admin/config, /admin/scalability_status
 *	mapping_page.c   a mapping deleted, made, completed */
#ifndef HTTP_ADMIN_H
#define HTTP_ADMIN_H

#include "http/exchange.h"

/* What an administrator has changed; who is added. */
void admin_event(const struct exchange *ex, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
struct instance *admin_instance(const char *name);
void admin_no_instance(struct exchange *ex, const char *name); /* 404 */
void admin_bad(struct exchange *ex, const char *why);          /* 400 */
/* A number of the body; *out stays as it is if it is not there. False: it is no number,
 * negative, or more than `most`. */
bool admin_number(const struct exchange *ex, const char *key, double most, double *out);
/* What PostgreSQL was to answer did not come. */
void admin_no_answer(struct exchange *ex, enum status s);

/* Freed by the caller; NULL: it is not there. */
char *query_text(const struct exchange *ex, const char *key);
/* False: it is there, and no number. */
bool query_number(const struct exchange *ex, const char *key, int64_t otherwise,
                  int64_t *out);
bool query_flag(const struct exchange *ex, const char *key);

extern const char *const document_admin; /* document_admin.c */

void instances_page(struct exchange *ex);
void override_page(struct exchange *ex);
void wal_count_page(struct exchange *ex);
void wal_list_page(struct exchange *ex);
void wal_entry_page(struct exchange *ex);
void wal_errors_page(struct exchange *ex);
void wal_debug_page(struct exchange *ex);
void transactions_page(struct exchange *ex);
void transaction_page(struct exchange *ex);
void transaction_trigger(struct exchange *ex);
void transaction_cleanup(struct exchange *ex);
void config_page(struct exchange *ex);
void scalability_page(struct exchange *ex);
void mapping_delete(struct exchange *ex);
void mapping_create(struct exchange *ex);
void mappings_complete(struct exchange *ex);

#endif
