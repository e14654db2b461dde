/* Stories of a write that is sent again: wal/join.c, wal/key.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "tests/lib/world.h"
#include "wal/engine.h"
#include "wal/record.h"

#define PRIMARY world_model(A)
#define SENT_AT_ONCE 16u

/* One request of a client. */
struct sent {
	struct op *pending;
	bool appended, ended;
	enum status status;
	int http;
	wal_seq seq;
	char *body;
};

static struct sent sent[SENT_AT_ONCE];
static unsigned n_sent;

static void on_appended(void *arg, wal_seq seq)
{
	struct sent *s = arg;

	assert_false(s->appended);
	s->appended = true;
	s->seq = seq;
}

static void on_decided(void *arg, enum status status, const struct wal_outcome *outcome)
{
	struct sent *s = arg;

	s->ended = true;
	s->status = status;
	if (status != STATUS_OK)
		return;
	assert_true(s->appended && outcome->seq == s->seq);
	s->http = outcome->http;
	s->body = mem_substring(blob_bytes(outcome->body), blob_len(outcome->body));
}

static struct sent *next_sent(void)
{
	assert_true(n_sent < SENT_AT_ONCE);
	return &sent[n_sent++];
}

static struct sent *give(struct wal_write w, const char *body)
{
	struct sent *s = next_sent();

	if (body != NULL)
		w.body = blob_create(body, strlen(body));
	wal_write(&w, on_appended, on_decided, s, &s->pending);
	blob_unref(&w.body);
	return s;
}

/* As http/ does it when the catalogue knows of the first already; NULL: not joined. */
static struct sent *give_again(struct wal_write w, const char *body)
{
	struct sent *s = next_sent();
	bool joined;

	if (body != NULL)
		w.body = blob_create(body, strlen(body));
	joined = wal_join(&w, on_appended, on_decided, s, &s->pending);
	blob_unref(&w.body);
	assert_true(joined == (s->pending != NULL));
	return joined ? s : NULL;
}

/* Its client was told "pending", or is gone. */
static void leave(struct sent *s)
{
	op_cancel(&s->pending);
}

static struct sent *look_up(const char *key, const char *request)
{
	struct wal_key k = {.text = key};
	struct sent *s = next_sent();

	k.fingerprint = digest_of((struct digest_part[]){{request, strlen(request)}}, 1);
	wal_repeat(&k, on_appended, on_decided, s, &s->pending);
	return s;
}

static struct sent *give_with_key(struct wal_write w, const char *key, const char *body)
{
	struct wal_key k = {.text = key};

	k.fingerprint = digest_of((struct digest_part[]){{body, strlen(body)}}, 1);
	w.key = &k;
	return give(w, body);
}

static struct wal_write item(enum record_kind kind)
{
	return (struct wal_write){.kind = kind, .collection = named("docs")};
}

static struct database *default_database(void)
{
	return catalogue_database(TENANT_DEFAULT, DATABASE_DEFAULT);
}

static void darkness(void)
{
	world_start();
	made("docs");
	world_down(A);
	world_down(B);
}

static void light(void)
{
	world_up(A);
	world_up(B);
}

static void same_outcome(const struct sent *a, const struct sent *b, int http)
{
	assert_true(a->ended && b->ended);
	assert_int_equal(a->status, STATUS_OK);
	assert_int_equal(b->status, STATUS_OK);
	assert_int_equal(a->http, http);
	assert_int_equal(b->http, http);
	assert_int_equal(a->seq, b->seq);
	assert_string_equal(a->body, b->body);
}

static void forget_sent(void)
{
	for (unsigned k = 0; k < n_sent; k++) {
		op_cancel(&sent[k].pending);
		free(sent[k].body);
	}
	memset(sent, 0, sizeof(sent));
	n_sent = 0;
}

static void finish(void)
{
	world_settle();
	world_check();
	forget_sent();
	world_stop();
}

#define ADD "{\"ids\":[\"a\"],\"documents\":[\"one\"]}"
#define ADD_2 "{\"ids\":[\"a\"],\"documents\":[\"two\"]}"

/* --- joining ----------------------------------------------------------------------- */

static void a_write_sent_again_after_pending_joins_its_record(void **state)
{
	struct sent *first, *second, *third;

	(void)state;
	darkness();
	first = give(item(RECORD_ADD), ADD);
	pass_ms(100);
	assert_true(first->appended);
	leave(first);
	second = give(item(RECORD_ADD), ADD);
	assert_true(second->appended); /* at once */
	assert_int_equal(second->seq, first->seq);
	leave(second);
	third = give(item(RECORD_ADD), ADD);
	assert_int_equal(third->seq, first->seq);
	assert_int_equal(fake_pg_log_count(), 2);
	light();
	world_settle();
	assert_int_equal(third->http, 201);
	assert_false(first->ended || second->ended);
	assert_int_equal(fake_pg_log_count(), 2);
	assert_string_equal(model_trace(PRIMARY), "create docs; add docs a; ");
	finish();
}

static void those_who_come_and_go_leave_nothing_behind(void **state)
{
	const struct wal_op *op;
	struct record *r;
	unsigned n = 0;

	(void)state;
	darkness();
	for (unsigned k = 0; k < 10; k++) {
		struct sent *s = give(item(RECORD_ADD), ADD);

		pass_ms(100);
		r = engine_find(s->seq);
		leave(s);
	}
	TAILQ_FOREACH (op, &r->watchers, link)
		n++;
	assert_int_equal(n, 1);
	light();
	finish();
}

static void it_joins_also_after_a_restart(void **state)
{
	struct sent *first, *second;

	(void)state;
	darkness();
	first = give(item(RECORD_UPSERT), ADD);
	pass_ms(100);
	leave(first);
	world_restart(20000);
	second = give(item(RECORD_UPSERT), ADD);
	assert_true(second->appended);
	assert_int_equal(second->seq, first->seq);
	light();
	world_settle();
	assert_true(second->ended);
	assert_int_equal(second->http, 200);
	assert_int_equal(fake_pg_log_count(), 2);
	finish();
}

static void it_does_not_join_while_somebody_listens(void **state)
{
	struct sent *first, *second;

	(void)state;
	darkness();
	first = give(item(RECORD_ADD), ADD);
	pass_ms(100);
	second = give(item(RECORD_ADD), ADD);
	pass_ms(100);
	assert_true(second->seq > first->seq);
	light();
	world_settle();
	assert_true(first->ended && second->ended);
	finish();
}

static void it_does_not_join_what_is_decided(void **state)
{
	struct sent *first, *second;

	(void)state;
	world_start();
	made("docs");
	model_fault(world_model(B), FAULT_HANG_BEFORE, 1); /* it is still in memory */
	first = give(item(RECORD_ADD), ADD);
	pass_ms(500);
	assert_int_equal(first->http, 201);
	assert_non_null(engine_find(first->seq));
	second = give(item(RECORD_ADD), ADD);
	pass_ms(500);
	assert_int_equal(second->http, 201);
	assert_true(second->seq > first->seq);
	finish();
}

static void another_body_kind_or_collection_does_not_join(void **state)
{
	struct wal_write elsewhere = {.kind = RECORD_ADD};
	struct sent *first, *others[4];

	(void)state;
	world_start();
	made("docs");
	elsewhere.collection = made("other");
	world_down(A);
	world_down(B);
	first = give(item(RECORD_ADD), ADD);
	pass_ms(100);
	leave(first);
	others[0] = give(item(RECORD_ADD), ADD_2);
	others[1] = give(item(RECORD_UPSERT), ADD);
	others[2] = give(elsewhere, ADD);
	others[3] = give(item(RECORD_ADD), ADD " ");
	pass_ms(100);
	for (unsigned k = 0; k < 4; k++)
		assert_true(others[k]->seq > first->seq);
	light();
	finish();
}

static void it_joins_with_others_in_between_and_what_is_behind_stays_behind(void **state)
{
	struct sent *first, *between, *again;

	(void)state;
	darkness();
	first = give(item(RECORD_ADD), ADD);
	between = give(item(RECORD_UPDATE), ADD_2);
	pass_ms(100);
	leave(first);
	again = give(item(RECORD_ADD), ADD);
	assert_int_equal(again->seq, first->seq);
	light();
	world_settle();
	assert_int_equal(again->http, 201);
	assert_int_equal(between->http, 200);
	assert_string_equal(model_trace(PRIMARY),
	                    "create docs; add docs a; update docs a; ");
	finish();
}

static void in_doubt_at_an_instance_it_is_joined_and_happens_once(void **state)
{
	struct sent *first, *again;

	(void)state;
	world_start();
	made("docs");
	world_down(B);
	model_fault(PRIMARY, FAULT_HANG_AFTER, 1);
	first = give(item(RECORD_ADD), ADD);
	pass_ms(500);
	assert_true(first->appended && !first->ended);
	leave(first);
	again = give(item(RECORD_ADD), ADD);
	assert_int_equal(again->seq, first->seq);
	world_up(B);
	world_settle();
	assert_int_equal(again->http, 201);
	assert_int_equal(fake_pg_log_count(), 2);
	finish();
}

static void a_reset_joins_nothing(void **state)
{
	struct wal_write w = {.kind = RECORD_RESET};
	struct sent *first, *second;

	(void)state;
	darkness();
	first = give(w, NULL);
	pass_ms(100);
	leave(first);
	second = give(w, NULL);
	pass_ms(100);
	assert_true(second->seq > first->seq);
	light();
	finish();
}

/* --- the catalogue ----------------------------------------------------------------- */

static void joined_by(struct wal_write w, struct wal_write again, const char *body,
                      int http)
{
	struct sent *first, *second;
	unsigned records;

	darkness();
	first = give(w, body);
	pass_ms(100);
	records = fake_pg_log_count();
	assert_null(give_again(again, body)); /* somebody listens */
	leave(first);
	if (body != NULL)
		assert_null(give_again(again, "{}"));
	second = give_again(again, body);
	assert_non_null(second);
	assert_true(second->appended);
	assert_int_equal(second->seq, first->seq);
	light();
	world_settle();
	assert_true(second->ended);
	assert_int_equal(second->http, http);
	assert_int_equal(fake_pg_log_count(), records);
	assert_null(give_again(again, body)); /* decided */
	finish();
}

static void a_create_of_a_collection_joins(void **state)
{
	struct wal_write w = {.kind = RECORD_CREATE_COLLECTION, .name = "new"};

	(void)state;
	world_start();
	w.database = default_database();
	world_down(A);
	world_down(B);
	give(w, "{\"name\":\"new\"}");
	pass_ms(100);
	leave(&sent[0]);
	w.name = "newer";
	assert_null(give_again(w, "{\"name\":\"new\"}"));
	w.name = "new";
	assert_non_null(give_again(w, "{\"name\":\"new\"}"));
	light();
	world_settle();
	assert_int_equal(sent[n_sent - 1].http, 200);
	finish();
}

static void creates_of_databases_and_tenants_join(void **state)
{
	struct wal_write db = {
	        .kind = RECORD_CREATE_DATABASE, .tenant = TENANT_DEFAULT, .name = "base"};
	struct wal_write tenant = {.kind = RECORD_CREATE_TENANT, .tenant = "ten"};

	(void)state;
	joined_by(db, db, "{\"name\":\"base\"}", 200);
	joined_by(tenant, tenant, "{\"name\":\"ten\"}", 200);
}

static struct wal_write of_docs(enum record_kind kind, const char *name)
{
	struct wal_write w = item(kind);

	w.name = name;
	return w;
}

static void a_rename_joins_by_its_new_name(void **state)
{
	struct sent *first, *second;

	(void)state;
	darkness();
	first = give(of_docs(RECORD_MODIFY_COLLECTION, "next"),
	             "{\"new_name\":\"next\"}");
	pass_ms(100);
	leave(first);
	assert_null(give_again(of_docs(RECORD_MODIFY_COLLECTION, "other"),
	                       "{\"new_name\":\"next\"}"));
	second = give_again(of_docs(RECORD_MODIFY_COLLECTION, "next"),
	                    "{\"new_name\":\"next\"}");
	assert_non_null(second);
	light();
	world_settle();
	assert_int_equal(second->http, 200);
	assert_non_null(named("next"));
	finish();
}

static void a_delete_joins_by_what_the_collection_was_known_as(void **state)
{
	struct wal_write gone = {.kind = RECORD_DELETE_COLLECTION, .name = "docs"};
	struct sent *first, *second, *third;
	char *id;

	(void)state;
	darkness();
	gone.database = default_database();
	id = mem_string(named("docs")->public_id.text);
	first = give(item(RECORD_DELETE_COLLECTION), NULL);
	pass_ms(100);
	assert_null(named("docs"));
	assert_null(give_again(gone, NULL));
	leave(first);
	second = give_again(gone, NULL);
	assert_non_null(second);
	leave(second);
	gone.name = "other";
	assert_null(give_again(gone, NULL));
	gone.name = id;
	third = give_again(gone, NULL);
	assert_non_null(third);
	assert_int_equal(third->seq, first->seq);
	light();
	world_settle();
	assert_int_equal(third->http, 200);
	assert_int_equal(fake_pg_log_count(), 2);
	free(id);
	finish();
}

static void a_delete_of_a_database_joins_by_its_name(void **state)
{
	struct wal_write w = {.kind = RECORD_DELETE_DATABASE};
	struct wal_write gone = {
	        .kind = RECORD_DELETE_DATABASE, .tenant = TENANT_DEFAULT, .name = "base"};
	struct sent *first, *second;

	(void)state;
	world_start();
	create_database("base");
	world_settle();
	world_down(A);
	world_down(B);
	w.database = catalogue_database(TENANT_DEFAULT, "base");
	first = give(w, NULL);
	pass_ms(100);
	leave(first);
	second = give_again(gone, NULL);
	assert_non_null(second);
	assert_int_equal(second->seq, first->seq);
	light();
	world_settle();
	assert_int_equal(second->http, 200);
	finish();
}

/* --- before it is known whether it is in the log ----------------------------------- */

static void a_write_whose_append_is_lost_is_joined_by_its_repeat(void **state)
{
	struct sent *first, *second;

	(void)state;
	world_start();
	made("docs");
	first = give(item(RECORD_ADD), ADD);
	fake_pg_cut("log", 1, false, 0); /* it has committed; nobody hears */
	leave(first);
	while (!wal_ready())
		pass_ms(1);
	second = give(item(RECORD_ADD), ADD);
	world_settle();
	assert_int_equal(second->http, 201);
	assert_int_equal(fake_pg_log_count(), 2);
	finish();
}

static void one_whose_client_still_waits_for_the_log_is_not(void **state)
{
	struct sent *first, *second;

	(void)state;
	world_start();
	made("docs");
	first = give(item(RECORD_ADD), ADD);
	second = give(item(RECORD_ADD), ADD);
	world_settle();
	assert_int_equal(first->http, 201);
	assert_int_equal(second->http, 201);
	assert_true(second->seq > first->seq);
	finish();
}

/* --- keys -------------------------------------------------------------------------- */

static void a_key_has_the_stored_outcome_of_its_write(void **state)
{
	struct sent *first, *again;

	(void)state;
	world_start();
	made("docs");
	again = look_up("k1", ADD);
	world_settle();
	assert_int_equal(again->status, STATUS_NOT_FOUND);
	first = give_with_key(item(RECORD_ADD), "k1", ADD);
	world_settle();
	assert_null(engine_find(first->seq));
	again = look_up("k1", ADD);
	world_settle();
	same_outcome(first, again, 201);
	again = look_up("k1", ADD_2);
	world_settle();
	assert_int_equal(again->status, STATUS_CONFLICT);
	assert_false(again->appended);
	finish();
}

static void a_key_of_an_undecided_write_waits_for_it_with_all_the_others(void **state)
{
	struct sent *first, *second, *third;

	(void)state;
	darkness();
	first = give_with_key(item(RECORD_ADD), "k1", ADD);
	pass_ms(100);
	second = look_up("k1", ADD);
	pass_ms(100);
	assert_true(second->appended && !second->ended);
	world_restart(20000);
	third = look_up("k1", ADD);
	light();
	world_settle();
	assert_int_equal(first->status, STATUS_STOPPED);
	assert_int_equal(third->http, 201);
	assert_int_equal(third->seq, first->seq);
	assert_int_equal(fake_pg_log_count(), 2);
	finish();
}

static void what_is_decided_but_not_yet_durable_is_waited_for(void **state)
{
	struct sent *first, *again;

	(void)state;
	world_start();
	made("docs");
	first = give_with_key(item(RECORD_ADD), "k1", ADD);
	while (!first->appended)
		pass_ms(1);
	fake_pg_delay(50);
	again = look_up("k1", ADD); /* at the log before its outcome is */
	while (!first->ended)
		pass_ms(1);
	assert_false(again->appended);
	while (!again->appended)
		pass_ms(1);
	assert_false(again->ended);
	world_settle();
	same_outcome(first, again, 201);
	finish();
}

static void a_refusal_is_an_answer_too(void **state)
{
	struct sent *first, *again;

	(void)state;
	world_start();
	made("docs");
	first = give_with_key(item(RECORD_ADD), "k1", "{\"ids\":[\"\"]}");
	world_settle();
	assert_in_range(first->http, 400, 422);
	again = look_up("k1", "{\"ids\":[\"\"]}");
	world_settle();
	same_outcome(first, again, first->http);
	finish();
}

static void of_two_with_one_key_the_second_is_not_logged(void **state)
{
	struct sent *first, *second;

	(void)state;
	world_start();
	made("docs");
	first = give_with_key(item(RECORD_ADD), "k1", ADD);
	second = give_with_key(item(RECORD_ADD), "k1", ADD);
	world_settle();
	assert_int_equal(first->http, 201);
	assert_int_equal(second->status, STATUS_CONFLICT);
	assert_int_equal(fake_pg_log_count(), 2);
	assert_int_equal(fake_pg_keys(), 1);
	finish();
}

static void a_write_that_is_not_logged_does_not_use_up_its_key(void **state)
{
	struct wal_write w = {.kind = RECORD_CREATE_COLLECTION, .name = "docs"};
	struct sent *first;

	(void)state;
	world_start();
	made("docs");
	w.database = default_database();
	first = give_with_key(w, "k1", "{\"name\":\"docs\"}");
	world_settle();
	assert_int_equal(first->status, STATUS_CONFLICT);
	assert_int_equal(fake_pg_keys(), 0);
	finish();
}

static void who_names_his_writes_joins_nothing_else(void **state)
{
	struct sent *first, *with, *without;

	(void)state;
	darkness();
	first = give(item(RECORD_ADD), ADD);
	pass_ms(100);
	leave(first);
	with = give_with_key(item(RECORD_ADD), "k1", ADD);
	pass_ms(100);
	assert_true(with->seq > first->seq);
	leave(with);
	without = give(item(RECORD_ADD), ADD);
	assert_int_equal(without->seq, first->seq);
	light();
	finish();
}

static void a_key_waits_until_it_is_known_what_became_of_lost_appends(void **state)
{
	struct sent *first, *again;

	(void)state;
	world_start();
	made("docs");
	first = give_with_key(item(RECORD_ADD), "k1", ADD);
	fake_pg_cut("log", 1, false, 0); /* it has committed; nobody hears */
	leave(first);
	while (!wal_ready())
		pass_ms(1);
	again = look_up("k1", ADD);
	while (!again->ended)
		pass_ms(10);
	assert_int_equal(again->http, 201);
	assert_int_equal(fake_pg_log_count(), 2);
	finish();
}

static void when_the_log_is_lost_meanwhile_a_key_is_not_known(void **state)
{
	struct sent *s;

	(void)state;
	world_start();
	made("docs");
	s = look_up("k1", ADD);
	fake_pg_cut("log", 0, false, 0);
	pass_ms(5);
	assert_true(s->ended);
	assert_int_equal(s->status, STATUS_LOG_UNAVAILABLE);
	finish();
}

static void a_key_is_forgotten_with_the_retention_not_before_it_is_decided(void **state)
{
	struct sent *s;

	(void)state;
	darkness();
	s = give_with_key(item(RECORD_ADD), "k1", ADD);
	for (unsigned minutes = 0; minutes < 90; minutes++)
		pass_ms(60000);
	assert_int_equal(fake_pg_keys(), 1);
	light();
	world_settle();
	assert_int_equal(s->http, 201);
	pass_ms(20000);
	assert_int_equal(fake_pg_keys(), 0);
	s = look_up("k1", ADD);
	pass_ms(100);
	assert_int_equal(s->status, STATUS_NOT_FOUND);
	forget_sent();
	world_stop();
}

static int clean_up(void **state)
{
	(void)state;
	forget_sent();
	world_clean_up();
	return 0;
}

#define story(f) cmocka_unit_test_teardown(f, clean_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        story(a_write_sent_again_after_pending_joins_its_record),
	        story(those_who_come_and_go_leave_nothing_behind),
	        story(it_joins_also_after_a_restart),
	        story(it_does_not_join_while_somebody_listens),
	        story(it_does_not_join_what_is_decided),
	        story(another_body_kind_or_collection_does_not_join),
	        story(it_joins_with_others_in_between_and_what_is_behind_stays_behind),
	        story(in_doubt_at_an_instance_it_is_joined_and_happens_once),
	        story(a_reset_joins_nothing),
	        story(a_create_of_a_collection_joins),
	        story(creates_of_databases_and_tenants_join),
	        story(a_rename_joins_by_its_new_name),
	        story(a_delete_joins_by_what_the_collection_was_known_as),
	        story(a_delete_of_a_database_joins_by_its_name),
	        story(a_write_whose_append_is_lost_is_joined_by_its_repeat),
	        story(one_whose_client_still_waits_for_the_log_is_not),
	        story(a_key_has_the_stored_outcome_of_its_write),
	        story(a_key_of_an_undecided_write_waits_for_it_with_all_the_others),
	        story(what_is_decided_but_not_yet_durable_is_waited_for),
	        story(a_refusal_is_an_answer_too),
	        story(of_two_with_one_key_the_second_is_not_logged),
	        story(a_write_that_is_not_logged_does_not_use_up_its_key),
	        story(who_names_his_writes_joins_nothing_else),
	        story(a_key_waits_until_it_is_known_what_became_of_lost_appends),
	        story(when_the_log_is_lost_meanwhile_a_key_is_not_known),
	        story(a_key_is_forgotten_with_the_retention_not_before_it_is_decided),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
