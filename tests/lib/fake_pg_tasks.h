/* tests/lib/fake_pg_tasks.h - between fake_pg_tables.c and fake_pg_tasks.c, the tables of
 * shared work, and fake_pg_operator.c, what operators have noted. */
#ifndef TESTS_LIB_FAKE_PG_TASKS_H
#define TESTS_LIB_FAKE_PG_TASKS_H

#include "tests/lib/fake_pg_tables.h"

/* Of the statement being executed, from 1. */
int64_t fake_number(int k);
const char *fake_text(int k);
void fake_put(struct fake_set *set, const char *text);
void fake_put_number(struct fake_set *set, int64_t n);
void fake_end_row(struct fake_set *set);
int64_t fake_instance_id(const char *name); /* 0: none */
const char *fake_instance(int64_t id, char marker[40], int64_t *beat);
const char *fake_cluster(char out[40]);
/* Is it being made anew, by that attempt, and not copied completely? */
bool fake_is_rebuilt(int64_t instance, int64_t collection, int64_t attempt);

struct fake_statement {
	const char *name;
	void (*run)(struct fake_set *set);
};
extern const struct fake_statement fake_task_statements[]; /* the last has no name */
void fake_tasks_stop(void);
extern const struct fake_statement fake_operator_statements[]; /* as well */
void fake_operator_stop(void);
extern const struct fake_statement fake_errand_statements[]; /* fake_pg_errand.c */
void fake_errands_stop(void);

#endif
