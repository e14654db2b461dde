/* core/mem.h - allocation that never returns NULL: running out of memory ends the
 * process, here and nowhere else. Everything returned is given back with free(); or, what
 * each request needs, with mem_free(). */
#ifndef CORE_MEM_H
#define CORE_MEM_H

#include <stddef.h>

/* Some memory is kept when it is free. By default glibc gives nearly all of it back, and
 * the kernel would clear pages anew for every answer. */
void mem_start(void);
void *mem_alloc(size_t bytes);                     /* zeroed */
void *mem_bare(size_t bytes);                      /* not zeroed */
void *mem_array(size_t count, size_t bytes);       /* zeroed; checks the product */
void *mem_resize(void *old, size_t bytes);         /* new bytes are not zeroed */
void *mem_copy(const void *from, size_t bytes);    /* NULL only when from is NULL */
char *mem_string(const char *from);                /* NULL only when from is NULL */
char *mem_substring(const char *from, size_t len); /* adds the final NUL */
void mem_free(void *old);                          /* keeps small pieces at hand */
char *mem_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define mem_new(type) ((type *)mem_alloc(sizeof(type)))

#endif
