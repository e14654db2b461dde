"""The mutants: each switches off one rule. Edits are (files, text, replacement); the text
must be found exactly once in all these files together."""

MUTANTS = []


def mutant(name, rule, *edits):
    MUTANTS.append({"name": name, "rule": rule, "edits": edits})


WAL = "wal/*.c"
HTTP = "http/*.c"

# --- one order ---------------------------------------------------------------------------

mutant(
    "any_turn_is_next",
    "an instance executes a record only when it has everything before it",
    (WAL, "(lane->head == m && !lane->parked &&", "(!lane->parked &&"),
    (WAL, "assert(lane->head == m);", ""),
)
mutant(
    "position_not_before_next",
    "the next record is sent only when the position before it is durable",
    (WAL, "return lane->undurable == 0 ||", "return lane->undurable < 1000 ||"),
)
mutant(
    "wide_records_in_one_lane_only",
    "a reset or a delete of a database comes behind all that was before it",
    (WAL, "\t\t\tenter_wide(r);", "\t\t\t;"),
)

# --- verdicts ----------------------------------------------------------------------------

mutant(
    "silence_is_done",
    "no answer is unknown: it is executed again in its own place",
    (WAL, "return reply->sent ? VERDICT_UNKNOWN :", "return reply->sent ? VERDICT_APPLIED :"),
)
mutant(
    "sent_is_done",
    "what could not be sent has not been executed",
    (WAL, ": VERDICT_NOT_SENT;", ": VERDICT_APPLIED;"),
)
mutant(
    "5xx_is_a_refusal",
    "a Chroma that answers 500 may have stored the write",
    (WAL, "return reply->http >= 400 && reply->http < 500 ?", "return reply->http >= 400 ?"),
)
mutant(
    "a_404_is_a_refusal",
    "an instance that does not know a collection it must have has lost it",
    (WAL, "\t\treturn VERDICT_LOST;", "\t\treturn VERDICT_REFUSED;"),
)
mutant(
    "busy_is_a_refusal",
    "what says nothing about the write is no verdict",
    (WAL, "\t\treturn VERDICT_BUSY;", "\t\treturn VERDICT_REFUSED;"),
)

# --- deletes -----------------------------------------------------------------------------

mutant(
    "filter_not_resolved",
    "a delete by filter is executed by the ids it was resolved to",
    (WAL, "r->kind == RECORD_DELETE_WHERE && r->resolved == NULL)", "false)"),
)
mutant(
    "ids_not_stored",
    "the ids of a filter are durable before they are deleted",
    (WAL, "\tpg_add(unit, &store_ids, 3,", "\tif (false)\n\t\tpg_add(unit, &store_ids, 3,"),
)
mutant(
    "deleted_by_name",
    "a collection is deleted under a name that no other can have",
    (WAL, "e->step = r->kind == RECORD_DELETE_COLLECTION ? STEP_SET_ASIDE : STEP_SEND;",
     "e->step = STEP_SEND;"),
    (WAL, "text_adds(&p->target, \"/collections/\");\n\tadd_aside_name(&p->target, r, i);",
     "text_adds(&p->target, \"/collections/\");\n"
     "\trewrite_add_segment(&p->target, r->collection->name);"),
)

# --- one leader --------------------------------------------------------------------------

mutant(
    "no_fence_for_positions",
    "what a former leader writes is refused by its epoch",
    (WAL, "\tpersist_add_fence(unit);\n\tif (p->with_decision)",
     "\tif (p->with_decision)"),
)
mutant(
    "the_lease_never_runs_out",
    "without a lease that could be renewed nothing is sent",
    (WAL, "return lease.epoch > 0 && clock_ms() < lease.granted + SEND_FOR_MS;",
     "return lease.epoch > 0;"),
)
mutant(
    "what_is_under_way_goes_on",
    "when the lease has run out, what is under way is cut off",
    (WAL, "engine_abandon(\"the lease has run out\");", ""),
)

# --- what is told ------------------------------------------------------------------------

mutant(
    "refusals_told_at_once",
    "a refusal is durable before its client hears of it",
    (WAL, "return r->decision != DECISION_ACCEPTED || record_creates(r->kind) ||",
     "return record_creates(r->kind) ||"),
)
mutant(
    "creates_told_at_once",
    "a create is durable before its client hears of it",
    (WAL, "return r->decision != DECISION_ACCEPTED || record_creates(r->kind) ||",
     "return r->decision != DECISION_ACCEPTED ||"),
)
mutant(
    "resets_told_at_once",
    "a reset is durable before its client hears of it",
    (WAL, "\t       r->kind == RECORD_RESET;\n}\n\n/* Where it has failed",
     "\t       r->late;\n}\n\n/* Where it has failed"),
)
mutant(
    "brought_back_beside_the_reset",
    "what comes into the database that a reset brings back is behind it",
    (WAL, "\tscope_brings_back(reset, db);\n", "\t(void)reset;\n"),
)
mutant(
    "deleted_and_brought_back",
    "a delete of the default database behind a reset stays",
    (WAL, "\t    scope_any_behind(reset, deletes_default))", "\t    reset->late)"),
)
mutant(
    "outcomes_not_stored",
    "the outcome is durable with the position",
    (WAL, "\t\tadd_outcome(unit, r);", ""),
)
mutant(
    "lost_appends_never_were",
    "whether an append is in the log is asked for when its answer is lost",
    (WAL, "\t\tTAILQ_INSERT_TAIL(&appends.lost, a, link);\n\t}",
     "\t\tfail(a, STATUS_LOG_UNAVAILABLE);\n\t}"),
)
mutant(
    "asked_while_the_session_lives",
    "a lost session is ended before the log is asked what it has done",
    (WAL, "if (pg_get_int8(results, 0, 0, 0) > 0) {", "if (false) {"),
)

# --- in doubt ----------------------------------------------------------------------------

mutant(
    "no_doubt_after_a_start",
    "a former process may have sent any record it had not settled",
    (WAL, "r->turns[i].doubt = r->loaded = true;", "r->loaded = true;"),
)
mutant(
    "dimension_not_shared",
    "a refused write may have set the dimension: the others are refused it too",
    (WAL, "? DECISION_REJECTED_EVERYWHERE", "? DECISION_REJECTED"),
)

# --- what kills, and what differs -------------------------------------------------------

mutant(
    "killers_go_round",
    "what may have killed an instance is not tried on the last one",
    (WAL, "if (j != i && r->turns[j].broken && holds(r, j))", "if (false)"),
)
mutant(
    "never_given_up",
    "what has killed three times is not sent again",
    (WAL, "return (open ? suspect_deaths(r) : t->deaths) >= DEATHS_MOST;", "return false;"),
)
mutant(
    "parked_lanes_go_on",
    "a lane in quarantine stands still",
    (WAL, "!lane->parked && position_allows(m->record, lane));",
     "position_allows(m->record, lane));"),
)
mutant(
    "parked_lanes_are_read",
    "a lane in quarantine is not read",
    (WAL, "(s->lanes[i].parked || s->lanes[i].n_left > 0)", "s->lanes[i].n_left > 0"),
    (WAL, "(c->scope == NULL || !c->scope->lanes[i].parked);", "true;"),
)
mutant(
    "what_stands_apart_is_listed",
    "a database is not listed from where a change of one of its collections waits",
    (WAL, "(s->lanes[i].parked || s->lanes[i].n_left > 0)", "s->lanes[i].parked"),
)
mutant(
    "no_late_look",
    "what was in doubt is looked at again, later",
    (WAL, "\tif (t->late_look)\n", "\tif (false)\n"),
    (WAL, "\t\tif (r->turns[i].late_look)\n", "\t\tif (false)\n"),
)
mutant(
    "no_second_late_look",
    "what was in doubt is looked at once more, ten times later",
    (WAL, "look.last = !again || d->looks > 0;", "look.last = true;"),
)
mutant(
    "late_look_forgotten",
    "what was in doubt is looked at also by the next leader",
    (WAL, "\t\tif (i >= 0 && c != NULL)\n\t\t\twait_for(c,", "\t\tif (i >= 0 && c == NULL)\n\t\t\twait_for(c,"),
)
mutant(
    "late_look_at_texts_only",
    "a late look compares the embeddings of few ids, too",
    (WAL, "question_about(bytes, len, IDS_MOST, EMBEDDINGS_MOST)", "question_about(bytes, len, IDS_MOST, 0)"),
)
mutant(
    "late_look_by_the_unproven",
    "what was not compared yet says nothing in a late look",
    (WAL, "return may_be_asked(j) && !unproven_is(look.doubt->collection, j);", "return may_be_asked(j);"),
)
mutant(
    "late_look_without_rest",
    "a late look compares two instances that are equally far",
    (WAL, "!may_tell(j) || lanes[j].done != lanes[i].done", "!may_tell(j)"),
)
mutant(
    "late_look_gives_up",
    "a late look that cannot be made now is made later",
    (WAL, "\td->due = clock_ms() + ((msec)POSTPONE_MS << n);", "\td->due = clock_ms() + ((msec)POSTPONE_MS << n) * 100000;"),
)

# --- reads -------------------------------------------------------------------------------

mutant(
    "reads_by_what_was_answered",
    "a read goes where everything is that was sent anywhere",
    (WAL, "s->lanes[i].done < s->lanes[j].sent", "s->lanes[i].done < s->lanes[j].done"),
)
mutant(
    "reads_anywhere",
    "a read goes where everything is that was sent anywhere",
    (WAL, "s->lanes[i].done < s->lanes[j].sent", "false"),
)

# --- merging -----------------------------------------------------------------------------

mutant(
    "an_item_twice_in_a_call",
    "two changes of one item in one call are not two changes after each other",
    (WAL, "if (kind != RECORD_ADD && !are_new(m, &part))", "if (kind == RECORD_NONE)"),
)
mutant(
    "lists_of_any_length",
    "two bodies that are wrong must not add up to one that is right",
    (WAL, "return part->items > 0;", "return part->items < 1000000;"),
    (WAL, "json_count(part->lists[k]) != part->items", "json_count(part->lists[k]) > 1000000"),
)
mutant(
    "refused_together",
    "a merged call that is refused says nothing about any one of its records",
    (WAL, "else if (result->verdict == VERDICT_APPLIED)\n\t\tall_applied(records,",
     "else if (result->verdict <= VERDICT_REFUSED)\n\t\tall_applied(records,"),
)
mutant(
    "in_doubt_for_the_first_only",
    "without an answer, each record of a merged call may have its effect",
    (WAL, "\t\tif (unknown || may_have_begun(result))\n", "\t\tif (r == head && unknown)\n"),
)
mutant(
    "deadly_in_company",
    "what was under way when an instance died goes alone from then on",
    (WAL, "\tr->alone = true;\n", ""),
)
mutant(
    "another_kind_in_one_call",
    "only records of one kind are merged",
    (WAL, "if (r->kind != head->kind || !is_sociable(r) ||", "if (!record_runs(r->kind) || !is_sociable(r) ||"),
)

mutant(
    "past_what_is_cold",
    "an instance executes a record only when it has everything before it, cold or not",
    (WAL, "return first > 0 && first < m->record->seq;", "return first > 0 && first < 0;"),
)
mutant(
    "obsolete_whatever_is_asked",
    "what an answer depends on is executed, though its collection is being deleted",
    (WAL, "return c->life == LIFE_GONE && s->n_open == 0;", "return c->life == LIFE_GONE;"),
)
mutant(
    "cold_is_below_the_floor",
    "the log keeps what is kept cold",
    (WAL, "\t\treturn cold;", "\t\treturn r != NULL ? r->seq : 0;"),
)

# --- verification ------------------------------------------------------------------------

mutant(
    "differs_without_rest",
    "that instances differ means nothing before it is seen at rest, equally far",
    (WAL, "\tif (p->round.rests)\n\t\tlook_closer(p);", "\tif (p->looks >= 1)\n\t\tlook_closer(p);"),
)
mutant(
    "rest_is_not_waited_for",
    "at rest is when nothing is under way, and the same record is next for all",
    (WAL, "(lanes[i].head != next || !is_at_rest(&lanes[i], i))", "lanes[i].cold != NULL && !is_at_rest(&lanes[i], i)"),
    (WAL, "const struct member *next = lanes[__builtin_ctz(r->who)].head;", ""),
)

# --- reads that share a call -------------------------------------------------------------

mutant(
    "alike_whatever_is_asked",
    "reads share a call only if all else that they ask is the same",
    (HTTP, "same_text(a->before, b->before) && same_text(a->after, b->after);",
     "same_text(a->before, b->before);"),
)
mutant(
    "any_length_goes_along",
    "an embedding of another length does not spoil the call of others",
    (HTTP, "a->verb == b->verb && a->width == b->width &&", "a->verb == b->verb &&"),
)
mutant(
    "rows_that_nobody_asked_for",
    "an answer that is not exactly to what was asked is given to nobody",
    (HTTP, "return row->whose != 0;", "return true;"),
)
mutant(
    "a_limit_for_all",
    "what speaks about the answer as a whole is asked alone",
    (HTTP, "return json_kind(w->value) == JSON_NULL_VALUE;", "return true;"),
)
mutant(
    "behind_what_was_written",
    "a call sets out only for an instance that has executed everything sent",
    (HTTP, "instance_up(l->in) && wal_current(l->in, first->collection);",
     "instance_up(l->in);"),
)
mutant(
    "a_failure_for_all",
    "a call that came to nothing is nobody's answer",
    (HTTP, "if (reply->status == STATUS_OK && reply->http == 200 &&",
     "if (reply->status == STATUS_OK &&"),
)
mutant(
    "together_for_ever",
    "a call that came to nothing is not tried again and again",
    (HTTP, "\tline_apart(trip->line);\n", ""),
)
mutant(
    "wait_for_the_turn",
    "nobody waits in a line for long",
    (HTTP, "if (l->under_way >= SEATS && now < until)", "if (l->under_way >= SEATS)"),
)
mutant(
    "gone_with_one",
    "of those who share a call each may leave",
    (HTTP, "\tif (--trip->left == 0)\n", "\tif (--trip->left > 0)\n"),
)
mutant(
    "what_hangs_holds_up_the_others",
    "one more call goes while none ends",
    (WAL, "s->in_flight < FEW || clock_ms() - s->moved >= SLOW_MS", "s->in_flight < FEW"),
)
mutant(
    "given_back_and_forgotten",
    "who does not go along after all is executed elsewhere at once",
    (WAL, "\t\tengine_kick(b->records[k]);", "\t\t;"),
)
mutant(
    "waiting_in_vain",
    "a lane that cannot go on is not waited for again and again",
    (WAL, "lane->in_vain = passed + 1;", "lane->in_vain = 0;"),
)
mutant(
    "a_part_of_a_wide_turn",
    "a wide record waits for each of its lanes, wherever it began to ask",
    (WAL, "for (unsigned n = 0; n < r->n_members; n++) {\n\t\tif (*at >=",
     "for (unsigned n = *at; n < r->n_members; n++) {\n\t\tif (*at >="),
)

# --- who an instance is ------------------------------------------------------------------

mutant(
    "identity_blank_is_new",
    "one that was marked and bears no marker has lost its disk",
    (WAL, "return f->marked ? IDENTITY_BLANK : IDENTITY_NEW;", "return IDENTITY_NEW;"),
)
mutant(
    "identity_without_beats",
    "a lower beat than the last one known is an older copy",
    (WAL, "return m->beat >= f->beat ? IDENTITY_OURS : IDENTITY_OLD;", "return IDENTITY_OURS;"),
)
mutant(
    "identity_of_any_instance",
    "another instance's marker is another's server",
    (WAL, "\t\treturn IDENTITY_ANOTHER;", "\t\treturn IDENTITY_OURS;"),
)
mutant(
    "identity_all_at_once",
    "one server under two names is found out by the second",
    (WAL, "return id.first >= 0 && id.first != (int)i;", "return id.first < -5 && i > 100;"),
)
mutant(
    "identity_reset_in_doubt",
    "no marker is what there should be while a reset of ours is in doubt",
    (WAL, "return v == IDENTITY_BLANK && may_be_reset(i) ? IDENTITY_OURS : v;", "return v;"),
)
mutant(
    "identity_marked_after_reset",
    "that it is not marked is durable with the position of the reset",
    (WAL, "\t\tidentity_add_reset(unit, p->instance);", "\t\t;"),
)
mutant(
    "identity_let_in_too_soon",
    "the marker is written before the instance is let in, and last",
    (WAL, "\t\tinstance_mark(health_instance(i));", "\t\tlet_in(i);"),
)
mutant(
    "identity_never_again",
    "what an instance bears is looked at while it is up, too",
    (WAL, "\treturn verdict_on(i, found) == IDENTITY_OURS;", "\treturn found != NULL;"),
)
mutant(
    "survey_believes",
    "a collection that is not there goes into quarantine before it is read",
    (WAL, "table_get(&r->survey.there, local->text) == NULL", "false"),
)
mutant(
    "survey_expects_too_much",
    "what an instance is still owed is not missed there",
    (WAL, "if (c->life != LIFE_LIVE || c->id > r->began || is_owed(r, c))",
     "if (c->life != LIFE_LIVE)"),
)
mutant(
    "survey_leaves_names",
    "what was deleted since a copy was made does not hold its name",
    (WAL, "if (nothing_is_trusted(r) && good)\n\t\tset_aside(r);",
     "if (nothing_is_trusted(r) && good)\n\t\tr->survey.n_strangers = 0, set_aside(r);"),
)
mutant(
    "survey_is_tried_again",
    "nothing in a lane tells when a collection that was missed is there again",
    (WAL, "if (quarantine_is_about_content(q) || quarantine_is_surveyed(q))",
     "if (quarantine_is_about_content(q))"),
)

# --- adoption ----------------------------------------------------------------------------

mutant(
    "adopt_what_moves",
    "what we do ourselves on an instance does not look like a stranger",
    (WAL, "if (lane == NULL || lane->behind > 0 || lane->undurable > 0 || something_heals(s))", "if (lane == NULL)"),
    (WAL, "return is_at_rest(s, &at) && at == s->at;", "return is_at_rest(s, &at);"),
    (WAL, "static bool something_heals(", "bool something_heals(const struct scan *s);\nbool something_heals("),
)
mutant(
    "adopt_what_differs",
    "a collection of the same name is the same only if all of it is",
    (WAL, "has_moved(c) || !compare_windows(c->answers[0], c->answers[1])", "has_moved(c)"),
)
mutant(
    "anybody_says_it_is_there",
    "only who has a collection can say that it is adopted",
    (WAL, "return r->kind != RECORD_ADOPT_COLLECTION || record_is_from(r, i) ||", "return r != NULL || record_is_from(r, i) ||"),
)
mutant(
    "adoption_waits_for_its_origin",
    "nobody waits for an adoption from who cannot be asked",
    (WAL, "\t       !instance_writable(health_instance(r->origin.instance));", "\t       false;"),
)
mutant(
    "answered_before_it_is_known",
    "at the first start nobody is told that what there is is not",
    (WAL, "strangers.open && strangers.policy != ADOPT_NEVER &&\n", "false && strangers.policy != ADOPT_NEVER &&\n"),
)
mutant(
    "every_start_is_the_first",
    "what is found later is adopted only if somebody says so",
    (WAL, "UPDATE chromatid.adoption SET open = false\"};", "UPDATE chromatid.adoption SET open = true\"};"),
    (WAL, "strangers.open = pg_rows(r, at) > 0 && pg_get_bool(r, at, 0, 0);", "strangers.open = pg_rows(r, at) > 0;"),
)

# --- what of the log is kept -------------------------------------------------------------

mutant(
    "owed_and_dropped",
    "what an instance is owed stays in the log",
    (WAL, "!is_closed(f, p) || least_floor(f) < p->hi - 1)",
     "!is_closed(f, p) || least_floor(f) < 0)"),
)
mutant(
    "the_last_copy_is_given_up",
    "an instance is given up only if another is up and whole",
    (WAL, "if (!is_over_limit(f) || !one_is_whole(f) ||", "if (!is_over_limit(f) ||"),
    (WAL, "static bool one_is_whole(", "bool one_is_whole(const struct retain_facts *f);\nbool one_is_whole("),
)
mutant(
    "given_up_and_read",
    "what the log is not kept for is not read",
    (WAL, "return !detach_is(i) && !uuid_none(", "return !uuid_none("),
)
mutant(
    "given_up_and_waited_for",
    "reads at the one do not wait for what the other was never sent",
    (WAL, "if (t->state == TURN_DURABLE || t->doubt)\n\t\tscope_sent(r, i);", "scope_sent(r, i);"),
)
mutant(
    "indexes_in_turn",
    "after one was made anew it is not asked whose index is better",
    (WAL, "now.proves || (v->made_anew >> i & 1) != 0 ? 0.5", "(v->made_anew >> i & 1) != 0 ? 0.5"),
)
mutant(
    "rescued_as_it_was",
    "what a client has deleted meanwhile is not logged again",
    (WAL, "else if (!are_as_they_were(p) || is_touched(p, &ids))", "else if ((!are_as_they_were(p) && s != STATUS_OK) || is_touched(p, &ids))"),
)
mutant(
    "rescued_behind_a_delete",
    "what a client is about to delete is not logged again",
    (WAL, "else if (!are_as_they_were(p) || is_touched(p, &ids))", "else if (!are_as_they_were(p) || (is_touched(p, &ids) && s != STATUS_OK))"),
)
mutant(
    "read_before_it_is_compared",
    "what was made anew is not read before it was compared, if another can answer",
    (WAL, "\n\t       !unproven_gives_way(c, i);", "\n\t       (i < 100 || !unproven_gives_way(c, i));"),
)
mutant(
    "not_compared_and_forgotten",
    "that it was not compared survives a restart",
    (WAL, "\t\tunproven_add(unit, b->collection, b->target);", "\t\t;"),
)
mutant(
    "decided_by_the_unproven",
    "reads do not wait for what was not compared yet",
    (WAL, "suspect_holds(r, i) || unproven_holds(r, i) || pace_holds(r, i)", "suspect_holds(r, i) || pace_holds(r, i)"),
)
mutant(
    "learns_from_the_unproven",
    "nothing is made anew from what was not compared, if there is another",
    (WAL, "(proven && unproven_is(b->collection, j))", "(proven && !proven && unproven_is(b->collection, j))"),
)
mutant(
    "read_unproven_elsewhere",
    "nor is it read by a proxy that follows",
    (WAL, "stands(c->standing.current, i) && !standing_gives_way(c, i)", "stands(c->standing.current, i)"),
)
mutant(
    "unproven_unknown_elsewhere",
    "a proxy that follows hears what is not compared",
    (WAL, "\ts->unproven |= (unsigned)pg_get_bool(r, at, row, UNPROVEN) << i;\n", ""),
)
mutant(
    "unproven_beside_the_dead",
    "and reads it if no instance that is proven is up",
    (WAL, "if ((proven >> j & 1) != 0 && instance_up(health_instance(j)))", "if ((proven >> j & 1) != 0)"),
)
mutant(
    "large_items_uncompared",
    "items of which two do not fit in an answer are compared one by one",
    (WAL, "\t\tpass_alone(p);\n", '\t\tpass_over(p, "too large");\n'),
)
mutant(
    "large_fields_unseen",
    "a field of a large item that differs is found",
    (WAL, "p->alone.found += look_add(&p->look, p->round.answers, p->who);\n\tp->alone.odd = true;", ""),
)
mutant(
    "large_items_lost",
    "what only an instance has, and is too large to be logged again, keeps it from being made anew",
    (WAL, "if (p->repair && is_any_out_of_reach(p))", "if (p->repair && is_any_out_of_reach(p) && p->share == 0)"),
)
mutant(
    "returned_and_trusted",
    "what returns after it was given up is not trusted",
    (WAL, "if (detach_is_returning(i) && is_trusted(v))", "if (detach_is_returning(i) && v > 100)"),
)
mutant(
    "returned_too_soon",
    "what is being made while an instance returns is there in the end",
    (WAL, "!of[i].returning || is_settled_up_to(of[i].since);", "!of[i].returning || is_settled_up_to(0);"),
)

# --- several proxies ---------------------------------------------------------------------

mutant(
    "ours_come_first",
    "what others have appended before ours comes before it",
    (WAL, "	if (seq == appends.last + 1)\n\t\tlet_in(seq);\n\telse\n\t\ttail_kick();",
     "	let_in(seq);"),
)
mutant(
    "closed_over_others",
    "closing a partition does not pass what others have appended",
    (WAL, "if (partition_was_closed(r, 1) == append_last_seq())", "if (partition_was_closed(r, 1) > 0)"),
)
mutant(
    "refused_unseen",
    "why an append was refused is known before its client looks again",
    (WAL, "	TAILQ_INSERT_TAIL(&appends.refused, a, link);\n\ttail_kick();", "	fail(a, nothing_logged(&a->write));"),
)
mutant(
    "nobody_looks",
    "what others append is found without being told of",
    (WAL, "	timer_start(&tail.look, LOOK_MS, on_look, NULL);\n", ""),
)
mutant(
    "deaf",
    "who is told looks at once",
    (WAL, "if (strcmp(what, WAL_APPENDED) == 0) {\n\t\ttail_kick();", "if (strcmp(what, WAL_APPENDED) == 0) {"),
)

# --- who may do what -------------------------------------------------------------------------

mutant(
    "token_of_any_length",
    "a token is compared whole",
    (HTTP, "different |= d.bytes[i] ^ access_rules.digests[k].bytes[i];", ";"),
)
mutant(
    "reader_writes",
    "a token may do what its right says, and no more",
    (HTTP, "return rights[best] >= need ?", "return rights[best] + 1 >= need ?"),
)
mutant(
    "passed_on_is_here",
    "what a proxy passes on does not come from this machine",
    (HTTP, "client_is_loopback(client) && !was_passed_on(&head->headers) &&", "client_is_loopback(client) &&"),
)
mutant(
    "any_host_is_here",
    "a page whose name was made to mean 127.0.0.1 is no administrator",
    (HTTP, "(host == NULL || is_host_of_ours(host));", "true;"),
)
mutant(
    "listed_proxy_is_here",
    "a proxy that is listed is never taken for this machine",
    (HTTP, "!networks_have(&access_rules.proxies, client_address(client)) &&", ""),
)
mutant(
    "any_type_administers",
    "what a page can send unasked administers nothing",
    (HTTP, "return is_typed(head) ? ACCESS_GRANTED : ACCESS_NOT_TYPED;", "return ACCESS_GRANTED;"),
)
mutant(
    "status_without_token",
    "with STATUS_AUTH who looks needs a token",
    (HTTP, "(need == ACCESS_LOOK && !access_rules.guarded))", "need == ACCESS_LOOK)"),
)
mutant(
    "new_paths_are_open",
    "a path of ours is for administrators until it is said otherwise",
    (HTTP, "return route_is_ours(r->kind) ? ACCESS_ADMIN : ACCESS_WRITE;", "return ACCESS_WRITE;"),
)
mutant(
    "anybody_is_believed",
    "X-Forwarded-For is believed of those who are listed",
    (HTTP, "trusted->n == 0 || !networks_have(trusted, peer)", "trusted->n == 0"),
    (HTTP, "n < HOPS_MOST && networks_have(trusted, out)", "n < HOPS_MOST && (n == 0 || networks_have(trusted, out))"),
)
mutant(
    "forwarded_from_the_front",
    "of X-Forwarded-For only what proxies of ours have added counts",
    (HTTP, "n < HOPS_MOST && networks_have(trusted, out)", "n < HOPS_MOST"),
)
mutant(
    "networks_by_whole_bytes",
    "each bit of a network counts",
    ("core/*.c", "return rest == 0 || ((net->bytes[whole] ^ bytes[whole]) & mask) == 0;", "return true;"),
)
mutant(
    "any_origin",
    "only pages of origins that are listed may use the API",
    (HTTP, "return headers_list_has(cors.origins, origin) ? origin : NULL;", "return origin;"),
)
mutant(
    "pages_administer",
    "no page of another origin administers",
    (HTTP, "return need != ACCESS_ADMIN;", "return true;"),
)
mutant(
    "only_the_first_database",
    "a protected collection is found in whatever database",
    (HTTP, "for (; c == NULL && db != NULL; db = catalogue_next_database(db))", "if (db != NULL)"),
)

# --- what operators say ------------------------------------------------------------------------

mutant(
    "out_before_it_is_noted",
    "an instance is taken out once that is durable",
    (WAL, "\tw->out = true;\n", "\tw->out = true;\n\tinstance_take_out(in, for_ms, by);\n"),
)
mutant(
    "no_answer_puts_back",
    "what could not be asked changes nothing",
    (WAL, "for (unsigned i = 0; s == STATUS_OK && i < health_count(); i++)\n\t\tfollow(r, health_instance(i));",
     "for (unsigned i = 0; i < health_count(); i++)\n\t\tfollow(r, health_instance(i));"),
)
mutant(
    "mapping_of_what_is_there",
    "a mapping is not forgotten while an instance has the collection",
    (WAL, "\tif (s != STATUS_NOT_FOUND) {\n\t\tend(u, s == STATUS_OK ?", "\tif (false) {\n\t\tend(u, s == STATUS_OK ?"),
)
mutant(
    "asked_of_who_is_up",
    "an instance that is down may have the collection",
    (WAL, "\tif (!instance_up(u->where)) {\n\t\tend(u, STATUS_NO_INSTANCE);\n\t\treturn;\n\t}\n\twal_there",
     "\tif (!instance_up(u->where)) {\n\t\tu->at++;\n\t\tlook(u);\n\t\treturn;\n\t}\n\twal_there"),
)
mutant(
    "wishes_for_protected_ones",
    "a wish does not take a protected collection",
    (WAL, "else if (conf_lists(wish.conf->protected_collections, c->name))", "else if (false)"),
)

# --- errands -----------------------------------------------------------------------------------

mutant(
    "errand_withdrawn_though_taken",
    "what the leader has taken is not withdrawn",
    (WAL, "return f->taken != 0 ? step_taken(f) : step_untaken(f);", "return step_untaken(f);"),
)
mutant(
    "errand_denied_though_taken",
    "that nothing was done is said when its row has gone, and nobody had taken it",
    (WAL, "if (s == STATUS_OK && pg_changed(r, 0) == 1)\n\t\tend(a, ERRAND_NOT_TAKEN);",
     "if (s == STATUS_OK)\n\t\tend(a, ERRAND_NOT_TAKEN);"),
)
mutant(
    "errand_done_when_deposed",
    "who leads no more carries nothing out",
    (WAL, "if (one && lease_epoch() == taking.epoch)", "if (one)"),
)
mutant(
    "errand_done_twice",
    "what is under way is not taken once more",
    (WAL, "\t\ttext_addf(&ids, \"%s%s\", ids.len > 0 ? \",\" : \"\", t->id.text);", "\t\t(void)t;"),
)
mutant(
    "errand_of_a_former_leader",
    "who has taken it and leads no more will not answer",
    (WAL, "\tif (f->taken != f->epoch)\n\t\treturn ERRAND_GIVE_UP;\n", ""),
)

# --- what is noted -------------------------------------------------------------------------------

mutant(
    "events_without_end",
    "events that wait are bounded",
    (WAL, "else if (chronicle.waiting >= WAITING_MOST || (many && !may_be_noted()))", "else if (many && !may_be_noted())"),
)
mutant(
    "flood_of_events",
    "a flood of one kind is noted in part",
    (WAL, "if (chronicle.spent >= MANY_MOST)\n\t\treturn false;", ""),
)
mutant(
    "lost_events_forgotten",
    "an event whose connection was lost is noted again",
    (WAL, "\tjob_failed(chronicle.job);\n}\n\nstatic void add_note", "\tforget(sent);\n\tjob_failed(chronicle.job);\n}\n\nstatic void add_note"),
)
mutant(
    "nobody_counts_what_is_lost",
    "events that are lost are counted",
    (WAL, "\t\tchronicle.lost += sent;\n", ""),
)

# --- sessions ----------------------------------------------------------------------------

mutant(
    "sessions_of_others",
    "a pooler that gives a free process to the next session is refused",
    (WAL, " && beside != opened;", ";"),
)
mutant(
    "a_session_that_changes",
    "a pooler that gives a session another process is refused",
    (WAL, "return first == opened && again == opened", "return first == opened"),
)

# --- what every proxy shows --------------------------------------------------------------

mutant(
    "old_figures_shown",
    "what the leader has told is shown for ten seconds, then it is not known",
    (WAL, "return kept->is && *age < CURRENT_FOR_MS;", "return kept->is;"),
)
mutant(
    "figures_of_another_epoch",
    "only what the proxy that leads has told is shown",
    (WAL, "return found->is && found->epoch == found->leader;", "return found->is;"),
)
