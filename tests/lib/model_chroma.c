/* tests/lib/model_chroma.c - the door: calls, their faults, and when they are executed.
 * What they do is in model_chroma_content.c. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "core/json_scan.h"
#include "core/mem.h"
#include "core/timer.h"
#include "tests/lib/fake_random.h"
#include "tests/lib/fake_upstream.h"
#include "tests/lib/model_chroma_content.h"

/* One call under way. */
struct visit {
	struct model *m;
	struct fake_call *call; /* NULL: whoever asked has gone */
	char *method, *target;
	struct blob *body;
	enum fault fault;
	bool executed, late;
	int http;
	struct text answer;
	struct timer due;
	TAILQ_ENTRY(visit) link;
};

struct marker_store {
	bool made; /* its collection */
	char **ids, **metadata;
	size_t n;
};

struct model {
	struct content *content, *saved;
	struct marker_store marker_items, marker_saved;
	int marker_http;
	bool hides, no_marker;
	struct text marker;
	bool down, wedged;
	msec latency, busy_until;
	enum fault fault;
	unsigned times, calls;
	char *deadly;
	msec restarts;
	struct timer restart;
	unsigned deaths, lates;
	struct model_closed closed;
	enum fault (*ask)(void *arg);
	void *ask_arg;
	TAILQ_HEAD(, visit) visits;
};

/* --- a visit
 * ---------------------------------------------------------------------------- */

static void visit_free(struct visit *v)
{
	timer_stop(&v->due);
	TAILQ_REMOVE(&v->m->visits, v, link);
	blob_unref(&v->body);
	text_clear(&v->answer);
	free(v->method);
	free(v->target);
	free(v);
}

static void fail(struct visit *v, enum status s, const char *why)
{
	struct fake_call *call = v->call;

	visit_free(v);
	if (call != NULL)
		fake_call_fail(call, s, why);
}

static void answer(struct visit *v, int http, const char *body)
{
	if (v->call != NULL)
		fake_call_answer(v->call, http, body);
	v->call = NULL;
	visit_free(v);
}

static bool executes(enum fault f)
{
	return f == FAULT_NONE || f == FAULT_LOST_AFTER || f == FAULT_500_AFTER ||
	       f == FAULT_503_AFTER || f == FAULT_HANG_AFTER;
}

static bool writes(const struct visit *v)
{
	size_t len = strlen(v->target);

	return strcmp(v->method, "GET") != 0 &&
	       !(len > 4 && strcmp(v->target + len - 4, "/get") == 0) &&
	       !(len > 6 && strcmp(v->target + len - 6, "/query") == 0);
}

static bool is_item_write(const struct visit *v)
{
	return strcmp(v->method, "POST") == 0 &&
	       strstr(v->target, "/collections/") != NULL;
}

static void forget_marker(struct marker_store *s);

static void execute(struct visit *v)
{
	if (v->m->wedged && writes(v)) {
		v->http = 500;
		text_adds(&v->answer,
		          "{\"error\":\"InternalError\",\"message\":\"wedged\"}");
		return;
	}
	v->m->lates += v->late;
	v->http = content_execute(v->m->content, v->method, v->target,
	                          blob_bytes(v->body), blob_len(v->body), &v->answer);
	if (strcmp(v->target, "/api/v2/reset") == 0 && v->http == 200)
		forget_marker(&v->m->marker_items);
}

static bool kills(const struct visit *v)
{
	const char *marker = v->m->deadly;

	return marker != NULL && executes(v->fault) && blob_len(v->body) > 0 &&
	       memmem(blob_bytes(v->body), blob_len(v->body), marker, strlen(marker)) !=
	               NULL;
}

static void die(struct model *m);

static void on_due(void *arg);

/* In its place: what is sent from now on comes behind it. */
static void is_slow(struct visit *v)
{
	msec due = v->m->busy_until, now = clock_ms();

	due = (due > now ? due : now) + chance_below(100);
	v->m->busy_until = due;
	timer_start(&v->due, due - now, on_due, v);
}

/* Something in front of the instance has it, and will hand it over. */
static bool will_be_late(const struct visit *v)
{
	const struct model_closed *how = &v->m->closed;
	enum late kind = is_item_write(v) ? LATE_ITEMS : LATE_CATALOGUE;

	return writes(v) && (how->kinds & kind) != 0 && chance_of(how->late);
}

static void is_late(struct visit *v)
{
	const struct model_closed *how = &v->m->closed;

	v->late = true;
	v->call = NULL;
	v->fault = FAULT_NONE;
	timer_start(&v->due,
	            how->late_least + chance_below(how->late_most - how->late_least + 1),
	            on_due, v);
}

static void goes_on_there(struct visit *v)
{
	const struct model_closed *how = &v->m->closed;

	if (!chance_of(how->executed))
		visit_free(v);
	else if (how->slow > 0 && chance_of(how->slow))
		is_slow(v);
}

/* The connection breaks. */
static void lose(struct visit *v)
{
	struct fake_call *call = v->call;

	if (v->fault == FAULT_LOST_BEFORE && will_be_late(v))
		is_late(v);
	else
		visit_free(v);
	if (call != NULL)
		fake_call_fail(call, STATUS_BROKEN, "broken by the test");
}

static void on_due(void *arg)
{
	struct visit *v = arg;

	if (kills(v)) {
		die(v->m);
		return;
	}
	if (executes(v->fault))
		execute(v);
	v->executed = true;
	switch (v->fault) {
	case FAULT_NONE:
		answer(v, v->http, text_string(&v->answer));
		break;
	case FAULT_LOST_BEFORE:
	case FAULT_LOST_AFTER:
		lose(v);
		break;
	case FAULT_500_BEFORE:
	case FAULT_500_AFTER:
		answer(v, 500, "{\"error\":\"InternalError\",\"message\":\"test\"}");
		break;
	case FAULT_503_BEFORE:
	case FAULT_503_AFTER:
		answer(v, 503, "busy");
		break;
	default: /* hangs on: until its caller gives up */
		if (v->call == NULL)
			visit_free(v);
	}
}

/* Whoever asked has closed the connection. */
static void gone(void *arg, struct fake_call *call)
{
	struct model *m = arg;
	struct visit *v;

	TAILQ_FOREACH (v, &m->visits, link)
		if (v->call == call)
			break;
	if (v == NULL)
		return;
	v->call = NULL;
	if ((!v->executed || v->fault == FAULT_HANG_BEFORE) && will_be_late(v))
		is_late(v);
	else if (v->executed || !executes(v->fault))
		visit_free(v);
	else
		goes_on_there(v);
}

static enum fault next_fault(struct model *m)
{
	if (m->times > 0) {
		m->times--;
		return m->fault;
	}
	return m->ask != NULL ? m->ask(m->ask_arg) : FAULT_NONE;
}

static bool is_probe(const struct call *call)
{
	return strcmp(call->target, "/api/v2/tenants/default_tenant") == 0;
}

/* Writes of the health checks to a collection of their own: well as long as it is up. */
static bool is_canary(const struct call *call)
{
	static const char tenant[] = "{\"name\":\"ctd-";

	return strstr(call->target, "/tenants/ctd-") != NULL ||
	       (strcmp(call->target, "/api/v2/tenants") == 0 && call->body != NULL &&
	        blob_len(call->body) >= sizeof(tenant) - 1 &&
	        memcmp(blob_bytes(call->body), tenant, sizeof(tenant) - 1) == 0);
}

static void forget_marker(struct marker_store *s)
{
	for (size_t k = 0; k < s->n; k++) {
		free(s->ids[k]);
		free(s->metadata[k]);
	}
	free(s->ids);
	free(s->metadata);
	*s = (struct marker_store){0};
}

static void put_marker(struct marker_store *s, const char *item,
                       struct json_slice metadata)
{
	size_t k = 0;

	while (k < s->n && strcmp(s->ids[k], item) != 0)
		k++;
	if (k == s->n) {
		s->ids = mem_resize(s->ids, (s->n + 1) * sizeof(char *));
		s->metadata = mem_resize(s->metadata, (s->n + 1) * sizeof(char *));
		s->ids[k] = mem_string(item);
		s->metadata[k] = mem_string("null");
		s->n++;
	}
	if (metadata.at == NULL)
		return;
	free(s->metadata[k]);
	s->metadata[k] = mem_substring(metadata.at, metadata.len);
}

static void copy_marker(struct marker_store *to, const struct marker_store *from)
{
	forget_marker(to);
	to->made = from->made;
	for (size_t k = 0; k < from->n; k++)
		put_marker(to, from->ids[k],
		           json_whole(from->metadata[k], strlen(from->metadata[k])));
}

static void say_list(struct text *to, char *const *list, size_t n, const char *quote)
{
	text_addc(to, '[');
	for (size_t k = 0; k < n; k++)
		text_addf(to, "%s%s%s%s", k > 0 ? "," : "", quote, list[k], quote);
	text_addc(to, ']');
}

static void answer_items(const struct model *m, struct fake_call *c)
{
	struct text out = {0};

	text_adds(&out, "{\"ids\":");
	say_list(&out, m->marker_items.ids, m->marker_items.n, "\"");
	text_adds(&out, ",\"metadatas\":");
	say_list(&out, m->marker_items.metadata, m->marker_items.n, "");
	text_addc(&out, '}');
	fake_call_answer(c, 200, text_string(&out));
	text_clear(&out);
}

static struct json_slice first_of(const struct call *call, const char *key)
{
	struct json_slice body = json_whole(blob_bytes(call->body), blob_len(call->body));
	struct json_walk w = json_walk(json_member(body, key));

	return json_step(&w) ? w.value : (struct json_slice){NULL, 0};
}

static void take_marker(struct model *m, const struct call *call)
{
	char *item = json_text(first_of(call, "ids"), NULL);

	put_marker(&m->marker_items, item, first_of(call, "metadatas"));
	free(item);
}

static bool ends_with(const char *s, const char *end)
{
	return strlen(s) >= strlen(end) && strcmp(s + strlen(s) - strlen(end), end) == 0;
}

static void answer_canary(struct model *m, struct fake_call *c, const struct call *call)
{
	bool reads = strcmp(call->method, "GET") == 0 || ends_with(call->target, "/get");

	if (reads && m->marker_http != 0) {
		fake_call_answer(c, m->marker_http, "{}");
	} else if (!reads && (m->wedged || m->no_marker)) {
		fake_call_answer(c, 500, "{\"error\":\"InternalError\"}");
	} else if (ends_with(call->target, "/get") && m->marker_items.made) {
		answer_items(m, c);
	} else if (ends_with(call->target, "/upsert") && m->marker_items.made) {
		take_marker(m, call);
		fake_call_answer(c, 200, "{}");
	} else if (strstr(call->target, "/collections/") != NULL &&
	           !m->marker_items.made) {
		fake_call_answer(c, 404, "{}");
	} else {
		if (ends_with(call->target, "/collections"))
			m->marker_items.made = true;
		fake_call_answer(c, 200,
		                 "{\"id\":\"00000000-0000-4000-8000-00000000ca4a\"}");
	}
}

/* What is there, asked while nothing is written. */
static bool is_survey(const struct call *call)
{
	return strcmp(call->method, "GET") == 0 &&
	       strstr(call->target, "?limit=") != NULL;
}

static void answer_survey(struct model *m, struct fake_call *c, const struct call *call)
{
	struct text out = {0};
	int http = m->marker_http != 0 ? m->marker_http
	                               : content_execute(m->content, call->method,
	                                                 call->target, NULL, 0, &out);

	fake_call_answer(c, http, text_string(&out));
	text_clear(&out);
}

static void begin(struct model *m, struct fake_call *c, const struct call *call,
                  enum fault f)
{
	struct visit *v = mem_new(struct visit);
	msec now = clock_ms(), takes = 1 + chance_below(m->latency);

	v->m = m;
	v->call = c;
	v->method = mem_string(call->method);
	v->target = mem_string(call->target);
	v->body = blob_ref(call->body);
	v->fault = f;
	TAILQ_INSERT_TAIL(&m->visits, v, link);
	m->busy_until = (m->busy_until > now ? m->busy_until : now) + takes;
	timer_start(&v->due, m->busy_until - now, on_due, v);
}

static void take(void *arg, struct fake_call *c, const struct call *call)
{
	struct model *m = arg;
	enum fault f;

	if (m->down) {
		fake_call_fail(c, STATUS_REFUSED, "down");
		return;
	}
	if (is_probe(call)) {
		fake_call_answer(c, 200, "{}");
		return;
	}
	if (is_canary(call)) {
		answer_canary(m, c, call);
		return;
	}
	if (is_survey(call)) {
		if (!m->hides)
			answer_survey(m, c, call);
		return;
	}
	m->calls++;
	f = next_fault(m);
	if (f == FAULT_REFUSE)
		fake_call_fail(c, STATUS_REFUSED, "refused by the test");
	else
		begin(m, c, call, f);
}

/* --- the model
 * --------------------------------------------------------------------------- */

static const struct fake_server server = {.take = take, .gone = gone};

struct model *model_create(const char *name)
{
	struct model *m = mem_new(struct model);

	(void)name;
	m->content = content_create();
	m->latency = 3;
	m->closed.executed = 100;
	TAILQ_INIT(&m->visits);
	return m;
}

static void end_visits(struct model *m, bool execute_them)
{
	struct visit *v;

	while ((v = TAILQ_FIRST(&m->visits)) != NULL) {
		if (execute_them && !v->executed && executes(v->fault))
			execute(v);
		fail(v, STATUS_BROKEN, "the instance died");
	}
	m->busy_until = 0;
}

void model_destroy(struct model **m)
{
	struct model *old = *m;

	*m = NULL;
	end_visits(old, false);
	timer_stop(&old->restart);
	free(old->deadly);
	forget_marker(&old->marker_items);
	forget_marker(&old->marker_saved);
	text_clear(&old->marker);
	content_destroy(&old->content);
	if (old->saved != NULL)
		content_destroy(&old->saved);
	free(old);
}

void model_serve(struct model *m, struct upstream *up)
{
	fake_serves(up, &server, m);
}

void model_latency(struct model *m, msec most)
{
	m->latency = most;
}

void model_fault(struct model *m, enum fault f, unsigned times)
{
	m->fault = f;
	m->times = times;
}

void model_faults(struct model *m, enum fault (*ask)(void *arg), void *arg)
{
	m->times = 0;
	m->ask = ask;
	m->ask_arg = arg;
}

void model_down(struct model *m, bool execute_them)
{
	m->down = true;
	end_visits(m, execute_them);
}

void model_up(struct model *m)
{
	timer_stop(&m->restart);
	m->down = false;
}

static void on_restart(void *arg)
{
	model_up(arg);
}

static void die(struct model *m)
{
	m->deaths++;
	model_down(m, false);
	if (m->restarts > 0)
		timer_start(&m->restart, m->restarts, on_restart, m);
}

void model_restarts(struct model *m, msec after)
{
	m->restarts = after;
}

void model_dies_of(struct model *m, const char *marker)
{
	free(m->deadly);
	m->deadly = marker != NULL ? mem_string(marker) : NULL;
}

unsigned model_deaths(const struct model *m)
{
	return m->deaths;
}

void model_lose_vector(struct model *m, const char *name, const char *id)
{
	content_lose_vector(m->content, name, id);
}

void model_hide_vector(struct model *m, const char *name, const char *id)
{
	content_hide_vector(m->content, name, id);
}

void model_wedged(struct model *m, bool yes)
{
	m->wedged = yes;
}

void model_closes(struct model *m, const struct model_closed *how)
{
	m->closed = *how;
}

unsigned model_late(const struct model *m)
{
	return m->lates;
}

void model_allow_reset(struct model *m, bool yes)
{
	content_allow_reset(m->content, yes);
}

void model_refuse_ids(struct model *m, bool yes)
{
	content_refuse_items(m->content, yes);
}

void model_refuse_collection(struct model *m, const char *name, int http, bool yes)
{
	content_refuse_collection(m->content, yes ? name : NULL, http);
}

void model_drop_behind_our_back(struct model *m, const char *name)
{
	content_drop(m->content, name);
}

int model_execute(struct model *m, const char *method, const char *target,
                  const char *body, size_t len, struct text *answer_to)
{
	struct text out = {0};
	int http = content_execute(m->content, method, target, body, len, &out);

	if (answer_to != NULL)
		text_add(answer_to, text_string(&out), out.len);
	text_clear(&out);
	return http;
}

unsigned model_calls(const struct model *m)
{
	return m->calls;
}

char *model_dump_collection(const struct model *m, const char *local)
{
	return content_dump_collection(m->content, local);
}

char *model_dump(const struct model *m)
{
	return content_dump(m->content);
}

const char *model_trace(const struct model *m)
{
	return content_trace(m->content);
}

void model_forget_trace(struct model *m)
{
	content_forget_trace(m->content);
}

bool model_has_op(const struct model *m, const char *local, int64_t op)
{
	return content_has_op(m->content, local, op);
}

bool model_has_collection(const struct model *m, const char *local)
{
	return content_has_collection(m->content, local);
}

const char *model_items(const struct model *m, const char *name)
{
	return content_items(m->content, name);
}

const char *model_collection_id(const struct model *m, const char *name)
{
	return content_collection_id(m->content, name);
}

unsigned model_aside(const struct model *m)
{
	return content_aside(m->content);
}

void model_wipe(struct model *m)
{
	forget_marker(&m->marker_items);
	content_destroy(&m->content);
	m->content = content_create();
}

void model_save(struct model *m)
{
	if (m->saved != NULL)
		content_destroy(&m->saved);
	m->saved = content_copy(m->content);
	copy_marker(&m->marker_saved, &m->marker_items);
}

void model_restore(struct model *m)
{
	content_destroy(&m->content);
	m->content = content_copy(m->saved);
	copy_marker(&m->marker_items, &m->marker_saved);
}

void model_become(struct model *m, const struct model *other)
{
	content_destroy(&m->content);
	m->content = content_copy(other->content);
	copy_marker(&m->marker_items, &other->marker_items);
}

void model_marker_answers(struct model *m, int http)
{
	m->marker_http = http;
}

const char *model_marker(const struct model *m)
{
	struct text *out = (struct text *)(uintptr_t)&m->marker;
	int64_t best = -1;

	text_reset(out);
	for (size_t k = 0; k < m->marker_items.n; k++) {
		const char *text = m->marker_items.metadata[k];
		struct json_slice whole = json_whole(text, strlen(text));
		struct json_slice cluster = json_member(whole, "cluster"),
		                  instance = json_member(whole, "instance");
		int64_t beat = json_int64(json_member(whole, "beat"), -1);

		if (beat <= best)
			continue;
		best = beat;
		text_reset(out);
		text_addf(out, "%.*s %.*s %lld", (int)cluster.len - 2, cluster.at + 1,
		          (int)instance.len - 2, instance.at + 1, (long long)beat);
	}
	return text_string(out);
}

unsigned model_lost(const struct model *m)
{
	return content_lost(m->content);
}

bool model_has_database(const struct model *m, const char *tenant, const char *name)
{
	return content_has_database(m->content, tenant, name);
}

void model_hides(struct model *m, bool yes)
{
	m->hides = yes;
}

void model_takes_no_marker(struct model *m, bool yes)
{
	m->no_marker = yes;
}
