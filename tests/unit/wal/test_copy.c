/* Stories of a collection that is copied from one instance to another, and what the pure
 * parts of it make of what Chromas say. */
#include "tests/unit/wal/copying.h"

#define DONOR world_model(A)
#define TARGET world_model(B)

/* --- pure: what differs ---------------------------------------------------------------
 */

static char *changes(const char *donor, const char *target, const char **why)
{
	struct blob *a = blob_create(donor, strlen(donor));
	struct blob *b = blob_create(target, strlen(target));
	struct blob *body = copy_changes(a, b, why);
	char *text =
	        body != NULL ? mem_substring(blob_bytes(body), blob_len(body)) : NULL;

	blob_unref(&a);
	blob_unref(&b);
	blob_unref(&body);
	return text;
}

static void assert_changes(const char *donor, const char *target, const char *expected)
{
	const char *why;
	char *body = changes(donor, target, &why);

	assert_null(why);
	if (expected == NULL)
		assert_null(body);
	else
		assert_string_equal(body, expected);
	free(body);
}

#define ITEMS(ids, e, d, u, m)                                                           \
	"{\"ids\":" ids ",\"embeddings\":" e ",\"documents\":" d ",\"uris\":" u          \
	",\"metadatas\":" m ",\"include\":[\"embeddings\"]}"

static void what_is_equal_is_not_sent(void **state)
{
	(void)state;
	assert_changes(ITEMS("[\"a\",\"b\"]", "[[1.0],[2.0]]", "[\"x\",null]",
	                     "[null,null]", "[{\"k\":1,\"l\":[1,2]},null]"),
	               ITEMS("[\"b\",\"a\"]", "[[2.0],[1.0]]", "[null,\"x\"]",
	                     "[null,null]", "[null,{\"l\":[1,2],\"k\":1}]"),
	               NULL);
}

static void a_key_that_is_gone_is_sent_as_null(void **state)
{
	(void)state;
	assert_changes(
	        ITEMS("[\"a\",\"b\"]", "[[1.0],[2.0]]", "[null,\"y\"]", "[null,\"u\"]",
	              "[null,{\"k\":1.0}]"),
	        ITEMS("[\"a\",\"b\"]", "[[1.0],[2.5]]", "[null,\"x\"]", "[null,null]",
	              "[{\"old\":true},{\"k\":1,\"other\":2}]"),
	        "{\"ids\":[\"a\",\"b\"],\"embeddings\":[[1.0],[2.0]],\"documents\":[null,"
	        "\"y\"],\"uris\":[null,\"u\"],\"metadatas\":[{\"old\":null},{\"k\":1.0,"
	        "\"other\":null}]}");
}

static void what_the_target_lacks_is_not_updated(void **state)
{
	(void)state;
	assert_changes(ITEMS("[\"a\",\"b\"]", "[[1.0],[2.0]]", "[null,null]",
	                     "[null,null]", "[null,null]"),
	               ITEMS("[\"b\"]", "[[3.0]]", "[null]", "[null]", "[null]"),
	               "{\"ids\":[\"b\"],\"embeddings\":[[2.0]],\"documents\":[null],"
	               "\"uris\":[null],\"metadatas\":[{}]}");
}

/* An escape is only another way to write it. */
static void an_id_is_found_however_it_is_written(void **state)
{
	(void)state;
	assert_changes(
	        ITEMS("[\"\\u00fc\"]", "[[1.0]]", "[null]", "[null]", "[null]"),
	        ITEMS("[\"\xc3\xbc\"]", "[[2.0]]", "[null]", "[null]", "[null]"),
	        "{\"ids\":[\"\\u00fc\"],\"embeddings\":[[1.0]],\"documents\":[null],"
	        "\"uris\":[null],\"metadatas\":[{}]}");
}

static void a_document_cannot_be_taken_away(void **state)
{
	const char *why;

	(void)state;
	free(changes(ITEMS("[\"a\"]", "[[1.0]]", "[null]", "[null]", "[null]"),
	             ITEMS("[\"a\"]", "[[1.0]]", "[\"x\"]", "[null]", "[null]"), &why));
	assert_non_null(why);
	free(changes("{\"ids\":1}", "{}", &why));
	assert_non_null(why);
}

/* --- pure: what a collection is like ---------------------------------------------------
 */

#define INDEX(ef, threads)                                                               \
	"{\"float_list\":{\"vector_index\":{\"config\":{\"hnsw\":{\"ef_search\":" ef     \
	",\"batch_size\":77,\"num_threads\":" threads "}}}}}"
#define SHAPE(metadata, ef, threads, keys)                                               \
	"{\"metadata\":" metadata ",\"configuration_json\":{\"hnsw\":{\"space\":\"ip\"," \
	"\"ef_search\":" ef "},\"spann\":null,\"embedding_function\":null},\"schema\":{" \
	"\"defaults\":{\"int\":{\"i\":true}},\"keys\":{\"#embedding\":" INDEX(           \
	        ef, threads) keys "}},\"dimension\":3}"

static json_t *shape(const char *text)
{
	json_t *found = json_loads(text, 0, NULL);

	assert_non_null(found);
	return found;
}

static void assert_created_by(const json_t *s, unsigned form, const char *expected)
{
	struct blob *body = shape_create(s, "new", form);
	json_t *is, *should = json_loads(expected, 0, NULL);

	assert_non_null(body);
	assert_non_null(should);
	is = json_loadb(blob_bytes(body), blob_len(body), 0, NULL);
	assert_true(json_equal(is, should));
	json_decref(is);
	json_decref(should);
	blob_unref(&body);
}

static void a_create_says_all_that_can_be_said(void **state)
{
	json_t *s = shape(SHAPE("{\"m\":1}", "33", "2", ""));

	(void)state;
	assert_created_by(s, 0,
	                  "{\"name\":\"new\",\"configuration\":{\"hnsw\":{\"space\":"
	                  "\"ip\",\"ef_search\":33,\"batch_size\":77}}}");
	assert_created_by(s, 1,
	                  "{\"name\":\"new\",\"schema\":{\"defaults\":{\"int\":{\"i\":"
	                  "true}},\"keys\":{\"#embedding\":" INDEX("33", "2") "}}}");
	assert_null(shape_create(s, "new", 3));
	assert_int_equal(shape_dimension(s), 3);
	json_decref(s);
}

static void assert_same(const char *a, const char *b, bool same)
{
	json_t *x = shape(a), *y = shape(b);

	assert_int_equal(shape_same_settings(x, y), same);
	assert_int_equal(shape_same_settings(y, x), same);
	json_decref(x);
	json_decref(y);
}

static void settings_are_the_same_but_for_threads_and_keys_that_came_by_themselves(
        void **state)
{
	(void)state;
	assert_same(SHAPE("null", "33", "2", ""), SHAPE("{\"m\":1}", "33", "8", ""),
	            true);
	assert_same(SHAPE("null", "33", "2", ""), SHAPE("null", "34", "2", ""), false);
	assert_same(SHAPE("null", "33", "2", ""),
	            SHAPE("null", "33", "2", ",\"k\":{\"int\":{\"i\":true}}"), true);
	assert_same(SHAPE("null", "33", "2", ""),
	            SHAPE("null", "33", "2", ",\"k\":{\"int\":{\"i\":false}}"), false);
}

static void assert_shaped_by(const char *donor, const char *target, const char *expected)
{
	json_t *x = shape(donor), *y = shape(target);
	struct blob *body = shape_changes(x, y);

	if (expected == NULL) {
		assert_null(body);
	} else {
		assert_non_null(body);
		assert_int_equal(blob_len(body), strlen(expected));
		assert_memory_equal(blob_bytes(body), expected, strlen(expected));
	}
	json_decref(x);
	json_decref(y);
	blob_unref(&body);
}

static void only_what_differs_is_changed(void **state)
{
	(void)state;
	assert_shaped_by(SHAPE("null", "33", "2", ""), SHAPE("null", "33", "8", ""),
	                 NULL);
	assert_shaped_by(SHAPE("{\"m\":1}", "33", "2", ""),
	                 SHAPE("{\"m\":2}", "34", "2", ""),
	                 "{\"new_metadata\":{\"m\":1},\"new_configuration\":{\"hnsw\":{"
	                 "\"ef_search\":33}}}");
	assert_shaped_by(SHAPE("null", "33", "2", ""), SHAPE("{\"m\":2}", "33", "2", ""),
	                 "{\"new_metadata\":{\"none\":null}}");
}

/* --- stories
 * ---------------------------------------------------------------------------- */

static void with_items(const char *ids)
{
	world_start();
	made("docs");
	items(RECORD_ADD, named("docs"), ids, 3, false);
	world_settle();
	begin_copy();
}

static void end_story(void)
{
	copy_destroy(&copying.copy);
	world_stop();
}

static void all_is_copied_in_order(void **state)
{
	(void)state;
	with_items("c,a,b");
	assert_int_equal(make(), STATUS_OK);
	assert_int_equal(copy_all(), STATUS_OK);
	assert_true(copy_progress(copying.copy)->all);
	assert_int_equal(copy_progress(copying.copy)->items, 3);
	assert_int_equal(copy_progress(copying.copy)->total, 3);
	assert_int_equal(check(), STATUS_OK);
	assert_copied();
	end_story();
}

static void an_empty_one_keeps_its_dimension(void **state)
{
	(void)state;
	with_items("a");
	take_out("docs", "a");
	world_settle();
	assert_int_equal(make(), STATUS_OK);
	assert_int_equal(copy_all(), STATUS_OK);
	assert_int_equal(check(), STATUS_OK);
	assert_copied();
	end_story();
}

/* It is set by a record behind the base, that leaves no item. */
static void a_dimension_that_comes_later_comes_at_the_check(void **state)
{
	(void)state;
	world_start();
	made("docs");
	begin_copy();
	assert_int_equal(make(), STATUS_OK);
	assert_int_equal(copy_all(), STATUS_OK);
	items(RECORD_ADD, named("docs"), "a", 3, false);
	world_settle();
	take_out("docs", "a");
	world_settle();
	assert_int_equal(copy_what_was_touched(), STATUS_OK);
	assert_int_equal(check(), STATUS_OK);
	assert_copied();
	end_story();
}

static void what_was_touched_comes_out_in_order(void **state)
{
	(void)state;
	with_items("a,b,c,d,e");
	assert_int_equal(make(), STATUS_OK);
	assert_int_equal(copy_all(), STATUS_OK);
	take_out("docs", "b");
	world_settle();
	items(RECORD_ADD, named("docs"), "f,b", 3, false);
	update("docs", "c");
	take_out("docs", "a");
	upsert("docs", "e");
	world_settle();
	assert_int_equal(copy_what_was_touched(), STATUS_OK);
	assert_int_equal(copy_progress(copying.copy)->touched, 5);
	assert_copied();
	assert_string_equal(model_items(DONOR, "docs"), "c,d,e,f,b");
	assert_int_equal(copy_what_was_touched(), STATUS_OK);
	assert_int_equal(copy_progress(copying.copy)->touched, 0);
	end_story();
}

static void the_collection_itself_is_changed_too(void **state)
{
	(void)state;
	with_items("a");
	assert_int_equal(make(), STATUS_OK);
	assert_int_equal(copy_all(), STATUS_OK);
	modify("docs");
	world_settle();
	assert_int_equal(check(), STATUS_CONFLICT);
	assert_int_equal(copy_what_was_touched(), STATUS_OK);
	assert_int_equal(check(), STATUS_OK);
	assert_copied();
	end_story();
}

static void many_records_are_read_in_pages(void **state)
{
	(void)state;
	with_items("a,b");
	assert_int_equal(make(), STATUS_OK);
	assert_int_equal(copy_all(), STATUS_OK);
	for (unsigned k = 0; k < 1203; k++)
		update("docs", k % 2 == 0 ? "a" : "b");
	add("docs", "last");
	world_settle();
	assert_int_equal(copy_what_was_touched(), STATUS_OK);
	assert_int_equal(copy_progress(copying.copy)->touched, 3);
	assert_copied();
	end_story();
}

static unsigned before;

static enum fault is_lost_once(void *arg)
{
	(void)arg;
	return before-- == 0 ? FAULT_LOST_AFTER : FAULT_NONE;
}

static void a_lost_answer_to_a_create_leaves_nothing_over(void **state)
{
	(void)state;
	with_items("a");
	for (unsigned k = 0; k < 6; k++) {
		before = k;
		model_faults(TARGET, is_lost_once, NULL);
		assert_int_equal(make(), STATUS_BROKEN);
		model_faults(TARGET, NULL, NULL);
		assert_int_equal(make(), STATUS_OK);
		assert_int_equal(model_aside(TARGET), 1);
	}
	end_story();
}

static void leftovers_of_earlier_attempts_go(void **state)
{
	(void)state;
	with_items("a");
	copying.spec.attempt = 1;
	another_goes_on();
	assert_int_equal(make(), STATUS_OK);
	copying.spec.attempt = 4;
	another_goes_on();
	assert_int_equal(make(), STATUS_OK);
	assert_int_equal(model_aside(TARGET), 1);
	end_story();
}

static void a_target_that_is_blank_gets_tenant_and_database(void **state)
{
	struct database *db;
	struct collection *c;

	(void)state;
	world_start();
	create_database("other");
	world_settle();
	db = catalogue_database(TENANT_DEFAULT, "other");
	create_in(db, "docs");
	world_settle();
	c = catalogue_named(db, "docs");
	copying.spec = (struct copy_spec){.collection = c->id,
	                                  .tenant = TENANT_DEFAULT,
	                                  .database = "other",
	                                  .donor = A,
	                                  .donor_id = store_instance_id(A),
	                                  .target = B,
	                                  .source = c->local[A]};
	model_execute(TARGET, "DELETE", "/api/v2/tenants/default_tenant/databases/other",
	              "", 0, NULL);
	copying.copy = copy_create(&copying.spec, NULL);
	copying.running = true;
	copy_make(copying.copy, 1, on_step, NULL);
	assert_int_equal(wait_for_step(), STATUS_OK);
	assert_copied();
	end_story();
}

/* A page is asked for once more when the donor was writing at that moment. */
static void a_read_that_fails_for_a_moment_is_repeated(void **state)
{
	(void)state;
	with_items("a");
	assert_int_equal(make(), STATUS_OK);
	model_fault(DONOR, FAULT_500_BEFORE, 3);
	assert_int_equal(copy_all(), STATUS_OK);
	assert_copied();
	end_story();
}

static msec time_to_copy(void)
{
	msec began = clock_ms();

	assert_int_equal(make(), STATUS_OK);
	assert_int_equal(copy_all(), STATUS_OK);
	return clock_ms() - began;
}

static void clients_leave_it_less_time(void **state)
{
	msec alone;

	(void)state;
	copy_sizes.page = 1;
	with_items("a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z");
	model_latency(DONOR, 40);
	alone = time_to_copy();
	fake_load(world_upstream(A), 1);
	assert_in_range(time_to_copy(), alone * 2, alone * 5);
	fake_load(world_upstream(A), 0);
	end_story();
}

/* At whatever moment it is broken off, another goes on. */
static void it_may_be_broken_off_at_any_moment(void **state)
{
	(void)state;
	copy_sizes = (struct copy_sizes){2, 1, 2, 2};
	with_items("a,b,c,d");
	for (unsigned k = 0; k < 40; k++) {
		copying.running = true;
		copy_make(copying.copy, done_at_donor(), on_step, NULL);
		pass_ms(k % 8);
		another_goes_on();
		assert_int_equal(make(), STATUS_OK);
		copying.running = true;
		copy_items(copying.copy, on_step, NULL);
		pass_ms(k);
		another_goes_on();
		assert_int_equal(copy_all(), STATUS_OK);
		take_out("docs", "b");
		items(RECORD_ADD, named("docs"), "x,b", 3, false);
		update("docs", "a");
		world_settle();
		copying.running = true;
		copy_touched(copying.copy, done_at_donor(), on_step, NULL);
		pass_ms(k);
		another_goes_on();
		assert_int_equal(copy_what_was_touched(), STATUS_OK);
		assert_int_equal(check(), STATUS_OK);
		assert_copied();
	}
	end_story();
}

/* Nothing is taken for deleted, or not, before a filter has its ids; whenever it comes.
 */
static void a_delete_by_filter_comes_in_between(void **state)
{
	static const char *const ids[] = {"a", "b", "c", "d", "e"};

	(void)state;
	for (unsigned k = 0; k < 100; k++) {
		copy_sizes = (struct copy_sizes){3, 1, 3, 3};
		world_start();
		made("docs");
		for (unsigned n = 0; n < 4; n++) /* so that the filter means b and e */
			modify("docs");
		for (unsigned n = 0; n < 5; n++)
			items(RECORD_ADD, named("docs"), ids[n], 3, false);
		world_settle();
		begin_copy();
		assert_int_equal(make(), STATUS_OK);
		model_latency(TARGET, 30);
		copying.running = true;
		copy_items(copying.copy, on_step, NULL);
		pass_ms(k % 30);
		take_out_where("docs", "{\"a\":\"x\"}");
		items(RECORD_ADD, named("docs"), "b,e", 3, false);
		assert_int_equal(wait_for_step(), STATUS_OK);
		world_settle();
		assert_string_equal(model_items(DONOR, "docs"), "a,c,d,b,e");
		assert_int_equal(copy_what_was_touched(), STATUS_OK);
		assert_int_equal(check(), STATUS_OK);
		assert_copied();
		end_story();
	}
}

static void a_target_that_goes_down_ends_the_step(void **state)
{
	(void)state;
	with_items("a");
	assert_int_equal(make(), STATUS_OK);
	world_down(B);
	assert_int_equal(copy_all(), STATUS_REFUSED);
	world_up(B);
	assert_int_equal(copy_all(), STATUS_OK);
	assert_copied();
	end_story();
}

static void a_donor_that_lost_it_is_a_conflict(void **state)
{
	(void)state;
	with_items("a");
	assert_int_equal(make(), STATUS_OK);
	model_drop_behind_our_back(DONOR, "docs");
	assert_int_equal(copy_all(), STATUS_CONFLICT);
	assert_int_equal(make(), STATUS_CONFLICT);
	end_story();
}

static void what_is_missing_is_found_by_the_check(void **state)
{
	(void)state;
	with_items("a,b");
	assert_int_equal(make(), STATUS_OK);
	assert_int_equal(check(), STATUS_CONFLICT);
	end_story();
}

/* --- in its place
 * ------------------------------------------------------------------------ */

static enum status install(const struct uuid *old, const char *name)
{
	copying.running = true;
	copy_install(copying.copy, old, name, on_step, NULL);
	return wait_for_step();
}

static void assert_installed(void)
{
	assert_string_equal(model_collection_id(TARGET, "docs"),
	                    copy_progress(copying.copy)->made.text);
	assert_int_equal(model_aside(TARGET), 0);
}

static void it_takes_the_place_of_the_old_one(void **state)
{
	struct uuid old;

	(void)state;
	for (unsigned calls = 0; calls < 4; calls++) {
		with_items("a,b");
		old = named("docs")->local[B];
		assert_int_equal(make(), STATUS_OK);
		assert_int_equal(copy_all(), STATUS_OK);
		for (unsigned k = 0; k < calls; k++) { /* it dies behind each call */
			copying.running = true;
			copy_install(copying.copy, &old, "docs", on_step, NULL);
			pass_ms(1 + 3 * k);
			another_goes_on();
		}
		assert_int_equal(install(&old, "docs"), STATUS_OK);
		assert_int_equal(install(&old, "docs"), STATUS_OK);
		assert_installed();
		assert_copied();
		end_story();
	}
}

/* An older disk has come back, with what another attempt of that number has left. */
static void also_when_one_has_been_set_aside_there_before(void **state)
{
	char *name, *body;
	struct uuid old;

	(void)state;
	with_items("a,b");
	old = named("docs")->local[B];
	assert_int_equal(make(), STATUS_OK);
	assert_int_equal(copy_all(), STATUS_OK);
	name = mem_format("ctd-old.%lld.%u", (long long)copying.spec.collection,
	                  copying.spec.attempt);
	body = mem_format("{\"name\":\"%s\"}", name);
	assert_int_equal(model_execute(TARGET, "POST",
	                               "/api/v2/tenants/default_tenant/databases/"
	                               "default_database/collections",
	                               body, strlen(body), NULL),
	                 200);
	assert_int_equal(install(&old, "docs"), STATUS_OK);
	assert_installed();
	assert_copied();
	free(name);
	free(body);
	end_story();
}

static void where_there_is_no_old_one_the_name_is_taken(void **state)
{
	static const struct uuid none;

	(void)state;
	with_items("a");
	assert_int_equal(make(), STATUS_OK);
	assert_int_equal(install(&none, "docs"), STATUS_BUSY);
	model_drop_behind_our_back(TARGET, "docs");
	assert_int_equal(install(&none, "docs"), STATUS_OK);
	assert_installed();
	end_story();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_is_equal_is_not_sent),
	        cmocka_unit_test(a_key_that_is_gone_is_sent_as_null),
	        cmocka_unit_test(what_the_target_lacks_is_not_updated),
	        cmocka_unit_test(an_id_is_found_however_it_is_written),
	        cmocka_unit_test(a_document_cannot_be_taken_away),
	        cmocka_unit_test(a_create_says_all_that_can_be_said),
	        cmocka_unit_test(
	                settings_are_the_same_but_for_threads_and_keys_that_came_by_themselves),
	        cmocka_unit_test(only_what_differs_is_changed),
	        copy_story(all_is_copied_in_order),
	        copy_story(an_empty_one_keeps_its_dimension),
	        copy_story(a_dimension_that_comes_later_comes_at_the_check),
	        copy_story(what_was_touched_comes_out_in_order),
	        copy_story(the_collection_itself_is_changed_too),
	        copy_story(many_records_are_read_in_pages),
	        copy_story(a_lost_answer_to_a_create_leaves_nothing_over),
	        copy_story(leftovers_of_earlier_attempts_go),
	        copy_story(a_target_that_is_blank_gets_tenant_and_database),
	        copy_story(a_read_that_fails_for_a_moment_is_repeated),
	        copy_story(clients_leave_it_less_time),
	        copy_story(it_may_be_broken_off_at_any_moment),
	        copy_story(a_delete_by_filter_comes_in_between),
	        copy_story(a_target_that_goes_down_ends_the_step),
	        copy_story(a_donor_that_lost_it_is_a_conflict),
	        copy_story(what_is_missing_is_found_by_the_check),
	        copy_story(it_takes_the_place_of_the_old_one),
	        copy_story(also_when_one_has_been_set_aside_there_before),
	        copy_story(where_there_is_no_old_one_the_name_is_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
