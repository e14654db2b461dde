/* core/cli/ask.c - one request to the proxy at a time, and its answer waited for. It is
 * the same loop and the same client as the proxy's own (core/upstream.h); between two
 * requests the loop does not run. A signal stops the request under way, or the next one;
 * those behind it are sent, for who cleans up. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "core/cli/cli_private.h"
#include "core/dns.h"
#include "core/headers.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/mem.h"
#include "core/timer.h"
#include "core/upstream.h"

#define USUAL_URL "http://127.0.0.1:%s"
#define USUAL_PORT "8000"
#define CONNECT_MS 5000u
#define ANSWER_MS 150000u /* more than a proxy waits by default */
#define INSTANCE_HEADER "X-Chromatid-Instance"
#define OUTCOME_HEADER "X-Chromatid-Outcome"
#define ANSWER_MOST (128u * 1024u * 1024u)

static struct {
	struct upstream *up, *log; /* the proxy; the one whose log is read, or NULL */
	struct op *pending;
	struct timer timer;
	msec patience; /* 0: the usual one */
	bool interrupted;
} state;

/* Between two runs of the loop nobody else takes signals. */
static volatile sig_atomic_t noted;

static void note_signal(int signal)
{
	(void)signal;
	noted = 1;
}

static const char *from_environment(const char *name)
{
	const char *value = getenv(name);

	return value != NULL && value[0] != '\0' ? value : NULL;
}

static char *url_of(const struct cli *c)
{
	const char *url = cli_value(c, "url");
	const char *port = from_environment("PORT");

	if (url == NULL)
		url = from_environment("CHROMATID_URL");
	if (url != NULL)
		return mem_string(url);
	return mem_format(USUAL_URL, port != NULL ? port : USUAL_PORT);
}

static char *authorization(const struct cli *c)
{
	const char *token = cli_value(c, "token");

	if (token == NULL)
		token = from_environment("CHROMATID_TOKEN");
	return token != NULL ? mem_format("Bearer %s", token) : NULL;
}

static struct upstream *create(const char *url, const char *auth)
{
	const struct upstream_options options = {
	        .url = url,
	        .max_connections = 1,
	        .connect_timeout = CONNECT_MS,
	        .idle_timeout = 20000,
	        .auth_header = auth != NULL ? "Authorization" : NULL,
	        .auth_value = auth,
	};

	return upstream_create(&options);
}

static void start(void)
{
	log_start(LOG_ERROR, LOG_FORMAT_LOGFMT, "chromatid");
	signal(SIGINT, note_signal);
	signal(SIGTERM, note_signal);
	loop_start();
	dns_start();
}

static int check_url(const struct cli *c, const char *url)
{
	char *wrong = url != NULL ? upstream_check_url(url) : NULL;
	int code = CLI_OK;

	if (wrong != NULL)
		code = print_wrong(c, CLI_USAGE, "the URL is no good: %s", wrong);
	free(wrong);
	return code;
}

int ask_start(const struct cli *c)
{
	char *url = url_of(c), *auth = authorization(c);
	const char *log = cli_value(c, "log");
	int code = check_url(c, url);

	if (code == CLI_OK)
		code = check_url(c, log);
	if (code == CLI_OK) {
		start();
		state.up = create(url, auth);
		if (log != NULL)
			state.log = create(log, auth);
	}
	free(auth);
	free(url);
	return code;
}

void ask_stop(void)
{
	op_cancel(&state.pending);
	timer_stop(&state.timer);
	upstream_destroy(&state.up);
	upstream_destroy(&state.log);
	dns_stop();
	loop_stop();
}

static void on_stop(int signal)
{
	(void)signal;
	state.interrupted = true;
	loop_end();
}

static void on_answer(void *arg, const struct reply *reply)
{
	struct answer *a = arg;

	a->status = reply->status;
	a->http = reply->http;
	a->body = blob_ref(reply->body);
	if (reply->headers != NULL) {
		a->instance = mem_string(headers_get(reply->headers, INSTANCE_HEADER));
		a->outcome = mem_string(headers_get(reply->headers, OUTCOME_HEADER));
	}
	if (reply->status != STATUS_OK && reply->detail[0] != '\0')
		a->detail = mem_string(reply->detail);
	loop_end();
}

bool ask_of(struct upstream *up, const char *method, const char *target,
            struct blob *body, struct answer *out)
{
	struct headers headers = {0};
	const struct call call = {.method = method,
	                          .target = target,
	                          .headers = &headers,
	                          .body = body,
	                          .timeout =
	                                  state.patience > 0 ? state.patience : ANSWER_MS,
	                          .max_reply = ANSWER_MOST,
	                          .repeatable = strcmp(method, "GET") == 0};

	*out = (struct answer){.status = STATUS_STOPPED};
	if (noted && !state.interrupted) {
		state.interrupted = true;
		return false;
	}
	headers_add(&headers, "content-type", "application/json");
	headers_add(&headers, "user-agent", "chromatid");
	upstream_call(up, &call, on_answer, out, &state.pending);
	headers_clear(&headers);
	while (state.pending != NULL) {
		loop_run(on_stop);
		if (out->status == STATUS_STOPPED)
			op_cancel(&state.pending); /* a signal */
	}
	return out->status == STATUS_OK && out->http >= 200 && out->http < 300;
}

bool ask(const char *method, const char *target, struct blob *body, struct answer *out)
{
	return ask_of(state.up, method, target, body, out);
}

void ask_patience(msec patience)
{
	state.patience = patience;
}

bool ask_log(const char *target, struct blob *body, struct answer *out)
{
	return ask_of(state.log != NULL ? state.log : state.up, "POST", target, body,
	              out);
}

bool ask_json(const char *method, const char *target, json_t *body, struct answer *out)
{
	char *text = json_dumps(body, JSON_COMPACT);
	struct blob *blob = blob_adopt(text, strlen(text));
	bool good = ask(method, target, blob, out);

	json_decref(body);
	blob_unref(&blob);
	return good;
}

void answer_clear(struct answer *a)
{
	blob_unref(&a->body);
	free(a->detail);
	a->detail = NULL;
	free(a->instance);
	a->instance = NULL;
	free(a->outcome);
	a->outcome = NULL;
}

json_t *answer_json(const struct answer *a)
{
	return json_loadb(blob_bytes(a->body), blob_len(a->body), JSON_DECODE_ANY, NULL);
}

static void on_time(void *arg)
{
	(void)arg;
	loop_end();
}

bool ask_sleep(msec wait)
{
	timer_start(&state.timer, wait, on_time, NULL);
	loop_run(on_stop);
	timer_stop(&state.timer);
	state.interrupted = state.interrupted || noted;
	return !state.interrupted;
}

bool ask_is_interrupted(void)
{
	return state.interrupted || noted;
}
