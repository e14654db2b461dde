/* core/pg_url.c - what DATABASE_URL says, and what may be said about it.
 *
 * libpq reads the URL; here it gets the settings that make a session die early rather
 * than hang (the operator's own win), and its list of hosts with the addresses we have
 * resolved, because libpq would resolve them with a blocking call.
 *
 * libpq quotes the URL in its complaints. None of that may reach a log: what is quoted
 * is cut out of them, and passwords are masked in whatever the server says. A password
 * with a raw '@' or '/' would be read as a host or a database name, and so be shown: it
 * is refused here. */
#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/pg_private.h"
#include "core/text.h"

#define MAX_PARAMS 96
#define MAX_MESSAGE 400u

static const char *get(const PQconninfoOption *options, const char *keyword)
{
	for (; options->keyword != NULL; options++)
		if (strcmp(options->keyword, keyword) == 0)
			return options->val;
	return NULL;
}

/* --- reading ----------------------------------------------------------------------- */

/* NULL if the password, if any, ends where its writer meant it to. */
static const char *wrong_shape(const char *url)
{
	const char *rest = strstr(url, "://");
	const char *at, *path, *second;

	if (strncmp(url, "postgresql://", 13) != 0 &&
	    strncmp(url, "postgres://", 11) != 0)
		return "it must begin with postgresql:// or postgres://";
	rest += 3;
	path = rest + strcspn(rest, "/");
	at = memchr(rest, '@', (size_t)(path - rest));
	second = at != NULL ? strchr(at + 1, '@') : strchr(path, '@');
	if (second != NULL && second < path + strcspn(path, "?"))
		return "an @ must be written %40 and a / must be written %2F in the "
		       "user, "
		       "the password and the database name";
	return NULL;
}

/* The items of a list with commas; an empty list is one empty item. */
static char *next_item(const char **list)
{
	size_t len;
	char *item;

	assert(*list != NULL);
	len = strcspn(*list, ",");
	item = mem_substring(*list, len);
	*list = (*list)[len] == ',' ? *list + len + 1 : NULL;
	return item;
}

static int count_items(const char *list)
{
	int n = 1;

	for (; list != NULL && *list != '\0'; list++)
		n += *list == ',';
	return n;
}

static bool good_port(const char *port)
{
	size_t len = strlen(port);
	long number = strtol(port, NULL, 10);

	if (len == 0)
		return true;
	return len <= 5 && strspn(port, "0123456789") == len && number >= 1 &&
	       number <= 65535;
}

static const char *wrong_ports(const char *ports, int hosts)
{
	bool good = true;
	int n = count_items(ports);

	while (ports != NULL) {
		char *port = next_item(&ports);

		good = good && good_port(port);
		free(port);
	}
	if (!good)
		return "a port is not a number from 1 to 65535";
	return n == 1 || n == hosts ? NULL
	                            : "it must have one port, or one for each host";
}

static const char *wrong_values(const PQconninfoOption *options)
{
	const char *address = get(options, "hostaddr");
	const char *host = get(options, "host");
	int hosts = count_items(host != NULL && *host != '\0' ? host : address);

	if (get(options, "service") != NULL)
		return "service= is not supported";
	if (hosts > PG_MAX_HOSTS)
		return "it has more than 8 hosts";
	return wrong_ports(get(options, "port"), hosts);
}

/* libpq's complaint without anything it has quoted: that may be the password. */
static char *unquoted(const char *message)
{
	const char *first = strchr(message, '"');
	const char *last = strrchr(message, '"');

	if (first == NULL)
		return mem_substring(message, strcspn(message, "\n"));
	return mem_format("%.*s\"...\"%.*s", (int)(first - message), message,
	                  (int)strcspn(last + 1, "\n"), last + 1);
}

PQconninfoOption *pg_url_parse(const char *url, char **wrong)
{
	PQconninfoOption *options = NULL;
	const char *what = wrong_shape(url);
	char *message = NULL;

	*wrong = NULL;
	if (what == NULL) {
		options = PQconninfoParse(url, &message);
		if (options == NULL)
			*wrong = unquoted(message != NULL ? message : "not understood");
		else
			what = wrong_values(options);
		PQfreemem(message);
	}
	if (what == NULL)
		return options;
	*wrong = mem_string(what);
	PQconninfoFree(options);
	return NULL;
}

char *pg_check_url(const char *url)
{
	char *wrong;

	PQconninfoFree(pg_url_parse(url, &wrong));
	return wrong;
}

static bool is_socket(const char *host)
{
	return host[0] == '\0' || host[0] == '/' || host[0] == '@';
}

/* A list of as many ports as hosts, or of one for all. */
int pg_url_targets(const PQconninfoOption *options, struct pg_target out[PG_MAX_HOSTS])
{
	const char *hosts = get(options, "host");
	const char *ports = get(options, "port");
	bool one_port = count_items(ports) == 1;
	const char *port = ports != NULL ? ports : "";
	int n = 0;

	if (hosts == NULL)
		hosts = getenv("PGHOST");
	if (hosts == NULL)
		hosts = "";
	for (; hosts != NULL && n < PG_MAX_HOSTS; n++) {
		out[n].host = next_item(&hosts);
		out[n].port = one_port ? mem_string(port) : next_item(&port);
		out[n].by_name =
		        !is_socket(out[n].host) && get(options, "hostaddr") == NULL;
	}
	return n;
}

bool pg_url_sets_timeout(const PQconninfoOption *options)
{
	const char *own = get(options, "options");

	return own != NULL && strstr(own, "statement_timeout") != NULL;
}

/* The operator's own timeout wins. */
void pg_url_add_settings(const PQconninfoOption *options, struct pg_unit *unit)
{
	if (!pg_url_sets_timeout(options))
		pg_add_once(unit, "SET statement_timeout = 30000");
	pg_add_once(unit, "SET TimeZone = 'UTC'");
	pg_add_once(unit, "SET DateStyle = 'ISO'");
	pg_add_once(unit, "SET bytea_output = 'hex'");
}

/* --- connecting -------------------------------------------------------------------- */

struct params {
	const char *keywords[MAX_PARAMS + 1], *values[MAX_PARAMS + 1];
	int n;
};

/* Of two values for one keyword libpq takes the later. */
static void put(struct params *p, const char *keyword, const char *value)
{
	assert(p->n < MAX_PARAMS);
	p->keywords[p->n] = keyword;
	p->values[p->n++] = value;
}

static void put_defaults(struct params *p)
{
	put(p, "gssencmode", "disable");
	put(p, "keepalives_idle", "10");
	put(p, "keepalives_interval", "5");
	put(p, "keepalives_count", "3");
	put(p, "tcp_user_timeout", "10000");
	put(p, "target_session_attrs", "read-write");
	put(p, "client_encoding", "UTF8");
}

PGconn *pg_url_connect(const PQconninfoOption *options, const char *name,
                       const struct pg_place *places, int n, int first)
{
	struct text hosts = {0}, addresses = {0}, ports = {0};
	char *application = mem_format("chromatid-%s", name);
	struct params p = {.n = 0};
	PGconn *pq;

	for (int i = 0; i < n; i++) {
		const struct pg_place *place = &places[(first + i) % n];
		const char *comma = i > 0 ? "," : "";

		text_addf(&hosts, "%s%s", comma, place->target->host);
		text_addf(&addresses, "%s%s", comma, place->address);
		text_addf(&ports, "%s%s", comma, place->target->port);
	}
	put_defaults(&p);
	for (const PQconninfoOption *o = options; o->keyword != NULL; o++)
		if (o->val != NULL)
			put(&p, o->keyword, o->val);
	put(&p, "application_name", application);
	if (get(options, "hostaddr") == NULL) {
		put(&p, "host", text_string(&hosts));
		put(&p, "port", text_string(&ports));
		put(&p, "hostaddr", text_string(&addresses));
	}
	pq = PQconnectStartParams(p.keywords, p.values, 0);
	text_clear(&hosts);
	text_clear(&addresses);
	text_clear(&ports);
	free(application);
	return pq;
}

/* --- saying ------------------------------------------------------------------------ */

static void mask(struct text *t, const char *secret)
{
	struct text masked = {0};
	const char *s = text_string(t), *hit;

	if (secret == NULL || *secret == '\0')
		return;
	for (; (hit = strstr(s, secret)) != NULL; s = hit + strlen(secret)) {
		text_add(&masked, s, (size_t)(hit - s));
		text_adds(&masked, "***");
	}
	text_adds(&masked, s);
	text_clear(t);
	*t = masked;
}

static bool is_blank(char c)
{
	return c != '\0' && strchr(" \t\r\n", c) != NULL;
}

/* libpq writes several lines, one for each address it has tried. */
static char *one_line(const char *s)
{
	char *out = mem_alloc(MAX_MESSAGE + 1);
	size_t len = 0;

	while (is_blank(*s))
		s++;
	for (; *s != '\0' && len < MAX_MESSAGE; s++)
		if (!is_blank(*s))
			out[len++] = *s;
		else if (s[1] != '\0' && !is_blank(s[1]))
			out[len++] = ' ';
	return out;
}

char *pg_url_redact(const PQconninfoOption *options, const char *text)
{
	struct text masked = {0};
	char *line;

	text_adds(&masked, text);
	mask(&masked, get(options, "password"));
	mask(&masked, get(options, "sslpassword"));
	mask(&masked, getenv("PGPASSWORD"));
	line = one_line(text_string(&masked));
	text_clear(&masked);
	return line;
}
