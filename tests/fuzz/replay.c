/* Runs a fuzz target on every file of a directory: its corpus as a test, without a
 * fuzzer. A directory that is missing or empty is an error, or the test could not fail.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "core/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_file(const char *path)
{
	struct stat about;

	return stat(path, &about) == 0 && S_ISREG(about.st_mode);
}

/* From a buffer of exactly its size, so that reading beyond it is noticed. */
static bool run(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *bytes = NULL;
	long size = -1;
	bool whole = false;

	if (file != NULL && fseek(file, 0, SEEK_END) == 0)
		size = ftell(file);
	if (size >= 0) {
		rewind(file);
		bytes = mem_alloc((size_t)size);
		whole = fread(bytes, 1, (size_t)size, file) == (size_t)size;
	}
	if (file != NULL)
		fclose(file);
	if (whole)
		LLVMFuzzerTestOneInput(bytes, (size_t)size);
	else
		fprintf(stderr, "%s: cannot be read\n", path);
	free(bytes);
	return whole;
}

int main(int argc, char **argv)
{
	DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
	struct dirent *entry;
	int runs = 0, failures = 0;

	if (dir == NULL) {
		fprintf(stderr, "usage: %s DIRECTORY (that exists)\n", argv[0]);
		return 1;
	}
	while ((entry = readdir(dir)) != NULL) {
		char *path = mem_format("%s/%s", argv[1], entry->d_name);

		if (is_file(path)) {
			runs++;
			failures += run(path) ? 0 : 1;
		}
		free(path);
	}
	closedir(dir);
	printf("%d inputs\n", runs);
	return runs > 0 && failures == 0 ? 0 : 1;
}
