/* core/digest.h - what tells one body from another without keeping it: the first half of
 * its SHA-256. Two bodies with one digest are one body, for all we care: nobody can make
 * a second one, even on purpose. */
#ifndef CORE_DIGEST_H
#define CORE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#define DIGEST_LEN 16u

struct digest {
	unsigned char bytes[DIGEST_LEN];
};

struct digest_part {
	const void *bytes;
	size_t len;
};

/* Of the parts one after the other; where one ends and the next begins is not in it. */
struct digest digest_of(const struct digest_part *parts, size_t n);
bool digest_same(const struct digest *a, const struct digest *b);

#endif
