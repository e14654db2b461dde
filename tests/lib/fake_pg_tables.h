/* tests/lib/fake_pg_tables.h - between fake_pg.c and fake_pg_tables.c. */
#ifndef TESTS_LIB_FAKE_PG_TABLES_H
#define TESTS_LIB_FAKE_PG_TABLES_H

#include "core/pg.h"

struct fake_param {
	enum pg_kind kind;
	int64_t number;
	char *text;
	const void *bytes;
	size_t len;
};

struct fake_part {
	const char *name; /* NULL: sent once */
	char *sql;
	int n;
	struct fake_param *params;
};

struct fake_cell {
	char *text; /* NULL: null; of bytes too */
	size_t len;
};

struct fake_set {
	int rows, columns;
	struct fake_cell *cells;
	int64_t changed;
};

struct pg_results {
	struct fake_set *sets;
	int n;
	char sqlstate[6];
	const char *message;
};

void fake_set_number(struct fake_set *set, int64_t n); /* one row of one */
void fake_results_clear(struct pg_results *r);

void fake_tables_start(void);
void fake_tables_stop(void);
/* It would insert a key that is there, or where no partition is: the SQLSTATE; or "". */
const char *fake_tables_violates(const struct fake_part *part);
/* "" or the SQLSTATE of its refusal */
const char *fake_tables_execute(const struct fake_part *part, struct fake_set *set);

#endif
