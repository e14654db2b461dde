/* core/cli/archive.c - the file of an export: lines of JSON, and at its end a seal.
 *
 *	{"chromatid_export": 1, ...}       what it is, as of which place in the log
 *	{"collection": ...}                as Chroma describes it
 *	{"items": ...}                     a page of it, as Chroma gave it; any number
 *	{"end": {"id", "items"}}           of that collection
 *	{"seal": {"collections", "items", "sha256"}}   of every byte before that line
 *
 * It is written under another name (.part) and gets its own when it is on the disk, so
 * that what bears the name is whole. Whoever reads it looks at the seal before using
 * anything: a file that was cut or changed is noticed. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/cli/cli_private.h"
#include "core/digest.h"
#include "core/mem.h"

#define CHUNK 65536u
#define SEAL "{\"seal\":"

struct archive {
	FILE *file;
	char *path, *part; /* NULL: standard output, or read */
	struct digest_run *digest;
	struct text buffer; /* read, not used yet */
	size_t used;        /* of it, by the line before */
	bool broken;        /* a line is too long, or cannot be read */
	char *seal;         /* its line */
};

static char *reason(const char *path)
{
	return mem_format("%s: %s", path, strerror(errno));
}

static void destroy(struct archive *a)
{
	if (a->file != NULL && a->file != stdout)
		fclose(a->file);
	digest_end(&a->digest);
	text_clear(&a->buffer);
	free(a->path);
	free(a->part);
	free(a->seal);
	free(a);
}

/* --- writing ----------------------------------------------------------------------- */

/* What is in it is nobody else's business. */
static FILE *create_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;

	if (file == NULL && fd >= 0)
		close(fd);
	return file;
}

struct archive *archive_create(const char *path, char **why)
{
	struct archive *a = mem_new(struct archive);

	a->digest = digest_begin();
	if (strcmp(path, "-") == 0) {
		a->file = stdout;
		return a;
	}
	a->path = mem_string(path);
	a->part = mem_format("%s.part", path);
	a->file = create_file(a->part);
	if (a->file != NULL)
		return a;
	*why = reason(a->part);
	destroy(a);
	return NULL;
}

static void put(struct archive *a, const char *bytes, size_t len)
{
	digest_add(a->digest, bytes, len);
	fwrite(bytes, 1, len, a->file);
}

bool archive_add(struct archive *a, const char *line, size_t len)
{
	put(a, line, len);
	put(a, "\n", 1);
	return !ferror(a->file);
}

void archive_drop(struct archive *a)
{
	if (a->part != NULL)
		unlink(a->part);
	destroy(a);
}

/* The name, too, must be on the disk. */
static bool sync_directory(const char *path)
{
	char *copy = mem_string(path);
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool good = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0)
		close(fd);
	free(copy);
	return good;
}

static bool keep(struct archive *a)
{
	FILE *file = a->file;

	if (fflush(file) != 0 || ferror(file))
		return false;
	if (a->part == NULL)
		return true;
	a->file = NULL;
	if (fsync(fileno(file)) != 0) {
		fclose(file);
		return false;
	}
	return fclose(file) == 0 && rename(a->part, a->path) == 0 &&
	       sync_directory(a->path);
}

bool archive_end(struct archive *a, uint64_t collections, uint64_t items, char **why)
{
	char hex[DIGEST_HEX_BYTES];

	digest_hex(a->digest, hex);
	fprintf(a->file,
	        SEAL "{\"collections\":%llu,\"items\":%llu,\"sha256\":\"%s\"}}\n",
	        (unsigned long long)collections, (unsigned long long)items, hex);
	if (keep(a)) {
		destroy(a);
		return true;
	}
	*why = reason(a->path != NULL ? a->path : "standard output");
	archive_drop(a);
	return false;
}

/* --- reading ----------------------------------------------------------------------- */

struct archive *archive_open(const char *path, char **why)
{
	struct archive *a;
	FILE *file = fopen(path, "re");

	if (file == NULL) {
		*why = reason(path);
		return NULL;
	}
	a = mem_new(struct archive);
	a->file = file;
	a->digest = digest_begin();
	return a;
}

void archive_close(struct archive *a)
{
	destroy(a);
}

static bool read_more(struct archive *a)
{
	size_t n;

	text_reserve(&a->buffer, CHUNK);
	n = fread(a->buffer.s + a->buffer.len, 1, CHUNK, a->file);
	a->buffer.len += n;
	a->buffer.s[a->buffer.len] = '\0';
	a->broken = a->broken || ferror(a->file) || a->buffer.len > ARCHIVE_LINE_MOST;
	return n > 0 && !a->broken;
}

/* Its length without the newline; false: there is no whole line left. */
static bool find_line(struct archive *a, size_t *len)
{
	size_t looked = 0;
	const char *end;

	text_drop(&a->buffer, a->used);
	a->used = 0;
	for (;;) {
		end = a->buffer.len > looked
		              ? memchr(a->buffer.s + looked, '\n', a->buffer.len - looked)
		              : NULL;
		if (end != NULL) {
			*len = (size_t)(end - a->buffer.s);
			a->used = *len + 1;
			return true;
		}
		looked = a->buffer.len;
		if (!read_more(a))
			return false;
	}
}

bool archive_next(struct archive *a, struct json_slice *line)
{
	size_t len;

	if (a->seal != NULL || !find_line(a, &len))
		return false;
	if (len > sizeof(SEAL) && memcmp(a->buffer.s, SEAL, sizeof(SEAL) - 1) == 0) {
		a->seal = mem_substring(a->buffer.s, len);
		return false;
	}
	digest_add(a->digest, a->buffer.s, len + 1);
	*line = (struct json_slice){a->buffer.s, len};
	return true;
}

static bool is_sealed(const struct archive *a, uint64_t collections, uint64_t items)
{
	struct json_slice whole = json_whole(a->seal, strlen(a->seal));
	struct json_slice seal = json_member(whole, "seal");
	char hex[DIGEST_HEX_BYTES];

	digest_hex(a->digest, hex);
	return json_text_is(json_member(seal, "sha256"), hex) &&
	       json_int64(json_member(seal, "collections"), -1) == (int64_t)collections &&
	       json_int64(json_member(seal, "items"), -1) == (int64_t)items;
}

bool archive_is_sound(struct archive *a, uint64_t collections, uint64_t items, char **why)
{
	size_t len;

	if (a->broken)
		*why = mem_string("the file cannot be read");
	else if (a->seal == NULL)
		*why = mem_string("the file is cut off: its seal is missing");
	else if (!is_sealed(a, collections, items))
		*why = mem_string("the file was changed: its seal does not fit");
	else if (find_line(a, &len) || a->buffer.len > 0)
		*why = mem_string("the file goes on behind its seal");
	else
		return true;
	return false;
}
