#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/cli/contents.h"
#include "core/mem.h"

#define HEAD "{\"chromatid_export\":1,\"position\":7}"
#define DOCS                                                                             \
	"{\"collection\":{\"id\":\"i\",\"name\":\"docs\",\"tenant\":\"t\",\"database\":" \
	"\"d\"}}"
#define PAGE "{\"items\":{\"ids\":[\"a\",\"b\"]}}"
#define END "{\"end\":{\"id\":\"i\",\"items\":2}}"

static char directory[] = "/tmp/chromatid-archive-XXXXXX";
static char *path, *part;

static int set_up(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(directory));
	path = mem_format("%s/copy", directory);
	part = mem_format("%s.part", path);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(path);
	unlink(part);
	rmdir(directory);
	free(path);
	free(part);
	return 0;
}

static void write_lines(const char *const *lines, size_t n, uint64_t collections,
                        uint64_t items)
{
	char *why = NULL;
	struct archive *a = archive_create(path, &why);

	assert_non_null(a);
	for (size_t k = 0; k < n; k++)
		assert_true(archive_add(a, lines[k], strlen(lines[k])));
	assert_int_equal(access(path, F_OK), -1);
	assert_true(archive_end(a, collections, items, &why));
	assert_int_equal(access(part, F_OK), -1);
}

static void assert_read(const char *says)
{
	struct contents s = {0};
	char *why = NULL;
	bool good = contents_read(&s, path, &why);

	if (says == NULL && !good)
		fail_msg("%s", why);
	if (says != NULL && (good || strstr(why, says) == NULL))
		fail_msg("not \"%s\": %s", says, good ? "it is good" : why);
	free(why);
	contents_clear(&s);
	unlink(path);
}

static void what_was_written_is_read(void **state)
{
	static const char *const lines[] = {HEAD, DOCS, PAGE, END};
	struct contents s = {0};
	char *why = NULL;
	struct stat st;

	(void)state;
	write_lines(lines, 4, 1, 2);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_true(contents_read(&s, path, &why));
	assert_int_equal(s.n, 1);
	assert_int_equal(s.items, 2);
	assert_string_equal(s.list[0].name, "docs");
	assert_int_equal(json_number_of(s.head, "position"), 7);
	contents_clear(&s);
	unlink(path);
}

static void what_is_given_up_leaves_nothing(void **state)
{
	char *why = NULL;
	struct archive *a = archive_create(path, &why);

	(void)state;
	assert_true(archive_add(a, HEAD, strlen(HEAD)));
	archive_drop(a);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(access(part, F_OK), -1);
	assert_null(archive_create("/nowhere/at/all", &why));
	assert_non_null(strstr(why, "/nowhere/at/all.part: No such file"));
	free(why);
	assert_null(archive_open("/nowhere/at/all", &why));
	free(why);
}

#define wrong(says, collections, items, ...)                                             \
	do {                                                                             \
		const char *const lines[] = {__VA_ARGS__};                               \
		write_lines(lines, sizeof(lines) / sizeof(lines[0]), collections,        \
		            items);                                                      \
		assert_read(says);                                                       \
	} while (0)

static void lines_that_make_no_sense(void **state)
{
	(void)state;
	wrong(NULL, 0, 0, HEAD);
	wrong("not an export", 0, 0, DOCS);
	wrong("not an export", 0, 0, "{\"chromatid_export\":2}");
	wrong("not an export", 0, 0, "nonsense");
	wrong("line 2", 1, 2, HEAD, PAGE, DOCS, END);
	wrong("line 3", 2, 0, HEAD, DOCS, DOCS);
	wrong("line 3", 1, 0, HEAD, DOCS, END);
	wrong("line 2", 0, 0, HEAD, END);
	wrong("line 2", 0, 0, HEAD, "{\"other\":{}}");
	wrong("line 2", 0, 0, HEAD, "");
	wrong("line 2", 0, 0, HEAD, "{\"collection\":{\"id\":\"i\"}}");
	wrong("line 4", 1, 3, HEAD, DOCS, PAGE, "{\"end\":{\"id\":\"x\",\"items\":2}}");
	wrong("not complete", 1, 2, HEAD, DOCS, PAGE);
	wrong("seal does not fit", 1, 3, HEAD, DOCS, PAGE, END);
	wrong("seal does not fit", 2, 2, HEAD, DOCS, PAGE, END);
}

static size_t read_file(char *bytes, size_t room)
{
	FILE *file = fopen(path, "re");
	size_t n = fread(bytes, 1, room, file);

	fclose(file);
	return n;
}

static void put_file(const char *bytes, size_t len)
{
	FILE *file = fopen(path, "we");

	assert_int_equal(fwrite(bytes, 1, len, file), len);
	fclose(file);
}

static bool is_good(void)
{
	struct contents s = {0};
	char *why = NULL;
	bool good = contents_read(&s, path, &why);

	contents_clear(&s);
	free(why);
	return good;
}

/* Cut at every byte, and every byte another. */
static void any_change_is_noticed(void **state)
{
	static const char *const lines[] = {HEAD, DOCS, PAGE, END};
	char bytes[1024];
	size_t len;

	(void)state;
	write_lines(lines, 4, 1, 2);
	len = read_file(bytes, sizeof(bytes));
	for (size_t k = 0; k < len; k++) {
		put_file(bytes, k);
		assert_false(is_good());
		bytes[k] ^= 1;
		put_file(bytes, len);
		if (is_good())
			fail_msg("byte %zu", k);
		bytes[k] ^= 1;
	}
	put_file(bytes, len);
	assert_true(is_good());
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_was_written_is_read),
	        cmocka_unit_test(what_is_given_up_leaves_nothing),
	        cmocka_unit_test(lines_that_make_no_sense),
	        cmocka_unit_test(any_change_is_noticed),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
