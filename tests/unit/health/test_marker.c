/* Who is it that answers there? One instance on virtual time, with a store of markers,
 * and a registrar that says what the test says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "health/health_private.h"
#include "tests/lib/fake_time.h"
#include "tests/lib/fake_upstream.h"

#define ID "1b4e28ba-2fa1-41d2-883f-0016d3cca427"
#define ONE "11111111-0000-4000-8000-000000000000"
#define TWO "22222222-0000-4000-8000-000000000000"
#define MOST 64

static char name[] = "primary", url[] = "a.test:8000";

static const struct conf usual = {
        .instances = {{name, url}},
        .n_instances = 1,
        .check_interval = 1000,
        .check_timeout = 1000,
        .failure_threshold = 2,
        .recovery_threshold = 2,
        .connect_timeout = 2000,
        .connection_pool_size = 20,
};

enum answer { LET_IN, REFUSE, LATER, MARK, SILENT };

static struct {
	struct conf conf;
	struct instance *in;
	bool made, down, hangs, open;
	int get_http, write_http; /* 0: as it should be */
	char *ids[MOST], *metadata[MOST];
	size_t n;
	unsigned asked, deleted;
	/* the registrar */
	enum answer answer;
	bool writes, distrusts;
	int64_t beat;
	struct marker found, wrote;
	unsigned judged, forgotten, written;
	bool good;
} w;

/* --- the server --------------------------------------------------------------------- */

static struct json_slice member(const struct call *call, const char *key)
{
	return json_member(json_whole(blob_bytes(call->body), blob_len(call->body)), key);
}

static struct json_slice first(struct json_slice list)
{
	struct json_walk walk = json_walk(list);

	return json_step(&walk) ? walk.value : (struct json_slice){NULL, 0};
}

static void put(struct json_slice id, struct json_slice metadata)
{
	size_t k = 0;

	while (k < w.n && !json_text_is(id, w.ids[k]))
		k++;
	if (k == w.n) {
		assert_true(w.n < MOST);
		w.ids[w.n++] = json_text(id, NULL);
	}
	free(w.metadata[k]);
	w.metadata[k] = metadata.at != NULL ? mem_substring(metadata.at, metadata.len)
	                                    : mem_string("null");
}

static void remove_items(struct json_slice ids)
{
	struct json_walk walk = json_walk(ids);

	while (json_step(&walk))
		for (size_t k = 0; k < w.n; k++) {
			if (!json_text_is(walk.value, w.ids[k]))
				continue;
			free(w.ids[k]);
			free(w.metadata[k]);
			w.n--;
			w.ids[k] = w.ids[w.n];
			w.metadata[k] = w.metadata[w.n];
			w.ids[w.n] = w.metadata[w.n] = NULL;
			w.deleted++;
		}
}

static void answer_items(struct fake_call *c)
{
	struct text out = {0};

	text_adds(&out, "{\"ids\":[");
	for (size_t k = 0; k < w.n; k++)
		text_addf(&out, "%s\"%s\"", k > 0 ? "," : "", w.ids[k]);
	text_adds(&out, "],\"metadatas\":[");
	for (size_t k = 0; k < w.n; k++)
		text_addf(&out, "%s%s", k > 0 ? "," : "", w.metadata[k]);
	text_adds(&out, "]}");
	fake_call_answer(c, 200, text_string(&out));
	text_clear(&out);
}

static void serve(struct fake_call *c, const struct call *call)
{
	const char *verb = strrchr(call->target, '/') + 1;
	bool reads = strcmp(call->method, "GET") == 0 || strcmp(verb, "get") == 0;

	w.asked += reads;
	if (reads && w.get_http != 0)
		fake_call_answer(c, w.get_http, "{}");
	else if (!reads && w.write_http != 0)
		fake_call_answer(c, w.write_http, "{}");
	else if (strstr(call->target, "/collections/") != NULL && !w.made)
		fake_call_answer(c, 404, "{}");
	else if (strcmp(verb, "get") == 0)
		answer_items(c);
	else if (strcmp(verb, "upsert") == 0) {
		put(first(member(call, "ids")), first(member(call, "metadatas")));
		fake_call_answer(c, 200, "{}");
	} else if (strcmp(verb, "delete") == 0) {
		remove_items(member(call, "ids"));
		fake_call_answer(c, 200, "{}");
	} else {
		w.made = w.made || strcmp(verb, "collections") == 0;
		fake_call_answer(c, 200, "{\"id\":\"" ID "\"}");
	}
}

static void take(void *arg, struct fake_call *c, const struct call *call)
{
	(void)arg;
	if (w.down)
		fake_call_fail(c, STATUS_REFUSED, "");
	else if (strcmp(call->target, "/api/v2/tenants/default_tenant") == 0)
		fake_call_answer(c, 200, "{}");
	else if (!w.hangs)
		serve(c, call);
}

static void gone(void *arg, struct fake_call *c)
{
	(void)arg;
	(void)c;
}

static const struct fake_server server = {take, gone};

/* --- the registrar ------------------------------------------------------------------ */

static bool judges(void)
{
	return !w.open;
}

static void judge(struct instance *in, const struct marker *found)
{
	w.judged++;
	w.found = *found;
	switch (w.answer) {
	case LET_IN:
		instance_let_in(in, "ours");
		break;
	case REFUSE:
		instance_refuse(in, "another", "it is not wanted");
		break;
	case LATER:
		instance_ask_again(in);
		break;
	case MARK:
		instance_mark(in);
		break;
	case SILENT:
		break;
	}
}

static void forget(struct instance *in)
{
	(void)in;
	w.forgotten++;
}

static bool trusts(struct instance *in, const struct marker *found)
{
	(void)in;
	w.found = *found;
	return !w.distrusts;
}

static bool next(struct instance *in, struct marker *m)
{
	(void)in;
	*m = (struct marker){true, {ONE}, {TWO}, ++w.beat};
	return w.writes;
}

static void written(struct instance *in, const struct marker *m, bool good)
{
	w.written++;
	w.wrote = *m;
	w.good = good;
	if (!instance_up(in))
		instance_let_in(in, "new");
}

static const struct registrar registrar = {judges, judge, forget, trusts, next, written};

static void start(enum answer answer)
{
	memset(&w, 0, sizeof(w));
	w.conf = usual;
	w.answer = answer;
	w.writes = true;
	log_start(getenv("CHROMATID_TEST_LOG") != NULL ? LOG_DEBUG : LOG_ERROR,
	          LOG_FORMAT_LOGFMT, NULL);
	health_start(&w.conf);
	health_identified_by(&registrar);
	w.in = health_instance(0);
	fake_serves(instance_upstream(w.in), &server, NULL);
}

static void stop(void)
{
	health_stop();
	pass_ms(0);
	for (size_t k = 0; k < w.n; k++) {
		free(w.ids[k]);
		free(w.metadata[k]);
	}
	assert_int_equal(timers_running(), 0);
}

static void bears(int64_t beat)
{
	char id[40], metadata[200];

	w.made = true;
	snprintf(id, sizeof(id), "\"marker.%lld\"", (long long)beat);
	snprintf(metadata, sizeof(metadata),
	         "{\"cluster\":\"" ONE "\",\"instance\":\"" TWO "\",\"beat\":%lld}",
	         (long long)beat);
	put(json_whole(id, strlen(id)), json_whole(metadata, strlen(metadata)));
}

/* --- what it looks like ------------------------------------------------------------- */

static bool parse(const char *metadatas, struct marker *m, size_t *items)
{
	char *json = mem_format("{\"metadatas\":%s}", metadatas);
	struct blob *b = blob_create(json, strlen(json));
	bool good = marker_parse(b, m, items);

	blob_unref(&b);
	free(json);
	return good;
}

#define ITEM(n) "{\"beat\":" n ",\"cluster\":\"" ONE "\",\"instance\":\"" TWO "\"}"

static void the_youngest_item_is_the_marker(void **state)
{
	struct marker m;
	size_t items;

	(void)state;
	assert_true(
	        parse("[null," ITEM("7") "," ITEM("9") "," ITEM("8") "]", &m, &items));
	assert_true(m.there);
	assert_int_equal(m.beat, 9);
	assert_int_equal(items, 4);
	assert_string_equal(m.cluster.text, ONE);
	assert_string_equal(m.instance.text, TWO);
}

static void what_is_no_marker_is_none(void **state)
{
	static const char *const none[] = {
	        "[]",
	        "[null]",
	        "[{}]",
	        "[{\"beat\":3}]",
	        "[" ITEM("-4") "]",
	        "[" ITEM("\"3\"") "]",
	        "[{\"beat\":3,\"cluster\":\"x\",\"instance\":\"" TWO "\"}]",
	};
	struct marker m;
	size_t items;

	(void)state;
	for (size_t k = 0; k < sizeof(none) / sizeof(none[0]); k++) {
		assert_true(parse(none[k], &m, &items));
		assert_false(m.there);
	}
	assert_false(parse("{}", &m, &items));
	assert_false(parse("null", &m, &items));
	assert_false(parse("[", &m, &items));
}

static void what_is_written_is_read(void **state)
{
	struct marker m = {true, {ONE}, {TWO}, 42}, read;
	struct text body = {0};
	struct blob *b;
	size_t items;

	(void)state;
	marker_add_body(&body, &m, 40);
	assert_non_null(strstr(text_string(&body), "\"ids\":[\"marker.40\"]"));
	b = blob_create(body.s, body.len);
	assert_true(marker_parse(b, &read, &items));
	assert_memory_equal(&m, &read, sizeof(m));
	blob_unref(&b);
	text_clear(&body);
}

/* --- coming up ---------------------------------------------------------------------- */

static void it_is_up_when_the_registrar_says_so(void **state)
{
	(void)state;
	start(SILENT);
	bears(5);
	pass_ms(5000);
	assert_int_equal(w.judged, 1);
	assert_int_equal(w.found.beat, 5);
	assert_int_equal(instance_health(w.in), HEALTH_UNKNOWN);
	instance_let_in(w.in, "ours");
	assert_true(instance_up(w.in));
	assert_string_equal(instance_figures(w.in).identity, "ours");
	stop();
}

static void it_is_let_in_while_nobody_judges_and_asked_when_somebody_does(void **state)
{
	(void)state;
	start(LET_IN);
	w.open = true;
	pass_ms(100);
	assert_true(instance_up(w.in));
	assert_int_equal(w.judged, 0);
	w.open = false;
	health_identify_all();
	assert_int_equal(instance_health(w.in), HEALTH_UNKNOWN);
	pass_ms(10);
	assert_true(instance_up(w.in));
	assert_int_equal(w.judged, 1);
	stop();
}

static void one_that_bears_none_is_judged_too(void **state)
{
	(void)state;
	start(LET_IN);
	pass_ms(10);
	assert_int_equal(w.judged, 1);
	assert_false(w.found.there);
	assert_true(instance_up(w.in));
	stop();
}

static void one_that_is_refused_is_down_and_asked_again(void **state)
{
	(void)state;
	start(REFUSE);
	pass_ms(30000);
	assert_int_equal(instance_health(w.in), HEALTH_DOWN);
	assert_true(health_known());
	assert_string_equal(instance_figures(w.in).reason, "it is not wanted");
	assert_in_range(w.judged, 8, 12);
	assert_int_equal(w.n, 0); /* nothing is written there */
	w.answer = LET_IN;
	pass_ms(3500);
	assert_true(instance_up(w.in));
	stop();
}

static void one_that_cannot_be_said_now_is_asked_again_soon(void **state)
{
	(void)state;
	start(LATER);
	pass_ms(1000);
	assert_in_range(w.judged, 3, 6);
	assert_int_equal(instance_health(w.in), HEALTH_UNKNOWN);
	stop();
}

static void one_that_cannot_be_asked_is_not_let_in(void **state)
{
	static const int https[] = {500, 503, 401, 400};

	(void)state;
	for (size_t k = 0; k <= sizeof(https) / sizeof(https[0]); k++) {
		start(LET_IN);
		bears(5);
		if (k < sizeof(https) / sizeof(https[0]))
			w.get_http = https[k];
		else
			w.hangs = true;
		pass_ms(20000);
		assert_int_equal(instance_health(w.in), HEALTH_DOWN);
		assert_string_equal(instance_figures(w.in).identity, "unreadable");
		assert_int_equal(w.judged, 0);
		w.get_http = 0;
		w.hangs = false;
		pass_ms(6000);
		assert_true(instance_up(w.in));
		stop();
	}
}

static void what_was_asked_is_void_when_it_goes(void **state)
{
	(void)state;
	start(SILENT);
	pass_ms(10);
	w.down = true;
	pass_ms(5000);
	assert_int_equal(w.forgotten, 1);
	assert_int_equal(instance_health(w.in), HEALTH_DOWN);
	w.down = false;
	pass_ms(2000);
	assert_int_equal(w.judged, 2);
	stop();
}

static void it_is_marked_before_it_is_let_in(void **state)
{
	(void)state;
	start(MARK);
	w.beat = 6;
	pass_ms(10);
	assert_true(instance_up(w.in));
	assert_true(w.good && w.written >= 1);
	assert_true(w.n == 1 || w.n == 2);
	assert_string_equal(w.ids[0], "marker.7");
	stop();
	start(MARK);
	w.write_http = 500;
	pass_ms(10);
	assert_int_equal(w.written, 1);
	assert_false(w.good);
	stop();
}

/* --- while it is up ----------------------------------------------------------------- */

static void start_up(void)
{
	start(LET_IN);
	bears(5);
	w.beat = 5;
	pass_ms(1000);
	assert_true(instance_writable(w.in));
}

static void each_canary_writes_the_next_beat(void **state)
{
	int64_t before;

	(void)state;
	start_up();
	before = w.beat;
	pass_ms(50000);
	assert_in_range(w.beat, before + 4, before + 6);
	assert_int_equal(w.wrote.beat, w.beat);
	assert_int_equal(w.n, 2); /* one item for the whole series */
	stop();
}

static void it_looks_before_it_writes(void **state)
{
	int64_t before;

	(void)state;
	start_up();
	w.distrusts = true;
	w.answer = SILENT;
	before = w.beat;
	pass_ms(12000);
	assert_int_equal(instance_health(w.in), HEALTH_DOWN);
	assert_int_equal(w.beat, before);
	assert_int_equal(w.judged, 2);
	stop();
}

static void one_that_is_gone_is_not_made_anew_unless_that_is_known(void **state)
{
	(void)state;
	start_up();
	w.made = false;
	w.distrusts = true;
	w.answer = SILENT;
	pass_ms(12000);
	assert_int_equal(instance_health(w.in), HEALTH_DOWN);
	assert_false(w.made);
	stop();
	start_up();
	w.made = false;
	pass_ms(12000);
	assert_true(instance_up(w.in) && w.made);
	stop();
}

static void one_that_lacks_something_is_looked_at_at_once(void **state)
{
	(void)state;
	start_up();
	pass_ms(3000);
	w.distrusts = true;
	w.answer = SILENT;
	instance_look(w.in);
	pass_ms(10);
	assert_int_equal(instance_health(w.in), HEALTH_DOWN);
	stop();
}

static void one_held_up_on_its_way_does_not_make_it_older(void **state)
{
	struct marker m;
	size_t items;
	struct text all = {0};

	(void)state;
	start_up();
	pass_ms(20000);
	w.hangs = true; /* a beat is lost on its way ... */
	pass_ms(30000);
	w.hangs = false;
	pass_ms(60000);
	assert_true(instance_writable(w.in));
	for (size_t k = 0; k < w.n; k++)
		text_addf(&all, "%s%s", k > 0 ? "," : "[", w.metadata[k]);
	text_addc(&all, ']');
	assert_true(parse(text_string(&all), &m, &items));
	assert_int_equal(m.beat, w.beat);
	assert_true(w.n >= 3); /* ... and cannot overwrite what was written since */
	text_clear(&all);
	stop();
}

static void items_of_former_series_are_swept(void **state)
{
	(void)state;
	start(LET_IN);
	for (int64_t beat = 0; beat < 30; beat++)
		bears(beat);
	w.beat = 30;
	pass_ms(1000);
	assert_true(instance_up(w.in));
	assert_int_equal(w.deleted, 30);
	assert_int_equal(w.n, 1);
	pass_ms(30000);
	assert_int_equal(w.n, 1);
	stop();
}

static void who_does_not_write_it_writes_something_else(void **state)
{
	(void)state;
	start(LET_IN);
	bears(5);
	w.writes = false;
	pass_ms(30000);
	assert_int_equal(w.written, 0);
	assert_int_equal(w.n, 2);
	assert_string_equal(w.ids[1], "canary");
	assert_true(instance_writable(w.in));
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_youngest_item_is_the_marker),
	        cmocka_unit_test(what_is_no_marker_is_none),
	        cmocka_unit_test(what_is_written_is_read),
	        cmocka_unit_test(it_is_up_when_the_registrar_says_so),
	        cmocka_unit_test(
	                it_is_let_in_while_nobody_judges_and_asked_when_somebody_does),
	        cmocka_unit_test(one_that_bears_none_is_judged_too),
	        cmocka_unit_test(one_that_is_refused_is_down_and_asked_again),
	        cmocka_unit_test(one_that_cannot_be_said_now_is_asked_again_soon),
	        cmocka_unit_test(one_that_cannot_be_asked_is_not_let_in),
	        cmocka_unit_test(what_was_asked_is_void_when_it_goes),
	        cmocka_unit_test(it_is_marked_before_it_is_let_in),
	        cmocka_unit_test(each_canary_writes_the_next_beat),
	        cmocka_unit_test(it_looks_before_it_writes),
	        cmocka_unit_test(one_that_is_gone_is_not_made_anew_unless_that_is_known),
	        cmocka_unit_test(one_that_lacks_something_is_looked_at_at_once),
	        cmocka_unit_test(one_held_up_on_its_way_does_not_make_it_older),
	        cmocka_unit_test(items_of_former_series_are_swept),
	        cmocka_unit_test(who_does_not_write_it_writes_something_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
