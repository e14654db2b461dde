/* core/cli/quarantine.c - `chromatid quarantine`, `wal retry`, `wal skip`, `mappings`:
 * lists out of the proxy's pages, and an operator's word. */
#include <stdlib.h>
#include <string.h>

#include "core/cli/cli_private.h"
#include "core/mem.h"

/* --- quarantine -------------------------------------------------------------------- */

static void add_parked(struct columns *t, const json_t *q)
{
	columns_add(t, json_text_of(q, "instance"));
	columns_add(t, json_text_of(q, "collection"));
	columns_add(t, json_text_of(q, "collection_id"));
	columns_addf(t, "%lld", (long long)json_number_of(q, "seq"));
	columns_add(t, json_text_of(q, "cause"));
	columns_addf(t, "%lld", (long long)json_number_of(q, "pending_writes"));
	columns_add(t, json_text_of(q, "since"));
	columns_add(t, json_text_of(q, "error"));
}

static int show_parked(const struct cli *c, const json_t *list)
{
	static const char *const heads[] = {"INSTANCE", "COLLECTION", "ID",
	                                    "RECORD",   "CAUSE",      "PENDING",
	                                    "SINCE",    "ERROR",      NULL};

	if (!json_is_array(list))
		return print_wrong(c, CLI_NOT,
		                   "this proxy does not lead, it cannot know");
	if (cli_json(c))
		page_json(list);
	else if (json_array_size(list) == 0)
		puts("nothing is in quarantine");
	else
		page_list(list, heads, add_parked);
	return json_array_size(list) == 0 ? CLI_OK : CLI_NOT;
}

int command_quarantine(struct cli *c)
{
	int code = ask_start(c);
	json_t *status;

	if (code != CLI_OK)
		return code;
	status = page_fetch(c, "/status", &code);
	if (status != NULL)
		code = show_parked(c, json_object_get(status, "quarantine"));
	json_decref(status);
	ask_stop();
	return code;
}

/* --- mappings ---------------------------------------------------------------------- */

static void add_mapping(struct columns *t, const json_t *m)
{
	struct text places = {0};
	const char *name;
	json_t *id;

	json_object_foreach(json_object_get(m, "locations"), name, id)
	{
		text_addf(&places, "%s%s=%s", places.len > 0 ? " " : "", name,
		          json_string_value(id));
	}
	columns_add(t, json_text_of(m, "tenant"));
	columns_add(t, json_text_of(m, "database"));
	columns_add(t, json_text_of(m, "collection_name"));
	columns_add(t, json_text_of(m, "public_id"));
	columns_add(t, json_text_of(m, "status"));
	columns_add(t, text_string(&places));
	text_clear(&places);
}

int command_mappings(struct cli *c)
{
	static const char *const heads[] = {"TENANT", "DATABASE",  "COLLECTION", "ID",
	                                    "STATUS", "LOCATIONS", NULL};
	int code = ask_start(c);
	json_t *document;

	if (code != CLI_OK)
		return code;
	document = page_fetch(c, "/collection/mappings", &code);
	if (document != NULL && cli_json(c))
		page_json(json_object_get(document, "mappings"));
	else if (document != NULL)
		page_list(json_object_get(document, "mappings"), heads, add_mapping);
	json_decref(document);
	ask_stop();
	return code;
}

/* --- an operator's word ------------------------------------------------------------ */

static int tell(struct cli *c, const char *verb, json_t *body)
{
	char *target = mem_format("/admin/wal/%s/%s", c->words[0], verb);
	struct answer a = {0};
	int code = ask_start(c);

	if (code != CLI_OK) {
		json_decref(body);
	} else if (!ask_json("POST", target, body, &a)) {
		code = print_failure(c, &a);
	} else if (cli_json(c)) {
		code = print_body(&a);
	} else {
		printf("%s of record %s has begun\n", verb, c->words[0]);
	}
	free(target);
	answer_clear(&a);
	if (code != CLI_USAGE)
		ask_stop();
	return code;
}

int command_retry(struct cli *c)
{
	if (!cli_is_seq(c->words[0]))
		return print_wrong(c, CLI_USAGE, "`%s` is no record's number",
		                   c->words[0]);
	return tell(c, "retry", json_object());
}

int command_skip(struct cli *c)
{
	const char *reason = cli_value(c, "reason");

	if (!cli_is_seq(c->words[0]))
		return print_wrong(c, CLI_USAGE, "`%s` is no record's number",
		                   c->words[0]);
	if (reason == NULL || reason[0] == '\0')
		return print_wrong(c, CLI_USAGE, "a --reason is needed");
	return tell(c, "skip", json_pack("{s:s}", "reason", reason));
}
