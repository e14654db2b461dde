/* core/blob.h - immutable counted bytes: one body shared by log, execution and answer.
 *
 * The only counted thing in the program. A NULL blob is an empty body. */
#ifndef CORE_BLOB_H
#define CORE_BLOB_H

#include <stddef.h>

struct blob;

struct blob *blob_create(const void *bytes, size_t len); /* copies */
struct blob *blob_adopt(char *bytes, size_t len); /* takes over; freed with free() */
struct blob *blob_ref(struct blob *b);            /* takes NULL */
void blob_unref(struct blob **b);                 /* takes NULL, sets NULL */
const char *blob_bytes(const struct blob *b);     /* "" for NULL */
size_t blob_len(const struct blob *b);            /* 0 for NULL */
size_t blob_total(void); /* bytes held by all blobs, for the memory figures */

#endif
