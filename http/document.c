/* http/document.c - docs/API.md, from the table that routes requests (http/route.c), so
 * that no path is documented which is not there, and none is there undocumented. */
#include <string.h>

#include "http/admin.h"
#include "http/exchange.h"
#include "http/http.h"

static const char introduction[] =
        "# API\n\n"
        "Everything a single Chroma offers under `/api/v2`, with the same answers, and a "
        "few paths for operators. This page is made from the program's own table: "
        "`chromatid --document-api`.\n\n"
        "- `HEAD` is answered wherever `GET` is. A path that is not here is 404, a "
        "method that is not here 405 with `Allow`; both without a body, as Chroma does "
        "it, but under paths of ours (`/admin/...`, `/status/...`, `/wal/...`, ...), "
        "where an error says which it is.\n"
        "- A collection has one id as clients see it, for life. Where a path wants an "
        "id, any id of the collection is understood (its own, or the one it has on an "
        "instance), and on the paths of items its name as well. Where a path wants a "
        "name, the id is understood if no collection has that name.\n"
        "- Names that begin with `ctd-` are reserved.\n\n"
        "## Access\n\n"
        "A Chroma has no lock of its own; the proxy is it. A token is sent as "
        "`Authorization: Bearer TOKEN`, `Authorization: Basic` (as the password, or all "
        "of `user:password`), `X-Chroma-Token` or `X-Api-Key`. None of them reaches an "
        "instance: those are sent `UPSTREAM_TOKEN`.\n\n"
        "| | with |\n|---|---|\n"
        "| health: `/health`, `/ready` and their other names, the heartbeats | nothing "
        "|\n"
        "| `/status`, `/wal/status`, `/metrics` | nothing, or with `STATUS_AUTH` as what "
        "reads |\n"
        "| what reads (`get`, `query`, `search` and the mappings, too) | `READ_TOKEN`, "
        "`API_TOKEN` or `ADMIN_TOKEN`; nothing if neither of the first two is set |\n"
        "| what writes | `API_TOKEN` or `ADMIN_TOKEN`; the same |\n"
        "| `/admin/...`, `/wal/cleanup` and what else is for operators | `ADMIN_TOKEN`; "
        "if it is not set: from the machine of the proxy, sent to an address or "
        "`localhost`, passed on by nobody (no `X-Forwarded-For` or the like, and not one "
        "of `TRUSTED_PROXIES`), a `POST` "
        "with `Content-Type: application/json` |\n\n"
        "Pages in browsers: `CORS_ALLOW_ORIGINS` names the origins that may use the API; "
        "none may administer. What is in `PROTECTED_COLLECTIONS` is not deleted, nor "
        "renamed, nor is the database it is in, nor everything: 403. Each change that "
        "an operator makes is in the log, in `recent_events` and in the table "
        "`chromatid.event` (event `operator`), and so is who was refused (`auth`). From "
        "where is said by the connection, or, if that comes from one of "
        "`TRUSTED_PROXIES`, by the end of its `X-Forwarded-For`.\n\n";

static const char answers[] =
        "\n## Sent again\n\n"
        "A write that was answered 503 with `X-Chromatid-Outcome: pending`, or whose "
        "connection broke, may be sent again as it was. While it is undecided, and "
        "nobody waits for it, that makes no second write: the answer is the first "
        "one's, with its `X-Chromatid-Seq`. (A write that is meant to happen once "
        "more, behind others that are pending, needs a key of its own, or some "
        "difference. A reset is always a write of its own.)\n\n"
        "With the header `Idempotency-Key` (1 to 255 visible ASCII characters, chosen "
        "by the client for one write) it is one write whenever it is sent: the answer "
        "is the first one's, refusals included, as long as the log keeps it "
        "(`WAL_RETENTION`). The same key with another method, path or body is refused "
        "with 422. A request that was refused before it was logged, for what it says "
        "or because something exists or does not, has not used up its key.\n"
        "\n## Headers of answers\n\n"
        "| header | |\n|---|---|\n"
        "| `X-Request-Id` | of this request, also in the log |\n"
        "| `X-Chromatid-Seq` | the place of this write in the log |\n"
        "| `X-Chromatid-Instance` | who gave the answer |\n"
        "| `X-Chromatid-Leader` | the proxy that leads has given this answer, and the "
        "one "
        "that was asked has passed it on (below) |\n"
        "| `X-Chromatid-Stale` | a read: how many writes the answer may lack, because "
        "no instance had them all within two seconds (`STALE_READS`) |\n"
        "| `X-Chromatid-Outcome` | an error of ours to a write: `none` (it has no "
        "effect, ever), `pending` (logged; it will be executed, once), `unknown` (not "
        "known in time; all of it or none; with an `Idempotency-Key` also: its key "
        "could not be looked up) |\n"
        "| `Retry-After` | seconds, on 429 and 503 |\n"
        "| `Server-Timing` | milliseconds: waited here (`queue`), until the write was "
        "logged (`log`), at the instance (`upstream`) |\n"
        "| `chroma-trace-id` | on errors: the trace, to be found in the log as "
        "`trace_id`; it is the one of the request's `traceparent`, or a new one |\n\n"
        "## Errors of ours\n\n"
        "`{\"error\": NAME, \"message\": TEXT}`, as Chroma's own.\n\n"
        "| status | NAME | cause |\n|---|---|---|\n"
        "| 400 | `ChromaError` | the `Idempotency-Key` is none |\n"
        "| 401 | `AuthError` | no token, or none that is known |\n"
        "| 403 | `AuthorizationError` | the token may not do that; only from the "
        "machine of the proxy; the collection is protected |\n"
        "| 403 | `ChromaError` | `ALLOW_RESET` is off |\n"
        "| 413 | `ChromaError`, or plain text where Chroma says it so | the body is "
        "longer than `MAX_BODY_SIZE` |\n"
        "| 422 | `ChromaError` | the `Idempotency-Key` was used with another request |\n"
        "| 429 | `Backoff` | too many requests at a time; nothing was logged |\n"
        "| 502 | `ChromaError` | the proxy that leads has answered with more than 8 MB, "
        "which is not passed on: ask that one |\n"
        "| 503 | `InternalError` | no instance is there, or the log is not; see "
        "`X-Chromatid-Outcome` |\n"
        "| 504 | `ChromaError` | `REQUEST_TIMEOUT` is over; the message names the "
        "record |\n\n"
        "## Pages for operators\n\n"
        "`/health` is liveness and 200 whatever is down, except 503 while the proxy "
        "starts. `/ready` is 200 only while a write can be taken. `/status` (with "
        "`?realtime=true` the instances are asked first), `/status/timeline`, "
        "`/status/collections` and `/wal/status` are described by `status.schema.json`. "
        "Every proxy shows what the one that leads knows: `figures_from` says who has "
        "told it and how old it is, null that nobody is known to lead, and then it is "
        "null. "
        "`/metrics` is Prometheus text, or with `Accept: "
        "application/json` five numbers for older scripts. `POST /wal/cleanup` with "
        "`{\"max_age_hours\": 24}` shortens the log: what "
        "is older and every instance has goes, in whole partitions, and is counted as "
        "`deleted_entries`. What they mean, and what to do: `OPERATIONS.md`.\n\n"
        "`POST /admin/adopt` looks for "
        "collections that an instance holds and nobody has made through the proxy: "
        "`{\"dry\": true}` lists them, `{\"dry\": false}` adopts them; with "
        "`\"instance\"` only of that one, with `\"collection\"` only the one of that "
        "name or id. The answer: `found`, `adopted`, `incomplete` (instances that could "
        "not be looked through), and a `list` as in the status, with the `outcome` of "
        "each.\n";

static const char people[] =
        "\n"
        "`/ui` is a page for people, which asks for everything else it shows (`UI=off`: "
        "404). `/status/timeline` is the last hour as the proxy has in memory: a sample "
        "each five seconds, in columns: `at_ms`, `requests_per_second`, "
        "`errors_per_second` (answers of 5xx), and for each of `instances` its worst "
        "`state` (`up`, `read_only`, `down`, `unknown`) since the sample before, "
        "`pending_writes` (null: nobody was known to lead) and `requests_per_second`. "
        "They "
        "are numbered from `first` to `last`; `?after=N` asks for those behind N. "
        "`/status/collections` lists collections, those that are not as they should be "
        "first, then the newest (`?limit=N`, 200, 1000 at most; `total` is how many "
        "there are): for each of `instances` the `state` there (`current`, `behind`, "
        "`quarantine`, `lost`, `unproven` (made anew and not compared yet: read only if "
        "no other can answer), `detached`, `not there yet`) and `pending_writes`, and "
        "the "
        "`verification`: `result`, `at`, `last_equal_at`, `items`, `differences` of the "
        "last comparison. `age_seconds` says how old that is: a proxy that does not lead "
        "has it from the one that does, every few seconds, the first 200 at most.\n";

static const char admin[] =
        "\n## Requests of operators\n\n"
        "The commands of `CLI.md` do most of it.\n\n"
        "Where several proxies run side by side any of them may be asked. What only the "
        "one that leads can do it is asked for through PostgreSQL, with a body of at "
        "most 1 MB (413), and its answer is passed on, with `X-Chromatid-Leader`. 503 "
        "with `X-Chromatid-Outcome: none`: nobody has taken it up within ten seconds, or "
        "PostgreSQL is away; nothing was done, and nothing will be. 503 or 504 with "
        "`unknown`: it was taken up and not answered, because that proxy leads no more, "
        "or "
        "is still at it; it may have been done, so look before you ask again. 429: this "
        "proxy waits for 64 answers already. An export is for the one that leads alone: "
        "503 at the others (`leader` in `/status`). In logs and events stands who has "
        "asked, and from where, as at the proxy that was asked.\n\n"
        "| | body | answer |\n|---|---|---|\n"
        "| `POST /admin/resync` | `instance`, `collection` (name or id), `tenant`, "
        "`database`: one of the first two at least; without `instance` wherever it is in "
        "quarantine | 202 with `begun`, `not_begun`, `collections` and where to `watch` "
        "it; 404: none is meant; 409: no other instance has it as it should be |\n"
        "| `GET /admin/resync` | | `resync`: what is being made anew, and `quarantine`, "
        "both as in the status |\n"
        "| `POST /admin/sync_collections` | `target_instance` | the same as `POST "
        "/admin/resync` |\n"
        "| `POST /admin/export` | `instance`, `timeout_seconds` (3600), `hold_writes` | "
        "201 when an instance stands still: `export` (its id), `position` in the log, "
        "`at`, `tenants`, `databases`, `collections`; 409: none can, or one is under "
        "way |\n"
        "| `POST /admin/export/{id}/collection` | `collection` (id) | as Chroma "
        "describes "
        "it |\n"
        "| `POST /admin/export/{id}/items` | `collection`, `limit`, `offset` | as "
        "Chroma's "
        "`get`, with everything |\n"
        "| `GET /admin/export/{id}` | | whether it is still there |\n"
        "| `DELETE /admin/export/{id}` | | the end; 404: it was over before, so what was "
        "read last may be of a later place |\n"
        "| `POST /admin/wal/records` | `after` (a record), `until`, `until_ms`, `limit` "
        "| "
        "what the log holds behind that record, with bodies: `cluster`, `oldest`, "
        "`last`, "
        "`until` (the last one up to that place and time), `records` |\n"
        "| `POST /admin/import/tenants/{tenant}/databases/{database}/collections/{id}` | "
        "as "
        "Chroma's create | a collection with that id; 409 if the name or the id is taken "
        "|\n\n"
        "An export is over when nobody has asked for it for half a minute.\n";

/* The table's short names for what stands in a path; {c} is a tenant's name where no
 * tenant comes before it. */
static void add_path(struct text *out, const char *path)
{
	bool tenant_first = strstr(path, "{t}") != NULL;

	for (; *path != '\0'; path++) {
		if (strncmp(path, "{t}", 3) == 0)
			text_adds(out, "{tenant}");
		else if (strncmp(path, "{d}", 3) == 0)
			text_adds(out, "{database}");
		else if (strncmp(path, "{c}", 3) == 0)
			text_adds(out, tenant_first ? "{collection}" : "{name}");
		else if (strncmp(path, "{*}", 3) == 0)
			text_adds(out, "...");
		else if (strncmp(path, "{}", 2) == 0)
			text_adds(out, "{name}");
		else
			text_addc(out, *path);
		if (*path == '{')
			path = strchr(path, '}');
	}
}

void http_document(struct text *out)
{
	const char *method, *path, *op;
	enum route_kind kind;

	text_adds(out, introduction);
	text_adds(out,
	          "## Paths\n\n"
	          "The third column is the name of the request in logs and metrics.\n\n"
	          "| method | path | op | |\n|---|---|---|---|\n");
	for (size_t i = 0; route_row(i, &method, &path, &kind, &op) != 0; i++) {
		text_addf(out, "| %s | `", method);
		add_path(out, path);
		text_addf(out, "` | `%s` | %s |\n", op, route_kind_text(kind));
	}
	text_adds(out, answers);
	text_adds(out, people);
	text_adds(out, admin);
	text_adds(out, document_admin);
}
