/* Any two bodies as reads that might share a call, and any bytes as its answer, with
 * jansson as the judge: a first byte (q: queries), the bodies, the answer, a line each.
 *
 * What is asked for both must be what each asked, and nothing else; what each hears must
 * be its rows of the answer, all of them, and all else of it. */
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/alike.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool so)
{
	if (!so)
		abort();
}

static json_t *judge(const struct blob *b)
{
	return json_loadb(blob_bytes(b), blob_len(b), JSON_DECODE_ANY | JSON_ALLOW_NUL,
	                  NULL);
}

/* A line of it, as a blob of its own. */
static struct blob *line(const char **at, const char *end)
{
	const char *from = *at;
	const char *to = memchr(from, '\n', (size_t)(end - from));

	if (to == NULL)
		to = end;
	*at = to < end ? to + 1 : end;
	return blob_create(from, (size_t)(to - from));
}

/* ---- what is asked ---- */

static void check_asked(const struct blob *bodies[2], const struct blob *both,
                        const char *list)
{
	json_t *one = judge(bodies[0]), *other = judge(bodies[1]), *asked = judge(both);

	if (one != NULL && other != NULL) {
		must(asked != NULL);
		json_array_extend(json_object_get(one, list),
		                  json_object_get(other, list));
		must(json_equal(one, asked));
	}
	json_decref(one);
	json_decref(other);
	json_decref(asked);
}

/* ---- what is answered ---- */

static bool holds(json_t *list, json_t *value)
{
	json_t *element;
	size_t k;

	json_array_foreach(list, k, element) if (json_equal(element, value)) return true;
	return false;
}

/* Is row k of the answer one of this read, the first rows of which are `before`? */
static bool is_its(bool query, json_t *body, json_t *answer, size_t k, size_t before)
{
	json_t *id = json_array_get(json_object_get(answer, "ids"), k);
	size_t rows = json_array_size(json_object_get(body, "query_embeddings"));

	return query ? k >= before && k < before + rows
	             : holds(json_object_get(body, "ids"), id);
}

static void check_column(json_t *part, json_t *whole, const bool *its)
{
	json_t *cell;
	size_t k, at = 0;

	json_array_foreach(whole, k, cell) if (its[k])
	        must(json_equal(json_array_get(part, at++), cell));
	must(json_array_size(part) == at);
}

static void check_part(bool query, const struct blob *body, const struct blob *answer,
                       const struct blob *part, size_t before)
{
	json_t *asked = judge(body), *whole = judge(answer), *told = judge(part), *value;
	size_t rows = json_array_size(json_object_get(whole, "ids"));
	bool *its = calloc(rows + 1, sizeof(bool));
	const char *key;

	if (asked != NULL && whole != NULL) {
		must(told != NULL && json_object_size(told) == json_object_size(whole));
		for (size_t k = 0; k < rows; k++)
			its[k] = is_its(query, asked, whole, k, before);
		json_object_foreach(whole, key, value)
		{
			if (strcmp(key, "include") == 0 || json_is_null(value))
				must(json_equal(json_object_get(told, key), value));
			else
				check_column(json_object_get(told, key), value, its);
		}
	}
	free(its);
	json_decref(asked);
	json_decref(whole);
	json_decref(told);
}

static void check_answer(const struct alike *reads[2], const struct blob *bodies[2],
                         struct blob *answer)
{
	struct blob *parts[2] = {NULL, NULL};
	bool query = reads[0]->verb == VERB_QUERY;

	if (alike_split(reads, 2, answer, parts)) {
		check_part(query, bodies[0], answer, parts[0], 0);
		check_part(query, bodies[1], answer, parts[1], reads[0]->rows);
	}
	blob_unref(&parts[0]);
	blob_unref(&parts[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *at = (const char *)data + (size > 0),
	           *end = (const char *)data + size;
	bool query = size > 0 && data[0] == 'q';
	struct blob *one = line(&at, end), *other = line(&at, end);
	struct blob *answer = blob_create(at, (size_t)(end - at)), *both;
	const struct blob *bodies[2] = {one, other};
	struct alike a, b;
	const struct alike *reads[2] = {&a, &b};
	enum route_verb verb = query ? VERB_QUERY : VERB_GET;
	bool taken = alike_take(&a, verb, one);

	if (alike_take(&b, verb, other) && taken && alike_same(&a, &b)) {
		both = alike_body(reads, 2);
		check_asked(bodies, both, query ? "query_embeddings" : "ids");
		check_answer(reads, bodies, answer);
		blob_unref(&both);
	}
	blob_unref(&one);
	blob_unref(&other);
	blob_unref(&answer);
	must(blob_total() == 0);
	return 0;
}
