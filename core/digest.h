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

/* Of what comes piece by piece: the whole SHA-256, as hexadecimal digits. */
#define DIGEST_HEX_BYTES 65u
struct digest_run;
struct digest_run *digest_begin(void);
void digest_add(struct digest_run *run, const void *bytes, size_t len);
/* So far; more may be added. */
void digest_hex(const struct digest_run *run, char out[DIGEST_HEX_BYTES]);
void digest_end(struct digest_run **run);

#endif
