#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "http/exchange.h"
#include "http/server_private.h"

static enum access_need need(const char *method, const char *target)
{
	enum access_need found;
	struct route r;

	route_parse(&r, method, target);
	found = access_need(&r);
	route_clear(&r);
	return found;
}

/* {t} -> t, ...: as in the table. */
static void fill(const char *pattern, char *out)
{
	for (; *pattern != '\0'; pattern++) {
		*out++ = *pattern == '{' ? 'x' : *pattern;
		if (*pattern == '{')
			pattern = strchr(pattern, '}');
	}
	*out = '\0';
}

/* What is below /api/ is judged without its need while clients need no token. */
static void nothing_below_api_is_for_administrators(void **state)
{
	const char *method, *path, *op;
	enum route_kind kind;
	char target[256];

	(void)state;
	for (size_t i = 0; route_row(i, &method, &path, &kind, &op) != 0; i++) {
		fill(path, target);
		if (strncmp(path, "/api/", 5) == 0)
			assert_true(need(method, target) < ACCESS_ADMIN);
	}
}

static void what_is_ours_is_for_administrators_unless_it_is_said(void **state)
{
	const char *method, *path, *op;
	enum route_kind kind;
	char target[256];
	unsigned n = 0;

	(void)state;
	for (size_t i = 0; route_row(i, &method, &path, &kind, &op) != 0; i++) {
		fill(path, target);
		n += route_is_ours(kind) && need(method, target) < ACCESS_ADMIN;
	}
	/* /health*3, /ready*2, /status*3, /wal/status, /metrics, mappings*2, /ui */
	assert_int_equal(n, 13);
}

#define DB "/api/v2/tenants/t/databases/d"

static void a_method_alone_decides_nothing(void **state)
{
	(void)state;
	assert_int_equal(need("POST", DB "/collections/c/get"), ACCESS_READ);
	assert_int_equal(need("POST", DB "/collections/c/query"), ACCESS_READ);
	assert_int_equal(need("POST", DB "/collections/c/search"), ACCESS_READ);
	assert_int_equal(need("POST", DB "/collections/c/delete"), ACCESS_WRITE);
	assert_int_equal(need("POST", DB "/collections/c/fork"), ACCESS_WRITE);
	assert_int_equal(need("PATCH", "/api/v2/tenants/t"), ACCESS_WRITE);
	assert_int_equal(need("POST", "/api/v2/reset"), ACCESS_WRITE);
	assert_int_equal(need("GET", DB "/collections"), ACCESS_READ);
	assert_int_equal(need("HEAD", "/admin/verify"), ACCESS_ADMIN);
	assert_int_equal(need("GET", "/nowhere"), ACCESS_READ);
	assert_int_equal(need("PUT", "/health"), ACCESS_READ);
	assert_int_equal(need("GET", "/health"), ACCESS_OPEN);
	assert_int_equal(need("GET", "/status?realtime=true"), ACCESS_LOOK);
}

/* --- may it? ------------------------------------------------------------------------ */

static char reader[] = "reader", writer[] = "writer", admin[] = "admin",
            proxies[] = "127.0.0.9, 10.0.0.0/8";

static const struct conf open_to_all,
        locked = {.read_token = reader, .api_token = writer, .admin_token = admin},
        behind = {.trusted_proxies = proxies};

/* As it would be asked: "name: value" lines, from that address. */
static enum access_answer asked(const char *from, const char *method, const char *target,
                                const char *const *fields)
{
	struct client c = {.loopback = strncmp(from, "127.", 4) == 0};
	struct request_head head = {.target = (char *)(uintptr_t)target};
	enum access_answer answer;

	strcpy(c.address, from);
	strcpy(head.method, method);
	for (; fields != NULL && *fields != NULL; fields++) {
		size_t len = strcspn(*fields, ":");

		headers_addn(&head.headers, *fields, len, *fields + len + 2,
		             strlen(*fields + len + 2));
	}
	answer = access_judge(&c, &head);
	headers_clear(&head.headers);
	return answer;
}

#define FIELDS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define JSON "content-type: application/json"
#define ITEMS DB "/collections/c"

static void each_token_may_do_so_much(void **state)
{
	static const struct {
		const char *token;
		enum access_answer look, read, write, administer;
	} rows[] = {
	        {"wrong", ACCESS_GRANTED, ACCESS_UNKNOWN, ACCESS_UNKNOWN, ACCESS_UNKNOWN},
	        {"", ACCESS_GRANTED, ACCESS_UNKNOWN, ACCESS_UNKNOWN, ACCESS_UNKNOWN},
	        {"reader", ACCESS_GRANTED, ACCESS_GRANTED, ACCESS_TOO_LITTLE,
	         ACCESS_TOO_LITTLE},
	        {"writer", ACCESS_GRANTED, ACCESS_GRANTED, ACCESS_GRANTED,
	         ACCESS_TOO_LITTLE},
	        {"admin", ACCESS_GRANTED, ACCESS_GRANTED, ACCESS_GRANTED, ACCESS_GRANTED},
	        {"admi", ACCESS_GRANTED, ACCESS_UNKNOWN, ACCESS_UNKNOWN, ACCESS_UNKNOWN},
	        {"admins", ACCESS_GRANTED, ACCESS_UNKNOWN, ACCESS_UNKNOWN,
	         ACCESS_UNKNOWN},
	};

	(void)state;
	access_start(&locked);
	for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
		char field[64] = "x-api-key: ";
		const char *const fields[] = {strcat(field, rows[k].token), NULL};

		assert_int_equal(asked("127.0.0.1", "GET", "/status", fields),
		                 rows[k].look);
		assert_int_equal(asked("127.0.0.1", "POST", ITEMS "/get", fields),
		                 rows[k].read);
		assert_int_equal(asked("127.0.0.1", "POST", ITEMS "/add", fields),
		                 rows[k].write);
		assert_int_equal(asked("127.0.0.1", "GET", "/admin/config", fields),
		                 rows[k].administer);
	}
}

static void a_token_has_many_forms(void **state)
{
	static const char *const good[] = {
	        "authorization: Bearer writer",
	        "Authorization: bearer  writer",
	        "x-chroma-token: writer",
	        "X-Chroma-Token: Bearer writer",
	        "x-api-key: writer",
	        "authorization: Basic dTp3cml0ZXI=",
	        "authorization: Basic d3JpdGVy", /* "writer" alone */
	};
	static const char *const bad[] = {
	        "authorization: writer",
	        "authorization: Bearer",
	        "authorization: Bearer writerx",
	        "authorization: Digest writer",
	        "authorization: Basic writer",
	        "authorization: Basic dTp3cml0ZXI",
	        "authorization: Basic ====",
	        "cookie: writer",
	        "x-api-key: Writer",
	        "authorization: Basic ",
	};

	(void)state;
	access_start(&locked);
	for (size_t k = 0; k < sizeof(good) / sizeof(good[0]); k++)
		assert_int_equal(asked("1.2.3.4", "POST", ITEMS "/add", FIELDS(good[k])),
		                 ACCESS_GRANTED);
	for (size_t k = 0; k < sizeof(bad) / sizeof(bad[0]); k++)
		assert_int_equal(asked("1.2.3.4", "POST", ITEMS "/add", FIELDS(bad[k])),
		                 ACCESS_UNKNOWN);
	assert_int_equal(asked("1.2.3.4", "GET", "/admin/config",
	                       FIELDS("x-api-key: reader", "x-chroma-token: admin")),
	                 ACCESS_GRANTED);
}

static void without_tokens_administration_is_for_this_machine(void **state)
{
	static const char *const elsewhere[] = {
	        "x-forwarded-for: 127.0.0.1", "forwarded: for=127.0.0.1",
	        "x-real-ip: 127.0.0.1",       "x-forwarded-for: ",
	        "host: evil.example",         "host: localhost.evil.example",
	        "host: 127.0.0.1.evil",       "host: :8000",
	};
	static const char *const here[] = {"host: localhost", "host: 127.0.0.1:8000",
	                                   "host: [::1]:8000", "host: a.localhost"};

	(void)state;
	access_start(&open_to_all);
	assert_int_equal(asked("1.2.3.4", "POST", ITEMS "/add", NULL), ACCESS_GRANTED);
	assert_int_equal(asked("127.0.0.1", "GET", "/admin/config", NULL),
	                 ACCESS_GRANTED);
	assert_int_equal(asked("1.2.3.4", "GET", "/admin/config", NULL), ACCESS_NOT_HERE);
	for (size_t k = 0; k < sizeof(elsewhere) / sizeof(elsewhere[0]); k++)
		assert_int_equal(
		        asked("127.0.0.1", "GET", "/admin/config", FIELDS(elsewhere[k])),
		        ACCESS_NOT_HERE);
	for (size_t k = 0; k < sizeof(here) / sizeof(here[0]); k++)
		assert_int_equal(
		        asked("127.0.0.1", "GET", "/admin/config", FIELDS(here[k])),
		        ACCESS_GRANTED);
	assert_int_equal(asked("127.0.0.1", "POST", "/admin/verify", NULL),
	                 ACCESS_NOT_TYPED);
	assert_int_equal(asked("127.0.0.1", "POST", "/admin/verify",
	                       FIELDS("content-type: text/plain")),
	                 ACCESS_NOT_TYPED);
	assert_int_equal(asked("127.0.0.1", "POST", "/admin/verify", FIELDS(JSON)),
	                 ACCESS_GRANTED);
}

static void a_proxy_that_is_listed_is_never_this_machine(void **state)
{
	(void)state;
	access_start(&behind);
	assert_int_equal(asked("127.0.0.1", "GET", "/admin/config", NULL),
	                 ACCESS_GRANTED);
	assert_int_equal(asked("127.0.0.9", "GET", "/admin/config", NULL),
	                 ACCESS_NOT_HERE);
	assert_int_equal(asked("127.0.0.9", "GET", "/admin/config",
	                       FIELDS("x-forwarded-for: 127.0.0.1")),
	                 ACCESS_NOT_HERE);
	assert_int_equal(asked("127.0.0.9", "POST", ITEMS "/add", NULL), ACCESS_GRANTED);
}

static void the_status_can_be_locked_health_cannot(void **state)
{
	struct conf conf = locked;

	(void)state;
	conf.status_auth = true;
	access_start(&conf);
	assert_int_equal(asked("127.0.0.1", "GET", "/status", NULL), ACCESS_UNKNOWN);
	assert_int_equal(asked("127.0.0.1", "GET", "/metrics", NULL), ACCESS_UNKNOWN);
	assert_int_equal(
	        asked("127.0.0.1", "GET", "/status", FIELDS("x-api-key: reader")),
	        ACCESS_GRANTED);
	assert_int_equal(asked("127.0.0.1", "GET", "/health", NULL), ACCESS_GRANTED);
	assert_int_equal(asked("127.0.0.1", "GET", "/ready", NULL), ACCESS_GRANTED);
}

/* --- browsers ----------------------------------------------------------------------- */

static const char *allowed(const char *origins, const char *method, const char *target,
                           const char *const *fields)
{
	static char found[64];
	struct request_head head = {.target = (char *)(uintptr_t)target};
	struct headers answer = {0};
	struct refusal out = {.http = 0};
	const struct headers *where = &answer;

	cors_start(origins);
	strcpy(head.method, method);
	for (; *fields != NULL; fields++) {
		size_t len = strcspn(*fields, ":");

		headers_addn(&head.headers, *fields, len, *fields + len + 2,
		             strlen(*fields + len + 2));
	}
	if (cors_preflight(&head, &out))
		where = &out.headers;
	else
		cors_add(&head, &answer);
	assert_true(out.http == 0 || out.http == 204);
	snprintf(found, sizeof(found), "%d %s", out.http,
	         headers_get(where, "access-control-allow-origin") != NULL
	                 ? headers_get(where, "access-control-allow-origin")
	                 : "-");
	headers_clear(&head.headers);
	headers_clear(&answer);
	headers_clear(&out.headers);
	cors_start(NULL);
	return found;
}

#define PAGE "origin: https://a.example"
#define WANTS_POST "access-control-request-method: POST"
#define LIST "https://b.example, https://a.example"

static void a_page_that_is_listed_may_use_the_api(void **state)
{
	(void)state;
	assert_string_equal(allowed(LIST, "GET", ITEMS, FIELDS(PAGE)),
	                    "0 https://a.example");
	assert_string_equal(
	        allowed(LIST, "OPTIONS", ITEMS "/add", FIELDS(PAGE, WANTS_POST)),
	        "204 https://a.example");
	assert_string_equal(allowed("*", "GET", ITEMS, FIELDS(PAGE)), "0 *");
}

static void another_page_may_not(void **state)
{
	static const char *const others[] = {
	        "origin: https://c.example",
	        "origin: http://a.example",
	        "origin: https://a.example:80",
	        "origin: null",
	        "origin: https://a.example.evil",
	        "origin: https://a.example, https://c.example",
	        "referer: https://a.example",
	};

	(void)state;
	for (size_t k = 0; k < sizeof(others) / sizeof(others[0]); k++) {
		assert_string_equal(allowed(LIST, "GET", ITEMS, FIELDS(others[k])),
		                    "0 -");
		assert_string_equal(allowed(LIST, "OPTIONS", ITEMS "/add",
		                            FIELDS(others[k], WANTS_POST)),
		                    "0 -");
	}
	assert_string_equal(allowed(NULL, "GET", ITEMS, FIELDS(PAGE)), "0 -");
	assert_string_equal(allowed(LIST, "OPTIONS", ITEMS "/add", FIELDS(PAGE)),
	                    "0 https://a.example"); /* no question */
}

/* The question is answered no: with a 405, whatever else it says. */
static void no_page_administers(void **state)
{
	(void)state;
	assert_string_equal(allowed("*", "GET", "/admin/config", FIELDS(PAGE)), "0 -");
	assert_memory_equal(
	        allowed("*", "OPTIONS", "/admin/verify", FIELDS(PAGE, WANTS_POST)), "0 ",
	        2);
	assert_memory_equal(
	        allowed("*", "OPTIONS", "/wal/cleanup", FIELDS(PAGE, WANTS_POST)), "0 ",
	        2);
}

/* --- protected collections ---------------------------------------------------------- */

static char kept[] = "global, kept";

static void no_scope(struct scope *s)
{
	(void)s;
}

static void what_is_protected_is_found_wherever_it_is(void **state)
{
	const struct conf conf = {.protected_collections = kept};
	struct database *one, *two;
	struct collection *c;

	(void)state;
	exchange_conf = &conf;
	assert_true(protect_covers("global"));
	assert_true(protect_covers("kept"));
	assert_false(protect_covers("Global"));
	assert_false(protect_covers("global,"));
	assert_false(protect_covers("glob"));
	catalogue_start(no_scope);
	one = catalogue_add_database(1, "t", "one", LIFE_LIVE);
	two = catalogue_add_database(2, "t", "two", LIFE_LIVE);
	catalogue_add_collection(3, one, "free", LIFE_LIVE);
	assert_null(protect_anywhere());
	c = catalogue_add_collection(4, two, "kept", LIFE_LIVE);
	assert_null(protect_in(one));
	assert_ptr_equal(protect_in(two), c);
	assert_ptr_equal(protect_anywhere(), c);
	collection_hold(c);
	collection_set_gone(c);
	assert_null(protect_anywhere());
	collection_release(&c);
	catalogue_stop();
	exchange_conf = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(nothing_below_api_is_for_administrators),
	        cmocka_unit_test(what_is_ours_is_for_administrators_unless_it_is_said),
	        cmocka_unit_test(a_method_alone_decides_nothing),
	        cmocka_unit_test(each_token_may_do_so_much),
	        cmocka_unit_test(a_token_has_many_forms),
	        cmocka_unit_test(without_tokens_administration_is_for_this_machine),
	        cmocka_unit_test(a_proxy_that_is_listed_is_never_this_machine),
	        cmocka_unit_test(the_status_can_be_locked_health_cannot),
	        cmocka_unit_test(a_page_that_is_listed_may_use_the_api),
	        cmocka_unit_test(another_page_may_not),
	        cmocka_unit_test(no_page_administers),
	        cmocka_unit_test(what_is_protected_is_found_wherever_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
