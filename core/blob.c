/* core/blob.c - immutable counted bytes. */
#include "core/blob.h"

#include <assert.h>
#include <stdlib.h>

#include "core/mem.h"

struct blob {
	unsigned refs;
	size_t len;
	char *bytes;
};

static size_t total;

struct blob *blob_adopt(char *bytes, size_t len)
{
	struct blob *b = mem_new(struct blob);

	*b = (struct blob){.refs = 1, .len = len, .bytes = bytes};
	total += len;
	return b;
}

struct blob *blob_create(const void *bytes, size_t len)
{
	return blob_adopt(mem_copy(len > 0 ? bytes : "", len), len);
}

struct blob *blob_ref(struct blob *b)
{
	if (b != NULL)
		b->refs++;
	return b;
}

void blob_unref(struct blob **b)
{
	struct blob *old = *b;

	*b = NULL;
	if (old == NULL)
		return;
	assert(old->refs > 0);
	if (--old->refs > 0)
		return;
	total -= old->len;
	free(old->bytes);
	free(old);
}

const char *blob_bytes(const struct blob *b)
{
	return b != NULL ? b->bytes : "";
}

size_t blob_len(const struct blob *b)
{
	return b != NULL ? b->len : 0;
}

size_t blob_total(void)
{
	return total;
}
