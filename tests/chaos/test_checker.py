"""Does the checker find what is planted? A small good history, and one lie at a time in it."""

import copy
import itertools
import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1] / "e2e")]

from checker import check  # noqa: E402
from plan import DEFAULT, embedding, operations  # noqa: E402
from wire import BARE, document_of, metadata_of, short_document, state_text  # noqa: E402

UUID = "11111111-1111-4111-8111-111111111111"
KINDS = {"add": 1, "upsert": 2, "update": 3, "delete": 4, "delete_where": 5}
KINDS.update(create=10, delete_collection=12)
COLLECTION = 2


class Story:
    """A history by one sequential client, with the log and the content it should leave."""

    def __init__(self):
        self.history = []
        self.rows = []
        self.faults = []
        self.samples = []
        self.time = itertools.count(1)
        self.seq = itertools.count(2)
        self.number = itertools.count(1)
        self.items = {}  # id -> [state, numbers]
        self.differences = []
        self.live = True

    def note(self, op, status, **more):
        now = next(self.time)
        op = {"c": 0, "n": len(self.history), "db": DEFAULT, "name": "x", **op}
        op = {"tag": f"0-{next(self.number)}", **op, "t0": now, "t1": now + 0.5, "status": status, **more}
        self.history.append(op)
        return op

    def log(self, op, decision=1, **more):
        row = {"seq": next(self.seq), "kind": KINDS[op["op"]], "collection": COLLECTION, "database": 1}
        row.update({"name": None, "tag": op["tag"], "decision": decision, "resolved": None, **more})
        self.rows.append(row)
        if op["status"] is not None and op["status"] < 503:
            op.update(seq=row["seq"], instance="primary")
        return row

    def create(self):
        op = self.note({"op": "create"}, 200)
        op["answer"] = [UUID, op["tag"]]
        self.tag = op["tag"]
        self.log(op, name="x")

    def write(self, kind, ids, status=200, logged=True, **more):
        op = {"op": kind, "ids": ids, "uuid": UUID, "g": 1, "docs": True, "emb": True}
        op = self.note(op, status, **more)
        if logged:
            self.log(op)
        return op

    def upsert(self, id, **more):
        op = self.write("upsert", [id], **more)
        state = state_text(metadata_of(op), short_document(document_of(op)))
        self.items[id] = [state, embedding(op["tag"], id)]
        return op

    def delete(self, id):
        self.items.pop(id)
        return self.write("delete", [id], answer=2)

    def read(self, ids, **more):
        answer = [[id, self.items[id][0]] for id in ids if id in self.items]
        return self.note({"op": "get", "ids": ids, "uuid": UUID}, 200, **{"answer": answer, **more})

    def count(self):
        return self.note({"op": "count", "uuid": UUID}, 200, answer=len(self.items))

    def read_all(self):
        answer = [[id, item[0]] for id, item in self.items.items()]
        return self.note({"op": "get_all", "uuid": UUID}, 200, answer=answer)

    def drop(self):
        op = self.note({"op": "delete_collection"}, 200)
        self.log(op)["tag"] = None
        self.live = False

    def sample(self, pending):
        now = next(self.time)
        each = {"healthy": True, "pending": pending}
        instances = {"primary": {**each, "pending": 0}, "replica": each}
        self.samples.append({"t0": now, "t1": now, "leader": True, "pending": pending, "instances": instances})

    def evidence(self):
        content = {"tag": self.tag, "items": [[id, *item] for id, item in self.items.items()]}
        here = {DEFAULT: {"x": content} if self.live else {}}
        self.sample(0)
        return {
            "history": self.history,
            "faults": self.faults,
            "samples": self.samples,
            "log": {
                "rows": self.rows,
                "collections": [{"id": COLLECTION, "public_id": UUID}],
                "owed": {"primary": 0, "replica": 0},
                "quarantine": [],
            },
            "content": {
                "instances": {"primary": here, "replica": copy.deepcopy(here)},
                "differences": self.differences,
            },
            "run": {"unsettled": None},
        }

    def found(self):
        return sorted({kind for kind, _ in check(self.evidence()).violations})


@pytest.fixture
def story():
    story = Story()
    story.create()
    story.upsert("a")
    story.upsert("b")
    story.read(["a", "b"])
    return story


def test_a_good_history_passes(story):
    story.upsert("c")
    story.delete("a")
    story.upsert("b", status=503, outcome="pending")
    story.count()
    story.read_all()
    story.note({"op": "list"}, 200, answer={"x": [UUID, story.tag]})
    story.write("bad", ["k"], status=400, logged=False, bad="empty_id")
    story.faults.append({"targets": ["primary"], "t0": 1, "clear": 99})
    story.faults.append({"targets": ["replica"], "t0": 1, "clear": 99})
    assert story.found() == []


def test_an_unknown_write_counts_if_it_is_in_the_log(story):
    story.faults.append({"targets": ["proxy"], "t0": 1, "clear": 99})
    story.upsert("a", status=None)
    story.read_all()
    story.write("upsert", ["b"], status=None, logged=False)
    story.read_all()
    assert story.found() == []


def test_a_write_that_is_not_in_the_log_is_lost(story):
    story.upsert("a", logged=False)
    assert "lost" in story.found()


def test_a_write_that_is_not_on_the_servers_is_lost(story):
    story.items.pop("a")
    assert story.found() == ["lost"]


def test_a_promise_that_is_not_in_the_log_is_lost(story):
    story.write("upsert", ["z"], status=503, outcome="pending", logged=False)
    assert "lost" in story.found()


def test_an_older_vector_is_a_loss_unless_the_server_was_killed(story):
    old = story.items["a"][1]
    story.upsert("a")
    story.items["a"][1] = old
    assert story.found() == ["lost"]
    both = ["primary", "replica"]
    story.faults.append({"targets": both, "dead": both, "t0": 1, "down": 1, "up": 1, "clear": 2})
    assert story.found() == []
    story.items["a"][1] = [0.5] * len(old)
    assert story.found() == ["lost"], "never sent"


def test_a_delete_that_hears_anothers_count_is_found(story):
    story.delete("a")["answer"] = 3
    assert story.found() == ["wrong"]


def test_what_was_deleted_and_is_held_at_the_end_is_resurrected(story):
    held = story.items["a"]
    story.delete("a")
    story.items["a"] = held
    assert story.found() == ["resurrected"]


def test_what_was_deleted_and_is_shown_is_resurrected(story):
    old = story.items["a"][0]
    story.delete("a")
    story.read(["a"], answer=[["a", old]])
    assert story.found() == ["resurrected"]


def test_a_collection_that_is_listed_after_its_delete_is_resurrected(story):
    story.drop()
    story.note({"op": "list"}, 200, answer={"x": [UUID, story.tag]})
    assert story.found() == ["resurrected"]


def test_a_collection_that_is_read_after_its_delete_is_resurrected(story):
    story.drop()
    story.read(["a"], answer=[])
    assert "resurrected" in story.found()


def test_an_older_state_is_stale(story):
    old = story.items["a"][0]
    story.upsert("a")
    story.read(["a"], answer=[["a", old]])
    assert story.found() == ["stale"]


def test_an_older_count_and_an_older_list_are_stale(story):
    before = story.count()["answer"]
    story.upsert("c")
    story.count()["answer"] = before
    assert story.found() == ["stale"]


def test_a_stale_read_that_says_so_needs_a_reason(story):
    old = story.items["a"][0]
    story.upsert("a")
    story.read(["a"], answer=[["a", old]], stale=1)
    assert story.found() == ["failed"]
    story.samples.clear()
    story.faults += [{"targets": [name], "t0": 1, "clear": 99} for name in ("primary", "replica")]
    assert story.found() == []


def test_who_owed_it_before_the_other_died_has_a_moment_for_it(story):
    old = story.items["a"][0]
    story.upsert("a")
    story.sample(2)
    story.faults.append({"targets": ["primary"], "t0": next(story.time), "clear": 99})
    read = story.read(["a"], answer=[["a", old]], stale=2)
    assert story.found() == []
    read["stale"] = 3
    assert story.found() == ["failed"], "more than it owed"
    read["stale"] = 2
    story.faults[0]["t0"] -= 5.5
    assert story.found() == ["failed"], "too late"


def test_a_query_beside_a_delete_may_show_a_bare_id(story):
    bare = {"op": "query", "uuid": UUID, "answer": [["a", BARE]]}
    delete = story.delete("a")
    read = story.note(bare, 200)
    assert story.found() == ["wrong"], "it had gone before"
    read["t0"] = delete["t0"]
    assert story.found() == []
    read["answer"] = [["b", BARE]]
    assert story.found() == ["wrong"], "it is there"


def test_a_read_beside_the_delete_of_its_collection_may_find_nothing(story):
    read = story.count()
    read["answer"] = 0
    assert story.found() == ["stale"]
    story.drop()
    assert story.found() == ["stale"]
    read["t1"] = story.history[-1]["t0"] + 0.1
    assert story.found() == []


def test_going_back_is_stale_even_if_nothing_was_acknowledged(story):
    story.faults.append({"targets": ["proxy"], "t0": 1, "clear": 99})
    old = story.items["a"][0]
    story.upsert("a", status=None)
    story.read(["a"])
    story.read(["a"], answer=[["a", old]])
    assert story.found() == ["stale"]


def test_a_read_of_what_never_was_is_wrong(story):
    story.read(["a"], answer=[["a", '{"v":"9-9"} 9-9|0']])
    assert story.found() == ["wrong"]


def test_half_a_batch_is_wrong(story):
    op = story.write("upsert", ["c", "d"])
    state = state_text(metadata_of(op), short_document(document_of(op)))
    story.read(["c", "d"], answer=[["c", state]])
    for id in ("c", "d"):
        story.items[id] = [state, embedding(op["tag"], id)]
    assert story.found() == ["wrong"]


def test_a_wrong_order_of_items_is_found(story):
    story.items = dict(reversed(story.items.items()))
    assert story.found() == ["diverged"]


def test_a_log_against_real_time_is_a_wrong_order(story):
    first, second = story.write("delete", ["p"], answer=2), story.write("delete", ["q"], answer=2)
    a, b = story.rows[-2:]
    a["tag"], b["tag"] = b["tag"], a["tag"]
    first["seq"], second["seq"] = second["seq"], first["seq"]
    assert story.found() == ["order"]


def test_servers_that_differ_are_found(story):
    story.differences.append("/x/records/a")
    assert story.found() == ["diverged"]


def test_a_leftover_is_found(story):
    evidence = story.evidence()
    evidence["content"]["instances"]["replica"][DEFAULT]["ctd-del.7"] = {"tag": None, "items": []}
    assert [kind for kind, _ in check(evidence).violations] == ["diverged"]


def test_a_refused_write_with_an_effect_is_found(story):
    story.upsert("c", status=503, outcome="none")
    assert "effect" in story.found()


def test_a_write_that_is_twice_in_the_log_is_found(story):
    op = story.upsert("c")
    story.rows.append({**story.rows[-1], "seq": next(story.seq)})
    assert op["seq"] and "effect" in story.found()


def test_a_bad_request_that_is_accepted_is_found(story):
    story.note({"op": "bad", "bad": "empty_id", "ids": [""], "uuid": UUID}, 200)
    assert story.found() == ["lost", "wrong"] or story.found() == ["wrong"]


def test_a_page_that_says_too_little_is_dishonest(story):
    dead = {"targets": ["replica"], "dead": ["replica"], "down": next(story.time)}
    story.upsert("c")
    story.upsert("d")
    story.sample(1)
    story.faults.append({**dead, "up": next(story.time), "t0": dead["down"], "clear": 99})
    assert story.found() == ["dishonest"]
    story.samples[0]["pending"] = story.samples[0]["instances"]["replica"]["pending"] = 2
    assert story.found() == []


def test_figures_that_are_not_the_logs_are_dishonest(story):
    evidence = story.evidence()
    evidence["log"]["owed"]["replica"] = 3
    assert "dishonest" in {kind for kind, _ in check(evidence).violations}


def test_a_failure_needs_a_reason(story):
    story.write("upsert", ["a"], status=503, outcome="none", logged=False)
    assert story.found() == ["failed"]
    story.faults.append({"targets": ["postgres"], "t0": 1, "clear": 99})
    assert story.found() == []
    story.note({"op": "count", "uuid": UUID}, 503)
    assert story.found() == ["failed"], "reads go on without PostgreSQL"


def test_one_server_out_is_no_reason(story):
    story.faults.append({"targets": ["primary"], "t0": 1, "clear": 99})
    story.read(["a"])["status"] = 503
    assert story.found() == ["failed"]


def test_the_same_seed_decides_the_same():
    first, again, other = (list(itertools.islice(operations(s, 3), 500)) for s in (5, 5, 6))
    assert first == again != other


def test_the_same_seed_plans_the_same_faults():
    from nemesis import schedule

    plans = [[str(fault) for fault in schedule(seed, 300)] for seed in (5, 5, 6)]
    assert plans[0] == plans[1] != plans[2]
    assert len(plans[0]) >= 30
