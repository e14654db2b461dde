/* http/document.c - docs/API.md, from the table that routes requests (http/route.c), so
 * that no path is documented which is not there, and none is there undocumented. */
#include <string.h>

#include "http/exchange.h"
#include "http/http.h"

static const char introduction[] =
        "# API\n\n"
        "Everything a single Chroma offers under `/api/v2`, with the same answers, and a "
        "few paths for operators. This page is made from the program's own table: "
        "`chromatid --document-api`.\n\n"
        "- `HEAD` is answered wherever `GET` is. A path that is not here is 404, a "
        "method that is not here 405 with `Allow`; both without a body, as Chroma does "
        "it.\n"
        "- A collection has one id as clients see it, for life. Where a path wants an "
        "id, any id of the collection is understood (its own, or the one it has on an "
        "instance), and on the paths of items its name as well. Where a path wants a "
        "name, the id is understood if no collection has that name.\n"
        "- Names that begin with `ctd-` are reserved.\n\n";

static const char answers[] =
        "\n## Headers of answers\n\n"
        "| header | |\n|---|---|\n"
        "| `X-Request-Id` | of this request, also in the log |\n"
        "| `X-Chromatid-Seq` | the place of this write in the log |\n"
        "| `X-Chromatid-Instance` | who gave the answer |\n"
        "| `X-Chromatid-Stale` | a read: how many writes the answer may lack, because "
        "no instance had them all within two seconds (`STALE_READS`) |\n"
        "| `X-Chromatid-Outcome` | an error of ours to a write: `none` (it has no "
        "effect, ever), `pending` (logged; it will be executed, once), `unknown` (not "
        "known in time; all of it or none) |\n"
        "| `Retry-After` | seconds, on 429 and 503 |\n"
        "| `Server-Timing` | milliseconds until the write was logged, and at the "
        "instance |\n"
        "| `chroma-trace-id` | on errors |\n\n"
        "## Errors of ours\n\n"
        "`{\"error\": NAME, \"message\": TEXT}`, as Chroma's own.\n\n"
        "| status | NAME | cause |\n|---|---|---|\n"
        "| 403 | `ChromaError` | `ALLOW_RESET` is off |\n"
        "| 413 | `ChromaError`, or plain text where Chroma says it so | the body is "
        "longer than `MAX_BODY_SIZE` |\n"
        "| 429 | `Backoff` | too many requests at a time; nothing was logged |\n"
        "| 503 | `InternalError` | no instance is there, or the log is not; see "
        "`X-Chromatid-Outcome` |\n"
        "| 504 | `ChromaError` | `REQUEST_TIMEOUT` is over; the message names the "
        "record |\n\n"
        "## Pages for operators\n\n"
        "`/health` is liveness and 200 whatever is down, except 503 while the proxy "
        "starts. `/ready` is 200 only while a write can be taken. `/status` (with "
        "`?realtime=true` the instances are asked first) and `/wal/status` are described "
        "by `status.schema.json`. `/metrics` is Prometheus text, or with `Accept: "
        "application/json` five numbers for older scripts. What they mean, and what to "
        "do: `OPERATIONS.md`.\n";

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
}
