/* core/cli/drain.c - `chromatid drain`, `undrain`: an instance is taken out by hand, and
 * put back. */
#include <stdlib.h>

#include "core/cli/cli_private.h"

static char *target_of(const char *instance)
{
	struct text target = {0};

	text_adds(&target, "/admin/instances/");
	page_add_part(&target, instance);
	text_adds(&target, "/health");
	return text_detach(&target);
}

static void say(const struct cli *c, const json_t *said)
{
	const json_t *seconds = json_object_get(said, "will_restore_in_seconds");
	struct text out = {0};

	print_clean(&out, json_text_of(said, "message"));
	if (json_is_number(seconds))
		text_addf(&out, ", for %g s", json_number_value(seconds));
	else if (json_is_true(json_object_get(said, "permanent")))
		text_addf(&out, ", until `chromatid undrain %s`", c->words[0]);
	text_addc(&out, '\n');
	print_text(&out);
}

static int tell(struct cli *c, json_t *body)
{
	char *target = target_of(c->words[0]);
	struct answer a = {0};
	json_t *said = NULL;
	int code = CLI_OK;

	if (!ask_json("POST", target, body, &a) || (said = answer_json(&a)) == NULL)
		code = print_failure(c, &a);
	else if (cli_json(c))
		code = print_body(&a);
	else
		say(c, said);
	free(target);
	json_decref(said);
	answer_clear(&a);
	return code;
}

static int drain(struct cli *c)
{
	json_t *body = json_pack("{s:b}", "healthy", 0);
	double seconds = 0;
	int code;

	cli_seconds(c, "for", &seconds, &code); /* is good: command_drain() */
	if (seconds > 0)
		json_object_set_new(body, "duration_seconds", json_real(seconds));
	return tell(c, body);
}

static int undrain(struct cli *c)
{
	return tell(c, json_pack("{s:b}", "healthy", 1));
}

int command_drain(struct cli *c)
{
	double seconds = 0;
	int code;

	if (!cli_seconds(c, "for", &seconds, &code))
		return code;
	return page_run(c, drain);
}

int command_undrain(struct cli *c)
{
	return page_run(c, undrain);
}
