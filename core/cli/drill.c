/* core/cli/drill.c - `chromatid drill`: an instance of a system in use, or both, are
 * taken out, and the journeys of clients go on, or are refused as they must be; then they
 * are put back, and everything must be on each of them.
 *
 *   before        a collection that stays, and one that is to be deleted meanwhile
 *   take out      by the proxy (drain), or by hand: the operator is told, and waited for
 *   meanwhile     one is out: not one request may fail; both: writes are kept in the log
 *   put back      until the proxy says they are up and have everything
 *   afterwards    read from each, compared; what was deleted has gone
 * Whatever happens, what this run has taken out is put back; should it die, the proxy
 * does that by itself after a while. */
#include <stdlib.h>
#include <string.h>

#include "core/cli/trial.h"
#include "core/mem.h"

#define OUT_SECONDS 900
#define BY_HAND_MS 600000u
#define LOOK_MS 250u

struct drill {
	bool wanted[TRIAL_INSTANCES]; /* to be down */
	bool drained[TRIAL_INSTANCES];
	bool by_hand, both;
	struct trial_collection *stays, *doomed, *new, *brief;
};

/* --- out, and back ----------------------------------------------------------------- */

static bool set_health(struct trial *t, unsigned k, bool healthy, int *http)
{
	struct text target = {0};
	struct answer a;
	json_t *body = json_pack("{s:b}", "healthy", healthy);
	bool good;

	text_adds(&target, "/admin/instances/");
	page_add_part(&target, t->instances[k]);
	text_adds(&target, "/health");
	if (!healthy)
		json_object_set_new(body, "duration_seconds", json_integer(OUT_SECONDS));
	good = trial_ask(t, "POST", text_string(&target), body, &a);
	*http = a.http;
	answer_clear(&a);
	text_clear(&target);
	return good;
}

static void tell_operator(const struct trial *t, unsigned k, bool down)
{
	fprintf(stderr,
	        down ? "Now suspend the server of instance %s, so that it does not "
	               "answer "
	               "any more.\n"
	             : "Now let the server of instance %s go on.\n",
	        t->instances[k]);
	fflush(stderr);
}

/* `down`: it is; else: it is up, and has everything. */
static bool has_come(struct trial *t, unsigned k, bool down)
{
	json_t *status = trial_get(t, "/status");
	const json_t *in = json_array_get(json_object_get(status, "instances"), k);
	bool healthy = json_is_true(json_object_get(in, "healthy"));
	bool has_all = json_is_true(json_object_get(in, "caught_up"));

	json_decref(status);
	return down ? status != NULL && !healthy : healthy && has_all;
}

static void await(struct trial *t, unsigned k, bool down)
{
	const struct drill *d = t->own;
	msec since = clock_ms(), most = d->by_hand ? BY_HAND_MS : t->timeout_ms;
	bool come;

	while (!(come = has_come(t, k, down)) && !t->failed &&
	       clock_ms() - since < most && ask_sleep(LOOK_MS))
		;
	if (!come)
		trial_fail(t, "instance %s %s", t->instances[k],
		           down ? "does not go down"
		                : "does not come up, or does not catch up");
}

static void take_one_out(struct trial *t, unsigned k)
{
	struct drill *d = t->own;
	int http = 0;

	if (!d->by_hand && set_health(t, k, false, &http)) {
		d->drained[k] = true;
	} else if (d->by_hand || http == 401 || http == 403) {
		if (!d->by_hand)
			trial_note(t,
			           "an operator's token would let the drill do it by "
			           "itself (HTTP %d)",
			           http);
		d->by_hand = true;
		tell_operator(t, k, true);
	} else {
		trial_fail(t, "instance %s cannot be taken out: HTTP %d", t->instances[k],
		           http);
	}
}

static void take_out(struct trial *t)
{
	const struct drill *d = t->own;

	for (unsigned k = 0; k < t->n_instances && !t->failed; k++)
		if (d->wanted[k])
			take_one_out(t, k);
	for (unsigned k = 0; k < t->n_instances && !t->failed; k++)
		if (d->wanted[k])
			await(t, k, true);
}

/* Twice: an interruption ends the request under way, not the next one. */
static void undrain(struct trial *t, unsigned k)
{
	struct drill *d = t->own;
	int http;

	for (unsigned n = 0; n < 2 && d->drained[k]; n++)
		d->drained[k] = !set_health(t, k, true, &http);
	if (d->drained[k])
		fprintf(stderr,
		        "chromatid: instance %s is still taken out: `chromatid undrain "
		        "%s`\n",
		        t->instances[k], t->instances[k]);
}

static void put_back(struct trial *t)
{
	const struct drill *d = t->own;

	for (unsigned k = 0; k < t->n_instances; k++) {
		if (d->drained[k])
			undrain(t, k);
		else if (d->wanted[k])
			tell_operator(t, k, false);
	}
	for (unsigned k = 0; k < t->n_instances && !t->failed; k++)
		await(t, k, false);
}

/* --- the journeys ------------------------------------------------------------------ */

static void before(struct trial *t)
{
	struct drill *d = t->own;

	d->stays = trial_create(t, "stays");
	trial_add(t, d->stays, 24);
	d->doomed = trial_create(t, "doomed");
	trial_add(t, d->doomed, 6);
	trial_look_everywhere(t, d->stays);
}

static void check_none_failed(struct trial *t, unsigned refused)
{
	if (t->refused > refused)
		trial_fail(t, "%u requests were not answered as usual",
		           t->refused - refused);
}

static void go_on(struct trial *t)
{
	struct drill *d = t->own;
	unsigned refused = t->refused;

	trial_look(t, d->stays);
	trial_query(t, d->stays);
	trial_add(t, d->stays, 12);
	trial_update(t, d->stays);
	trial_delete_by_filter(t, d->stays);
	trial_look(t, d->stays);
	check_none_failed(t, refused);
}

static void create_meanwhile(struct trial *t)
{
	struct drill *d = t->own;
	unsigned refused = t->refused;

	d->new = trial_create(t, "new");
	trial_add(t, d->new, 24);
	trial_delete_ids(t, d->new);
	trial_look(t, d->new);
	check_none_failed(t, refused);
}

static void delete_meanwhile(struct trial *t)
{
	struct drill *d = t->own;
	unsigned refused = t->refused;

	trial_remove(t, d->doomed);
	trial_gone(t, d->doomed);
	d->brief = trial_create(t, "brief");
	trial_add(t, d->brief, 6);
	trial_remove(t, d->brief);
	trial_gone(t, d->brief);
	check_none_failed(t, refused);
}

static void refuse_meanwhile(struct trial *t)
{
	const struct drill *d = t->own;
	struct answer a;

	trial_refused(t, d->stays);
	if (!trial_ask(t, "GET", "/health", NULL, &a))
		trial_fail(t, "/health answers HTTP %d: the proxy would be restarted",
		           a.http);
	answer_clear(&a);
}

static void keep_meanwhile(struct trial *t)
{
	const struct drill *d = t->own;

	trial_write_anyway(t, d->stays);
	if (!t->failed)
		trial_write_anyway(t, d->stays);
}

static void afterwards(struct trial *t)
{
	const struct drill *d = t->own;

	trial_look_everywhere(t, d->stays);
	trial_query_everywhere(t, d->stays);
	trial_mapping(t, d->stays);
	if (d->new == NULL)
		return;
	trial_look_everywhere(t, d->new);
	trial_mapping(t, d->new);
	trial_gone(t, d->doomed);
	trial_gone(t, d->brief);
}

static void compare(struct trial *t)
{
	const struct drill *d = t->own;

	trial_compare(t, d->stays);
	if (d->new != NULL)
		trial_compare(t, d->new);
}

/* --- all of it --------------------------------------------------------------------- */

static void run(struct trial *t, struct drill *d)
{
	trial_step(t, "health", trial_health);
	trial_step(t, "before", before);
	trial_step(t, "take out", take_out);
	if (d->both) {
		trial_step(t, "reads are refused", refuse_meanwhile);
		trial_step(t, "writes are kept", keep_meanwhile);
	} else {
		trial_step(t, "reads and writes go on", go_on);
		trial_step(t, "create meanwhile", create_meanwhile);
		trial_step(t, "delete meanwhile", delete_meanwhile);
	}
	trial_step(t, "put back, catch up", put_back);
	trial_step(t, "afterwards", afterwards);
	trial_step(t, "compare the instances", compare);
	for (unsigned k = 0; k < t->n_instances; k++)
		undrain(t, k);
}

/* False: the word is none. */
static bool choose(struct drill *d, const char *down)
{
	d->both = strcmp(down, "both") == 0;
	d->wanted[0] = d->both || strcmp(down, "primary") == 0;
	d->wanted[1] = d->both || strcmp(down, "replica") == 0;
	for (unsigned k = 2; d->both && k < TRIAL_INSTANCES; k++)
		d->wanted[k] = true;
	return d->wanted[0] || d->wanted[1];
}

int command_drill(struct cli *c)
{
	const char *down = cli_value(c, "down");
	struct drill d = {.by_hand = cli_flag(c, "by-hand")};
	struct trial t;
	int code;

	if (down == NULL || !choose(&d, down))
		return print_wrong(c, CLI_USAGE, "--down is primary, replica or both");
	code = trial_start(&t, c, "drill");
	if (code != CLI_OK)
		return code;
	t.own = &d;
	run(&t, &d);
	return trial_end(&t);
}
