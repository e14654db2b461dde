/* core/pg_unit.c - a unit of work and its results.
 *
 * The happy path:
 *   pg_unit_create, pg_add    the owner says what is to be done
 *   pg_unit_begin             it is submitted
 *   pg_unit_take              one result a statement arrives
 *   pg_unit_end               the owner is told, from the loop, and reads the results
 * When it does not go well:
 *   - the transaction is rolled back: pg_unit_forget, and it may be sent again
 *   - the owner walks away while it waits: it runs all the same, so the bytes that were
 *     only borrowed are copied
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/pg_private.h"

#define MAX_PARAMS 65535 /* of the protocol */
#define PARAM_BYTES 16u  /* about what a number costs on the wire */
#define PART_BYTES 64u   /* and a statement without its parameters */

struct pg_unit *pg_unit_create(void)
{
	return mem_new(struct pg_unit);
}

void pg_unit_is(struct pg_unit *unit, enum pg_work work)
{
	unit->work = work;
}

static struct pg_part *next_part(struct pg_unit *unit)
{
	if (unit->n == unit->room) {
		unit->room = unit->room > 0 ? unit->room * 2 : 2;
		unit->parts = mem_resize(unit->parts,
		                         (size_t)unit->room * sizeof(*unit->parts));
	}
	unit->bytes += PART_BYTES;
	memset(&unit->parts[unit->n], 0, sizeof(*unit->parts));
	return &unit->parts[unit->n++];
}

static size_t text_room(int n, const struct pg_param *params)
{
	size_t room = 0;

	for (int i = 0; i < n; i++)
		if (params[i].kind == PG_TEXT)
			room += strlen(params[i].data) + 1;
	return room;
}

void pg_add(struct pg_unit *unit, const struct pg_statement *statement, int n,
            const struct pg_param *params)
{
	struct pg_part *part = next_part(unit);
	size_t room = text_room(n, params);
	char *text;

	assert(n >= 0 && n <= MAX_PARAMS);
	part->statement = statement;
	part->n = n;
	part->params = mem_array((size_t)n, sizeof(*params));
	part->texts = text = mem_alloc(room);
	unit->bytes += room + (size_t)n * PARAM_BYTES;
	for (int i = 0; i < n; i++) {
		struct pg_param *p = &part->params[i];

		*p = params[i];
		if (p->kind == PG_TEXT) {
			p->len = strlen(p->data);
			memcpy(text, p->data, p->len + 1);
			p->data = text;
			text += p->len + 1;
		} else if (p->kind == PG_BYTES) {
			unit->bytes += p->len;
		}
	}
}

void pg_wants_bytes(struct pg_unit *unit)
{
	unit->parts[unit->n - 1].binary = true;
}

void pg_add_once(struct pg_unit *unit, const char *sql)
{
	struct pg_part *part = next_part(unit);

	part->sql = mem_string(sql);
	unit->bytes += strlen(sql);
}

/* --- its life ---------------------------------------------------------------------- */

static void drop_rows(struct pg_results *r)
{
	for (int i = 0; i < r->n; i++) {
		struct pg_rowset *set = &r->sets[i];
		int cells = set->bytes != NULL
		                    ? PQntuples(set->rows) * PQnfields(set->rows)
		                    : 0;

		for (int j = 0; j < cells; j++)
			PQfreemem(set->bytes[j]);
		free(set->bytes);
		free(set->lens);
		PQclear(set->rows);
		*set = (struct pg_rowset){0};
	}
}

static void deliver(struct op *op)
{
	struct pg_unit *unit = (struct pg_unit *)op;

	if (unit->done != NULL)
		unit->done(unit->arg, unit->status, &unit->results);
}

static void release(struct op *op)
{
	struct pg_unit *unit = (struct pg_unit *)op;

	drop_rows(&unit->results);
	free(unit->results.sets);
	free(unit->results.message);
	for (int i = 0; i < unit->n; i++) {
		free(unit->parts[i].sql);
		free(unit->parts[i].params);
		free(unit->parts[i].texts);
	}
	for (int i = 0; i < unit->n_kept; i++)
		free(unit->kept[i]);
	free(unit->kept);
	free(unit->parts);
	free(unit);
}

static void keep_bytes(struct pg_unit *unit, struct pg_param *p)
{
	void *copy = mem_copy(p->data, p->len);

	unit->kept = mem_resize(unit->kept, (size_t)(unit->n_kept + 1) * sizeof(void *));
	unit->kept[unit->n_kept++] = copy;
	p->data = copy;
}

/* Nobody waits any more, and nobody will hold the bytes any more. */
static void abandon(struct op *op)
{
	struct pg_unit *unit = (struct pg_unit *)op;

	for (int i = 0; i < unit->n; i++)
		for (int j = 0; j < unit->parts[i].n; j++)
			if (unit->parts[i].params[j].kind == PG_BYTES)
				keep_bytes(unit, &unit->parts[i].params[j]);
}

void pg_unit_begin(struct pg_unit *unit, pg_fn *done, void *arg, struct op **slot)
{
	unit->done = done;
	unit->arg = arg;
	unit->results.n = unit->n;
	unit->results.sets = mem_array((size_t)unit->n, sizeof(*unit->results.sets));
	unit->op.deliver = deliver;
	unit->op.release = release;
	unit->op.abandon = abandon;
	op_begin(&unit->op, slot);
}

void pg_unit_end(struct pg_unit *unit, enum status s)
{
	unit->status = s;
	if (s != STATUS_OK)
		drop_rows(&unit->results);
	op_end(&unit->op);
}

void pg_unit_take(struct pg_unit *unit, int part, PGresult *rows)
{
	assert(unit->results.sets[part].rows == NULL);
	unit->results.sets[part].rows = rows;
}

void pg_unit_forget(struct pg_unit *unit)
{
	drop_rows(&unit->results);
}

void pg_unit_refuse(struct pg_unit *unit, const char *sqlstate, const char *message)
{
	snprintf(unit->results.sqlstate, sizeof(unit->results.sqlstate), "%s", sqlstate);
	unit->results.message = mem_string(message);
	pg_unit_end(unit, STATUS_DB_REFUSED);
}

/* --- results ----------------------------------------------------------------------- */

static struct pg_rowset *set_of(const struct pg_results *r, int statement)
{
	assert(statement >= 0 && statement < r->n);
	return &r->sets[statement];
}

int pg_rows(const struct pg_results *r, int statement)
{
	return PQntuples(set_of(r, statement)->rows);
}

int64_t pg_changed(const struct pg_results *r, int statement)
{
	PGresult *rows = set_of(r, statement)->rows;

	if (rows == NULL || strncmp(PQcmdStatus(rows), "SELECT", 6) == 0)
		return 0;
	return strtoll(PQcmdTuples(rows), NULL, 10);
}

bool pg_is_null(const struct pg_results *r, int statement, int row, int column)
{
	return PQgetisnull(set_of(r, statement)->rows, row, column);
}

const char *pg_get_text(const struct pg_results *r, int statement, int row, int column)
{
	const PGresult *rows = set_of(r, statement)->rows;

	assert(row >= 0 && row < PQntuples(rows) && column >= 0 &&
	       column < PQnfields(rows));
	return PQgetvalue(rows, row, column);
}

int64_t pg_get_int8(const struct pg_results *r, int statement, int row, int column)
{
	return strtoll(pg_get_text(r, statement, row, column), NULL, 10);
}

bool pg_get_bool(const struct pg_results *r, int statement, int row, int column)
{
	return pg_get_text(r, statement, row, column)[0] == 't';
}

/* Decoded when first asked for, once; those that came binary are there. */
const void *pg_get_bytes(const struct pg_results *r, int statement, int row, int column,
                         size_t *len)
{
	struct pg_rowset *set = set_of(r, statement);
	const char *given = pg_get_text(r, statement, row, column);
	int cell = row * PQnfields(set->rows) + column;

	*len = 0;
	if (pg_is_null(r, statement, row, column))
		return NULL;
	if (PQfformat(set->rows, column) == 1) {
		*len = (size_t)PQgetlength(set->rows, row, column);
		return given;
	}
	if (set->bytes == NULL) {
		size_t cells =
		        (size_t)PQntuples(set->rows) * (size_t)PQnfields(set->rows);

		set->bytes = mem_array(cells, sizeof(*set->bytes));
		set->lens = mem_array(cells, sizeof(*set->lens));
	}
	if (set->bytes[cell] == NULL)
		set->bytes[cell] =
		        PQunescapeBytea((const unsigned char *)given, &set->lens[cell]);
	if (set->bytes[cell] == NULL)
		abort(); /* libpq is out of memory */
	*len = set->lens[cell];
	return set->bytes[cell];
}

const char *pg_sqlstate(const struct pg_results *r)
{
	return r->sqlstate;
}

const char *pg_message(const struct pg_results *r)
{
	return r->message != NULL ? r->message : "";
}
