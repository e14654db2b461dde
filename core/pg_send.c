/* core/pg_send.c - statements prepared in this session, and parameters on the wire.
 *
 * A statement is prepared with explicit types for numbers, booleans and bytes, so that
 * they can be sent binary. For texts and NULLs the server infers the type from the SQL
 * (uuid, timestamptz, ...); a number that later comes where the first use had a NULL is
 * therefore sent as text, which suits every type. */
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/pg_private.h"

/* Fixed in pg_type.dat since ever. */
#define OID_INFERRED 0
#define OID_BOOL 16
#define OID_BYTEA 17
#define OID_INT8 20
#define OID_INT4 23

#define NUMBER_BYTES 24 /* the longest int64_t as text */

static Oid type_of(enum pg_kind kind)
{
	switch (kind) {
	case PG_INT8:
		return OID_INT8;
	case PG_INT4:
		return OID_INT4;
	case PG_BOOL:
		return OID_BOOL;
	case PG_BYTES:
		return OID_BYTEA;
	case PG_NULL:
	case PG_TEXT:
	default:
		return OID_INFERRED;
	}
}

struct pg_prepared *pg_prepared_find(const struct pg_prepared_list *l,
                                     const struct pg_statement *statement)
{
	for (int i = 0; i < l->n; i++)
		if (l->list[i]->statement == statement)
			return l->list[i];
	return NULL;
}

struct pg_prepared *pg_prepared_add(struct pg_prepared_list *l,
                                    const struct pg_part *part)
{
	struct pg_prepared *p = mem_new(struct pg_prepared);

	p->statement = part->statement;
	p->n = part->n;
	p->types = mem_array((size_t)part->n, sizeof(*p->types));
	for (int i = 0; i < part->n; i++)
		p->types[i] = type_of(part->params[i].kind);
	if (l->n == l->room) {
		l->room = l->room > 0 ? l->room * 2 : 16;
		l->list = mem_resize(l->list, (size_t)l->room * sizeof(*l->list));
	}
	l->list[l->n++] = p;
	return p;
}

static void free_prepared(struct pg_prepared *p)
{
	free(p->types);
	free(p);
}

void pg_prepared_drop(struct pg_prepared_list *l, struct pg_prepared *p)
{
	for (int i = 0; i < l->n; i++) {
		if (l->list[i] != p)
			continue;
		l->list[i] = l->list[--l->n];
		free_prepared(p);
		return;
	}
}

void pg_prepared_clear(struct pg_prepared_list *l)
{
	for (int i = 0; i < l->n; i++)
		free_prepared(l->list[i]);
	free(l->list);
	*l = (struct pg_prepared_list){0};
}

bool pg_send_prepare(PGconn *pq, const struct pg_prepared *p)
{
	return PQsendPrepare(pq, p->statement->name, p->statement->sql, p->n, p->types) ==
	       1;
}

/* --- parameters -------------------------------------------------------------------- */

/* The arrays libpq wants. */
struct wire {
	const char **values;
	int *lens, *formats;
	char (*numbers)[NUMBER_BYTES];
};

static void put_number(struct wire *w, int i, int64_t number, Oid type)
{
	char *at = w->numbers[i];
	uint64_t eight = htobe64((uint64_t)number);
	uint32_t four = htobe32((uint32_t)number);

	w->values[i] = at;
	w->formats[i] = 1;
	if (type == OID_INT8) {
		memcpy(at, &eight, sizeof(eight));
		w->lens[i] = sizeof(eight);
	} else if (type == OID_INT4 && number == (int32_t)number) {
		memcpy(at, &four, sizeof(four));
		w->lens[i] = sizeof(four);
	} else if (type == OID_BOOL) {
		at[0] = number != 0;
		w->lens[i] = 1;
	} else {
		snprintf(at, NUMBER_BYTES, "%lld", (long long)number);
		w->formats[i] = 0;
	}
}

static void put_param(struct wire *w, int i, const struct pg_param *p, Oid type)
{
	switch (p->kind) {
	case PG_TEXT:
		w->values[i] = p->data;
		break;
	case PG_BYTES:
		/* Not NULL, which would be an SQL NULL. */
		w->values[i] = p->len > 0 ? p->data : "";
		w->lens[i] = (int)p->len;
		w->formats[i] = 1;
		break;
	case PG_INT8:
	case PG_INT4:
	case PG_BOOL:
		put_number(w, i, p->number, type);
		break;
	case PG_NULL:
	default:
		break;
	}
}

bool pg_send_part(PGconn *pq, const struct pg_part *part, const struct pg_prepared *p)
{
	size_t n = (size_t)part->n;
	struct wire w;
	int sent;

	if (p == NULL)
		return PQsendQueryParams(pq, part->sql, 0, NULL, NULL, NULL, NULL, 0) ==
		       1;
	w.values = mem_array(n, sizeof(*w.values));
	w.lens = mem_array(n, sizeof(*w.lens));
	w.formats = mem_array(n, sizeof(*w.formats));
	w.numbers = mem_array(n, sizeof(*w.numbers));
	for (int i = 0; i < part->n; i++)
		put_param(&w, i, &part->params[i], i < p->n ? p->types[i] : OID_INFERRED);
	sent = PQsendQueryPrepared(pq, p->statement->name, part->n, w.values, w.lens,
	                           w.formats, part->binary);
	free(w.values);
	free(w.lens);
	free(w.formats);
	free(w.numbers);
	return sent == 1;
}
