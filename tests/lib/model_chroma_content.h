/* tests/lib/model_chroma_content.h - what a model Chroma holds and how writes change it.
 */
#ifndef TESTS_LIB_MODEL_CHROMA_CONTENT_H
#define TESTS_LIB_MODEL_CHROMA_CONTENT_H

#include "tests/lib/model_chroma.h"

struct content;

struct content *content_create(void);
void content_destroy(struct content **c);
int content_execute(struct content *c, const char *method, const char *target,
                    const char *body, size_t len, struct text *answer);
void content_allow_reset(struct content *c, bool yes);
void content_refuse_items(struct content *c, bool yes);
void content_refuse_collection(struct content *c, const char *name, int http);
void content_drop(struct content *c, const char *name);
void content_lose_vector(struct content *c, const char *name, const char *id);
/* It is found only by a thorough search. */
void content_hide_vector(struct content *c, const char *name, const char *id);
char *content_dump_collection(const struct content *c, const char *local);
char *content_dump(const struct content *c);
const char *content_trace(const struct content *c);
void content_forget_trace(struct content *c);
bool content_has_op(const struct content *c, const char *local, int64_t op);
bool content_has_collection(const struct content *c, const char *local);
const char *content_items(const struct content *c, const char *name);
const char *content_collection_id(const struct content *c, const char *name);
struct content *content_copy(const struct content *from);
unsigned content_lost(const struct content *c);
bool content_has_database(const struct content *c, const char *tenant, const char *name);
unsigned content_aside(const struct content *c);

#endif
