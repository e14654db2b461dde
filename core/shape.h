/* core/shape.h - pure: what a collection is like, without its items, as a Chroma says
 * it: name, settings, schema, metadata, dimension. */
#ifndef CORE_SHAPE_H
#define CORE_SHAPE_H

#include <jansson.h>
#include <stdbool.h>

#include "core/blob.h"

/* The body that creates one like it, `form` from 0; NULL: there are no more. */
struct blob *shape_create(const json_t *shape, const char *name, unsigned form);
bool shape_same_settings(const json_t *a, const json_t *b);
bool shape_same_metadata(const json_t *a, const json_t *b);
/* What makes the target's like the donor's; NULL: it is. */
struct blob *shape_changes(const json_t *donor, const json_t *target);
int64_t shape_dimension(const json_t *shape); /* 0: none */

#endif
