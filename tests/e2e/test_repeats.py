"""The same write, sent again by its client, is one write: it joins its record while that is
undecided, and with an Idempotency-Key it has its answer at any time."""

import hashlib
import json
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from compare import DEFAULT_DATABASE, converged
from world import COLLECTIONS, wait_until

TENANTS = "/api/v2/tenants"
DATABASES = TENANTS + "/default_tenant/databases"
ONE = {"ids": ["1"], "embeddings": [[1, 1]]}


def make_collection(world, name):
    answer = world.http.post(COLLECTIONS, json={"name": name}).raise_for_status().json()
    first = {"ids": ["0"], "embeddings": [[0, 0]], "metadatas": [{"n": 0}]}
    world.http.post(f"{COLLECTIONS}/{answer['id']}/add", json=first).raise_for_status()
    return f"{COLLECTIONS}/{answer['id']}"


def records(world):
    return world.sql("SELECT count(*) AS n FROM chromatid.log")[0]["n"]


def seq_of(answer):
    return int(answer.headers["x-chromatid-seq"])


def pending(answer):
    assert answer.status_code == 503, answer.text
    assert answer.headers["x-chromatid-outcome"] == "pending"
    return seq_of(answer)


def owed(world):
    return world.proxy.status()["wal"]["pending_writes"]


def go_dark(world):
    converged(world)
    for chroma in world.instances:
        chroma.kill()
        world.wait_down(chroma)


def come_back(world):
    for chroma in world.instances:
        chroma.start()
    return converged(world)


def send(world, write, **options):
    method, path, body, _ = write
    return world.http.request(method, path, json=body, **options)


def waiting(world, n):
    """Besides the one that asks."""
    return world.proxy.status()["performance_stats"]["concurrent_requests_active"] >= n + 1


# --- joining


@pytest.fixture
def writes(make_world):
    """A dark world and one write of each kind: (method, path, body, the answer's status)."""
    world = make_world(WRITE_WAIT="500ms")
    items, renamed, _ = (make_collection(world, name) for name in ("items", "renamed", "dropped"))
    world.http.post(DATABASES, json={"name": "old-base"}).raise_for_status()
    world.writes = [
        ("POST", items + "/add", {"ids": ["1"], "embeddings": [[1, 1]], "metadatas": [{"n": 1}]}, 201),
        ("POST", items + "/upsert", {"ids": ["2"], "embeddings": [[2, 2]]}, 200),
        ("POST", items + "/update", {"ids": ["0"], "metadatas": [{"n": 7}]}, 200),
        ("POST", items + "/delete", {"ids": ["1"]}, 200),
        ("POST", items + "/delete", {"where": {"n": 7}}, 200),
        ("PUT", renamed, {"new_name": "other"}, 200),
        ("DELETE", COLLECTIONS + "/dropped", None, 200),
        ("POST", COLLECTIONS, {"name": "new"}, 200),
        ("POST", DATABASES, {"name": "new-base"}, 200),
        ("POST", TENANTS, {"name": "new-tenant"}, 200),
        ("DELETE", DATABASES + "/old-base", None, 200),
    ]
    go_dark(world)
    return world


def test_every_kind_of_write_joins_its_record_also_after_a_restart(writes):
    world = writes
    before = records(world)
    seqs = [pending(send(world, write)) for write in world.writes]
    assert [pending(send(world, write)) for write in world.writes] == seqs
    world.proxy.kill()
    world.proxy.settings["WRITE_WAIT"] = "50s"
    world.proxy.start(wait="listening")
    wait_until(lambda: world.proxy.status()["leader"], 30, "it leads")
    assert owed(world) == len(world.writes)
    with ThreadPoolExecutor(len(world.writes)) as pool:
        answers = [pool.submit(send, world, write) for write in world.writes]
        wait_until(lambda: waiting(world, len(answers)), 30, "all wait")
        content = come_back(world)
        answers = [answer.result() for answer in answers]
    assert [a.status_code for a in answers] == [write[3] for write in world.writes]
    assert [seq_of(a) for a in answers] == seqs
    assert records(world) == before + len(world.writes)
    assert set(content[DEFAULT_DATABASE]) == {"items", "other", "new"}
    assert content[DEFAULT_DATABASE]["items"]["order"] == ["2"]
    assert answers[7].json()["id"] == world.http.get(COLLECTIONS + "/new").json()["id"]


def test_a_client_that_left_joins_too_but_nobody_joins_one_that_waits(make_world):
    world = make_world(WRITE_WAIT="50s")
    path = make_collection(world, "docs") + "/add"
    go_dark(world)
    before = records(world)
    with pytest.raises(httpx.ReadTimeout):
        world.http.post(path, json=ONE, timeout=0.5)
    with ThreadPoolExecutor(3) as pool:
        joined = pool.submit(world.http.post, path, json=ONE)
        wait_until(lambda: waiting(world, 1), 30, "the second waits")
        assert records(world) == before + 1
        another = pool.submit(world.http.post, path, json=ONE)
        wait_until(lambda: records(world) == before + 2, 30, "the third is a write of its own")
        created = pool.submit(world.http.post, COLLECTIONS, json={"name": "new"})
        wait_until(lambda: records(world) == before + 3, 30, "a create is logged")
        with ThreadPoolExecutor(1) as other:
            conflict = other.submit(world.http.post, COLLECTIONS, json={"name": "new"})
            wait_until(lambda: waiting(world, 4), 30, "another create waits")
            content = come_back(world)[DEFAULT_DATABASE]
        assert (joined.result().status_code, another.result().status_code) == (201, 201)
        assert seq_of(joined.result()) < seq_of(another.result())
        assert (created.result().status_code, conflict.result().status_code) == (200, 409)
    assert content["docs"]["order"] == ["0", "1"]
    assert records(world) == before + 3


def test_a_create_with_get_or_create_joins(make_world):
    world = make_world(WRITE_WAIT="500ms")
    go_dark(world)
    create = ("POST", COLLECTIONS, {"name": "new", "get_or_create": True}, 200)
    seq = pending(send(world, create))
    assert pending(send(world, create)) == seq
    assert set(come_back(world)[DEFAULT_DATABASE]) == {"new"}
    assert send(world, create).json()["name"] == "new"


# --- keys


def key(text):
    return {"headers": {"Idempotency-Key": text}}


def same(a, b):
    assert (a.status_code, a.content) == (b.status_code, b.content)
    assert seq_of(a) == seq_of(b)


def refused(answer, status):
    assert answer.status_code == status, answer.text
    assert answer.headers["x-chromatid-outcome"] == "none"
    assert answer.json()["error"] == "ChromaError" and "Idempotency-Key" in answer.json()["message"]
    assert "x-chromatid-seq" not in answer.headers


def test_a_key_has_one_answer(shared_world):
    world = shared_world
    path = make_collection(world, "answers")
    before = records(world)
    first = world.http.post(path + "/add", json=ONE, **key("a-1"))
    assert first.status_code == 201
    # not the same as sending it again: by now it would be ignored, or do harm
    world.http.post(path + "/delete", json={"ids": ["1"]}).raise_for_status()
    same(first, world.http.post(path + "/add", json=ONE, **key("a-1")))
    assert records(world) == before + 2
    assert converged(world)[DEFAULT_DATABASE]["answers"]["order"] == ["0"]


def test_a_refusal_is_its_answer_too_with_the_ids_clients_know(shared_world):
    world = shared_world
    path = make_collection(world, "refusals")
    body = {"ids": ["1"], "embeddings": [[1, 2, 3]]}
    first = world.http.post(path + "/add", json=body, **key("r-1"))
    assert 400 <= first.status_code < 500 and seq_of(first)
    same(first, world.http.post(path + "/add", json=body, **key("r-1")))


def test_another_request_with_its_key_is_refused(shared_world):
    world = shared_world
    path = make_collection(world, "others")
    before = records(world)
    world.http.post(path + "/add", json=ONE, **key("o-1")).raise_for_status()
    refused(world.http.post(path + "/add", json={**ONE, "ids": ["2"]}, **key("o-1")), 422)
    refused(world.http.post(path + "/upsert", json=ONE, **key("o-1")), 422)
    refused(world.http.delete(COLLECTIONS + "/others", **key("o-1")), 422)
    assert records(world) == before + 1


@pytest.mark.parametrize("bad", ["", "x" * 256, "with space", "umlaut-ä".encode("latin-1")])
def test_what_is_no_key_is_refused(shared_world, bad):
    before = records(shared_world)
    refused(shared_world.http.post(COLLECTIONS, json={"name": "no-key"}, **key(bad)), 400)
    assert records(shared_world) == before


def test_two_keys_are_refused_and_a_long_one_is_not(shared_world):
    http = shared_world.http
    twice = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    refused(http.post(COLLECTIONS, json={"name": "no-key"}, headers=twice), 400)
    made = http.post(COLLECTIONS, json={"name": "long-key"}, **key("!~" + "x" * 253))
    assert made.status_code == 200


def test_a_create_and_a_delete_with_a_key(shared_world):
    world = shared_world
    create, delete = {"name": "short-lived"}, COLLECTIONS + "/short-lived"
    made = world.http.post(COLLECTIONS, json=create, **key("c-1"))
    assert made.status_code == 200
    same(made, world.http.post(COLLECTIONS, json=create, **key("c-1")))
    assert world.http.post(COLLECTIONS, json=create, **key("c-2")).status_code == 409
    gone = world.http.delete(delete, **key("d-1"))
    assert gone.status_code == 200
    same(gone, world.http.delete(delete, **key("d-1")))
    assert world.http.delete(delete, **key("d-2")).status_code == 404
    # its successor has nothing to fear from them, and refusals have not used up their keys
    successor = world.http.post(COLLECTIONS, json=create, **key("c-2"))
    assert successor.status_code == 200 and successor.json()["id"] != made.json()["id"]
    same(gone, world.http.delete(delete, **key("d-1")))
    same(made, world.http.post(COLLECTIONS, json=create, **key("c-1")))
    assert "short-lived" in converged(world)[DEFAULT_DATABASE]
    assert world.http.delete(delete, **key("d-2")).status_code == 200


def test_the_other_kinds_with_a_key(shared_world):
    world = shared_world
    path = make_collection(world, "kinds")
    for n, (method, target, body) in enumerate(
        [
            ("PUT", path, {"new_name": "kinds-renamed"}),
            ("POST", path + "/update", {"ids": ["0"], "metadatas": [{"n": 1}]}),
            ("POST", path + "/delete", {"where": {"n": 1}}),
            ("POST", DATABASES, {"name": "key-base"}),
            ("DELETE", DATABASES + "/key-base", None),
            ("POST", TENANTS, {"name": "key-tenant"}),
        ]
    ):
        first = world.http.request(method, target, json=body, **key(f"k-{n}"))
        assert first.status_code == 200, first.text
        same(first, world.http.request(method, target, json=body, **key(f"k-{n}")))


@pytest.mark.parametrize("what", ["add", "create"])
def test_many_at_once_with_one_key_are_one_write(shared_world, what):
    world = shared_world
    path = make_collection(world, f"at-once-{what}")
    target, body = (path + "/add", ONE) if what == "add" else (COLLECTIONS, {"name": "once"})
    before = records(world)
    start = threading.Barrier(20)

    def one(_):
        with httpx.Client(base_url=world.proxy.url, timeout=60) as http:
            start.wait()
            return http.post(target, json=body, **key(f"at-once-{what}"))

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(one, range(20)))
    assert answers[0].status_code == (201 if what == "add" else 200), answers[0].text
    for answer in answers:
        same(answers[0], answer)
    assert records(world) == before + 1


def fingerprint(path, body):
    return hashlib.sha256(f"POST\0{path}\0".encode() + body).hexdigest()[:32]


@pytest.mark.parametrize("other", [False, True])
def test_a_key_that_another_proxy_uses_at_that_moment(shared_world, other):
    """The append finds out, and nothing is logged: the key's answer is the other one's."""
    world, name = shared_world, f"elsewhere-{other}"
    path = make_collection(world, name) + "/add"
    body = json.dumps(ONE).encode()
    first = world.http.post(path, content=body, headers={"content-type": "application/json"})
    before = records(world)
    mark = "00" * 16 if other else fingerprint(path, body)
    sql = (
        f"BEGIN; INSERT INTO chromatid.idempotency (key, fingerprint, seq)"
        f" VALUES ('{name}', '\\x{mark}', {seq_of(first)}); \\echo held\n"
        "SELECT pg_sleep(1); COMMIT;\n"
    )
    psql = ["psql", "-XAtq", "-d", world.postgres.url_of(world.database)]
    with subprocess.Popen(psql, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as held:
        held.stdin.write(sql)
        held.stdin.close()
        assert held.stdout.readline() == "held\n"
        headers = {"content-type": "application/json", **key(name)["headers"]}
        answer = world.http.post(path, content=body, headers=headers)
    assert held.returncode == 0
    if other:
        refused(answer, 422)
    else:
        same(first, answer)
    assert records(world) == before


def test_a_key_in_the_dark_and_after_kill_9(make_world):
    world = make_world(WRITE_WAIT="500ms")
    path = make_collection(world, "docs") + "/add"
    go_dark(world)
    before = records(world)
    seq = pending(world.http.post(path, json=ONE, **key("p-1")))
    assert pending(world.http.post(path, json=ONE, **key("p-1"))) == seq
    assert pending(world.http.post(path, json=ONE)) > seq, "who has a key joins nobody else"
    refused(world.http.post(path, json={**ONE, "ids": ["2"]}, **key("p-1")), 422)
    world.proxy.kill()
    world.proxy.settings["WRITE_WAIT"] = "50s"
    world.proxy.start(wait="listening")
    wait_until(lambda: world.proxy.status()["leader"], 30, "it leads")
    assert owed(world) == 2
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(world.http.post, path, json=ONE, **key("p-1")) for _ in range(2)]
        wait_until(lambda: waiting(world, 2), 30, "both wait")
        come_back(world)
        answers = [a.result() for a in answers]
    assert (answers[0].status_code, seq_of(answers[0])) == (201, seq)
    same(*answers)
    assert records(world) == before + 2
    world.proxy.kill()
    world.proxy.start()
    same(answers[0], world.http.post(path, json=ONE, **key("p-1")))


def test_without_postgresql_a_key_is_not_known(make_world):
    world = make_world()
    path = make_collection(world, "docs") + "/add"
    first = world.http.post(path, json=ONE, **key("u-1"))
    world.postgres.kill()
    try:
        answer = world.http.post(path, json=ONE, **key("u-1"))
        assert answer.status_code == 503
        assert answer.headers["x-chromatid-outcome"] == "unknown"
    finally:
        world.postgres.start()
    wait_until(world.proxy.leads, 30, "it takes writes")
    same(first, world.http.post(path, json=ONE, **key("u-1")))


def test_a_key_is_forgotten_with_its_record(make_world):
    world = make_world(WAL_RETENTION="1s")
    path = make_collection(world, "docs") + "/add"
    first = world.http.post(path, json=ONE, **key("f-1"))
    count = "SELECT count(*) AS n FROM chromatid.idempotency"
    assert world.sql(count)[0]["n"] == 1
    wait_until(lambda: world.sql(count)[0]["n"] == 0, 30, "the key is forgotten")
    again = world.http.post(path, json=ONE, **key("f-1"))
    assert again.status_code == 201 and seq_of(again) > seq_of(first)
