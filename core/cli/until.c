/* core/cli/until.c - `chromatid import --until`: from the place of the export on, record
 * by record, to a later moment, as long as the log is kept.
 *
 *   until_check  is it the log the export was made of, and is all of it still there?
 *   until_apply  page by page, each record as the API call it was (until_record.c): item
 *                writes as they were executed (deletes by filter by the ids they had
 *                found), refused ones left out
 *
 * When it does not go well: a record that is refused here, or not decided yet there, ends
 * it, and says which. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/cli/import.h"
#include "core/mem.h"

#define PAGE 500
#define RECORDS "/admin/wal/records"
#define MOST 999999999999999    /* a place no log has */
#define LATEST_MS 4102444800000 /* the year 2100 */

/* --- which moment ------------------------------------------------------------------ */

/* "2026-11-21T10:15:00Z", with a blank, without seconds, or only the day; UTC. -1: none.
 */
static int64_t time_of(const char *s)
{
	static const char *const forms[] = {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S",
	                                    "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M",
	                                    "%Y-%m-%d"};

	for (size_t k = 0; k < sizeof(forms) / sizeof(forms[0]); k++) {
		struct tm tm = {0};
		const char *end = strptime(s, forms[k], &tm);
		int64_t ms = 0;

		if (end != NULL && end[0] == '.' && strspn(end + 1, "0123456789") == 3) {
			ms = strtol(end + 1, NULL, 10);
			end += 4;
		}
		if (end != NULL && (end[0] == '\0' || strcmp(end, "Z") == 0))
			return (int64_t)timegm(&tm) * 1000 + ms;
	}
	return -1;
}

static bool is_place(const char *s)
{
	size_t digits = strspn(s, "0123456789");

	return digits > 0 && digits < 16 && s[digits] == '\0';
}

/* --- whether it is all there ------------------------------------------------------- */

static bool ask_for(int64_t after, int64_t until, int64_t until_ms, int limit,
                    struct answer *a)
{
	char *text = mem_format("{\"after\":%lld,\"until\":%lld,\"until_ms\":%lld,"
	                        "\"limit\":%d}",
	                        (long long)after, (long long)until, (long long)until_ms,
	                        limit);
	struct blob *body = blob_adopt(text, strlen(text));
	bool good = ask_log(RECORDS, body, a);

	blob_unref(&body);
	return good;
}

/* Places grow by one, or jump; so what is behind the export is all there if something
 * that is not behind it still is, or nothing is behind it. */
static int judge(struct importing *x, const json_t *log, int64_t wanted)
{
	int64_t position = json_number_of(x->contents.head, "position");
	int64_t oldest = json_number_of(log, "oldest"),
	        last = json_number_of(log, "last");

	if (!json_equal(json_object_get(log, "cluster"),
	                json_object_get(x->contents.head, "cluster")))
		return print_wrong(
		        x->c, CLI_NOT,
		        "it is not the log of the proxy the export was made by; "
		        "--log names that one");
	if (wanted > last)
		return print_wrong(x->c, CLI_NOT, "the log ends at record %lld",
		                   (long long)last);
	if (last > position && (oldest == 0 || oldest > position + 1))
		return print_wrong(
		        x->c, CLI_NOT,
		        "the log begins at record %lld, behind the export (%lld): "
		        "it was not kept for long enough",
		        (long long)oldest, (long long)position);
	x->until = json_number_of(log, "until");
	if (x->until < position)
		x->until = position;
	return CLI_OK;
}

/* The export is as of the moment it says, so nothing earlier can be had. */
static int compare_with_export(const struct importing *x, int64_t seq, int64_t ms)
{
	const json_t *head = x->contents.head;

	if (seq > 0 ? seq >= json_number_of(head, "position")
	            : ms >= time_of(json_text_of(head, "at")))
		return CLI_OK;
	return print_wrong(
	        x->c, CLI_NOT, "the export is of a later moment: record %lld, %s",
	        (long long)json_number_of(head, "position"), json_text_of(head, "at"));
}

int until_check(struct importing *x)
{
	const char *wish = cli_value(x->c, "until");
	int64_t seq = is_place(wish) ? strtoll(wish, NULL, 10) : 0;
	int64_t ms = seq > 0 ? LATEST_MS : time_of(wish);
	json_t *log = NULL;
	struct answer a;
	int code;

	if (seq == 0 && ms < 0)
		return print_wrong(
		        x->c, CLI_USAGE,
		        "--until is a time (2026-11-21T10:15:00Z) or a record");
	code = compare_with_export(x, seq, ms);
	if (code != CLI_OK)
		return code;
	if (!ask_for(0, seq > 0 ? seq : MOST, ms, 0, &a) ||
	    (log = answer_json(&a)) == NULL)
		code = print_failure(x->c, &a);
	else
		code = judge(x, log, seq);
	json_decref(log);
	answer_clear(&a);
	return code;
}

/* --- all of them ------------------------------------------------------------------- */

static int apply_one(struct importing *x, struct json_slice record, int64_t *after)
{
	*after = json_int64(json_member(record, "seq"), 0);
	if (!json_flag(json_member(record, "decided")))
		return print_wrong(x->c, CLI_NOT, "record %" PRId64 " is not decided yet",
		                   *after);
	return json_flag(json_member(record, "accepted")) ? until_record(x, record)
	                                                  : CLI_OK;
}

static int apply_page(struct importing *x, const struct answer *a, int64_t *after,
                      bool *more)
{
	struct json_slice whole = json_whole(blob_bytes(a->body), blob_len(a->body));
	struct json_walk w = json_walk(json_member(whole, "records"));
	int code = CLI_OK;

	*more = false;
	while (code == CLI_OK && json_step(&w)) {
		code = apply_one(x, w.value, after);
		*more = true;
	}
	return code;
}

int until_apply(struct importing *x)
{
	int64_t after = json_number_of(x->contents.head, "position");
	bool more = after < x->until;
	int code = CLI_OK;

	while (code == CLI_OK && more) {
		struct answer a;

		code = ask_for(after, x->until, LATEST_MS, PAGE, &a)
		               ? apply_page(x, &a, &after, &more)
		               : print_failure(x->c, &a);
		answer_clear(&a);
	}
	if (code == CLI_OK && after < x->until)
		code = print_wrong(x->c, CLI_NOT, "the log ends at record %" PRId64,
		                   after);
	return code;
}

void until_clear(struct importing *x)
{
	const struct table_entry *entry = NULL;
	size_t bucket = 0;
	char *path;

	while ((path = table_next(&x->known, &bucket, &entry)) != NULL)
		free(path);
	table_clear(&x->known);
}
