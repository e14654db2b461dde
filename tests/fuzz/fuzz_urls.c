/* Any text as the URL of an instance and as the one of PostgreSQL.
 *
 * What is taken as an instance means the same when it is written down plainly. Of a
 * password nothing is told, whatever is wrong with the URL around it. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/pg_private.h"
#include "core/upstream_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PASSWORD "hunter2"

static void must(bool so)
{
	if (!so)
		abort();
}

/* ---- an instance ---- */

static void check_address(const struct upstream_address *a)
{
	char *plain = mem_format("%s://%s", a->tls ? "https" : "http", a->authority);
	struct upstream_address again;
	char *wrong = upstream_address_parse(&again, plain);

	must(wrong == NULL && a->port > 0 && strlen(a->host) <= 253);
	must(strpbrk(a->host, "@/?# \r\n") == NULL && a->host[0] != '\0');
	must(again.tls == a->tls && again.port == a->port);
	must(strcmp(again.host, a->host) == 0 &&
	     strcmp(again.authority, a->authority) == 0);
	upstream_address_clear(&again);
	free(plain);
}

/* The digits behind the last colon that is neither the scheme's nor an address's. */
static void check_port(const char *url, const struct upstream_address *a)
{
	const char *colon = strrchr(url, ':');
	bool is_port = colon != NULL && colon[1] != '/' && strchr(colon, ']') == NULL;

	must(a->port == (is_port ? strtoul(colon + 1, NULL, 10) : 443));
}

static void instance(const char *url)
{
	struct upstream_address address;
	char *wrong = upstream_address_parse(&address, url);

	must((wrong == NULL) == (address.host != NULL && address.authority != NULL));
	if (wrong == NULL) {
		check_address(&address);
		check_port(url, &address);
	}
	upstream_address_clear(&address);
	free(wrong);
}

/* ---- PostgreSQL ---- */

static void check_targets(const PQconninfoOption *options)
{
	struct pg_target targets[PG_MAX_HOSTS];
	int n = pg_url_targets(options, targets);

	must(n >= 1 && n <= PG_MAX_HOSTS);
	for (int i = 0; i < n; i++) {
		must(targets[i].host != NULL && strchr(targets[i].host, ',') == NULL);
		must(strspn(targets[i].port, "0123456789") == strlen(targets[i].port));
		must(strlen(targets[i].port) <= 5);
		free(targets[i].host);
		free(targets[i].port);
	}
}

static void postgres(const char *url)
{
	char *wrong, *said, *shown;
	PQconninfoOption *options = pg_url_parse(url, &wrong);

	must((options == NULL) == (wrong != NULL));
	if (options != NULL) {
		check_targets(options);
		said = mem_format("FATAL: \"" PASSWORD "\"\n%s", url);
		shown = pg_url_redact(options, said);
		must(strlen(shown) <= 400 && strpbrk(shown, "\r\n\t") == NULL);
		free(shown);
		free(said);
	}
	PQconninfoFree(options);
	free(wrong);
}

/* The same around a password: as it is told, it is not there. Where what surrounds it
 * says its letters itself, nothing can be told apart. */
static void with_password(const char *rest)
{
	char *url = mem_format("postgresql://user:" PASSWORD "@%s", rest);
	char *wrong, *shown;
	PQconninfoOption *options = pg_url_parse(url, &wrong);

	must(wrong == NULL || strstr(wrong, PASSWORD) == NULL);
	if (options != NULL && strstr(rest, "password") == NULL) {
		shown = pg_url_redact(options, "it was " PASSWORD ", was it not");
		must(strstr(shown, PASSWORD) == NULL);
		free(shown);
	}
	PQconninfoFree(options);
	free(wrong);
	free(url);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *s = mem_substring((const char *)data, strnlen((const char *)data, size));

	instance(s);
	postgres(s);
	if (strstr(s, PASSWORD) == NULL)
		with_password(s);
	free(s);
	return 0;
}
