"""`chromatid validate`: passes where all is well, fails where it is not, touches nothing that is not its own."""

import json

import httpx
import pytest

from compare import DEFAULT_DATABASE, converged, snapshot
from liar import Liar
from test_cli import run
from test_export import NOT, OK, USAGE, fill
from world import World

STEPS = ["health", "create a collection", "its mapping", "add", "query", "update, upsert", "delete by filter",
         "delete by id", "compare the instances", "delete the collection", "clean up"]  # fmt: skip


@pytest.fixture(scope="module")
def world(postgres, tmp_path_factory):
    with World(postgres, tmp_path_factory.mktemp("validate"), REPAIR="report") as world:
        client = world.client()
        fill(client.create_collection("bystander", embedding_function=None), 20)
        client.create_collection("AUTOTEST_of_somebody_else", embedding_function=None)
        yield world


def validate(url, directory, *words, **env):
    done = run("validate", "--url", url, "--json", "--timeout", "20", "--log-dir", str(directory), *words,
               ASAN_OPTIONS="detect_leaks=1", **env)  # fmt: skip
    assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


def failed_step(report):
    return next((s["step"] for s in report["steps"] if s["result"] == "FAILED"), None)


def test_a_system_that_is_well(world, tmp_path):
    before = converged(world)
    with Liar(world.proxy.url) as honest:
        code, report = validate(honest.url, tmp_path)
        seen = honest.seen
    assert code == OK and report["passed"], report
    assert [s["step"] for s in report["steps"]] == STEPS and all(s["result"] == "passed" for s in report["steps"])
    assert report["kept"] == [] and report["notes"] == [] and report["refused"] == 0
    assert report["requests"] == len(seen) == sum(s["requests"] for s in report["steps"]) and report["median_ms"] >= 0
    assert converged(world) == before
    assert not any("bystander" in path or "somebody" in path for _, path in seen)
    [file] = tmp_path.iterdir()
    log = file.read_text()
    assert report["log"] == str(file) and log.count(" HTTP") == 0 and log.count("passed") >= len(STEPS)
    assert sum(": 20" in line for line in log.splitlines()) >= report["requests"] - 5 and "version 1" not in log


def test_what_it_says_to_people(world, tmp_path):
    done = run("validate", "--url", world.proxy.url, "--log-dir", str(tmp_path))
    assert done.returncode == OK and done.stdout.count("passed") == len(STEPS) + 1
    assert "0 answered 5xx or not at all" in done.stdout and str(tmp_path) in done.stdout
    assert run("validate").returncode == USAGE
    done = run("validate", "--url", world.proxy.url, "--log-dir", str(tmp_path / "nothing"))
    assert done.returncode == NOT and "No such file" in done.stderr


def change(answer, edit):
    document = answer.json()
    edit(document)
    return httpx.Response(answer.status_code, headers=answer.headers, content=json.dumps(document).encode())


def is_write(method, path, verb):
    return method == "POST" and path.endswith("/" + verb)


def swallow(which):
    """Says yes, and does nothing."""

    def lie(method, path, body, forward):
        return httpx.Response(200, json={}) if which(method, path, body) else forward()

    return lie


def edited(which, edit):
    def lie(method, path, body, forward):
        answer = forward()
        return change(answer, edit) if which(method, path, answer) else answer

    return lie


def drop_last(document):
    for field in ("ids", "documents", "metadatas", "embeddings"):
        document[field].pop()


def other_embedding(document):
    document["embeddings"][7][3] += 0.01


def exchange(document):
    for field in ("ids", "documents", "metadatas", "embeddings"):
        document[field][1:3] = reversed(document[field][1:3])


def from_replica(method, path, answer):
    return is_write(method, path, "get") and answer.headers.get("x-chromatid-instance") == "replica"


def only_primary(method, path, body, forward):
    answer = forward()
    if "x-chromatid-instance" in answer.headers:
        answer.headers["x-chromatid-instance"] = "primary"
    return answer


def partial(page):
    for m in page["mappings"]:
        m["status"] = "partial"


def differs(page):
    for r in page["results"]:
        r["result"] = "differs"


def sick(status):
    status["instances"][1]["healthy"] = False


def worst_last(found):
    found["ids"][0].reverse()


BROKEN = {
    "an instance is down": ("health", edited(lambda m, p, a: p == "/status", sick)),
    "not ready": ("health", lambda m, p, b, f: httpx.Response(503) if p == "/ready" else f()),
    "the mapping stays partial": ("its mapping", edited(lambda m, p, a: p == "/collection/mappings", partial)),
    "adds are lost": ("add", swallow(lambda m, p, b: is_write(m, p, "add"))),
    "the replica lacks an item": ("add", edited(from_replica, drop_last)),
    "the replica has another vector": ("add", edited(from_replica, other_embedding)),
    "the replica has another order": ("add", edited(from_replica, exchange)),
    "the replica is never read": ("add", only_primary),
    "queries find others": ("query", edited(lambda m, p, a: is_write(m, p, "query"), worst_last)),
    "updates are lost": ("update, upsert", swallow(lambda m, p, b: is_write(m, p, "update"))),
    "upserts are lost": ("update, upsert", swallow(lambda m, p, b: is_write(m, p, "upsert"))),
    "deletes by filter are lost": ("delete by filter", swallow(lambda m, p, b: is_write(m, p, "delete") and b"$in" in b)),
    "deletes by document are lost": ("delete by filter", swallow(lambda m, p, b: b"where_document" in b)),
    "deletes by id are lost": ("delete by id", swallow(lambda m, p, b: is_write(m, p, "delete") and b'"ids"' in b)),
    "the instances differ": ("compare the instances", edited(lambda m, p, a: (m, p) == ("GET", "/admin/verify"), differs)),
    "a delete that did not happen": ("delete the collection", swallow(lambda m, p, b: m == "DELETE")),
    "writes fail": ("add", lambda m, p, b, f: httpx.Response(500) if is_write(m, p, "add") else f()),
}  # fmt: skip


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_system_fails(world, tmp_path, how):
    step, lie = BROKEN[how]
    before = bystanders(world)
    with Liar(world.proxy.url, lie) as liar:
        code, report = validate(liar.url, tmp_path, "--timeout", "3")
    assert code == NOT and not report["passed"] and failed_step(report) == step, report
    assert report["steps"][-1]["result"] == "not run"
    if step == "health":
        assert report["kept"] == []
    else:
        [kept] = report["kept"]
        assert kept.startswith("AUTOTEST_") and report["run"] in kept
        world.client().delete_collection(kept)
    assert "FAILED" in next(tmp_path.iterdir()).read_text()
    assert bystanders(world) == before


def bystanders(world):
    converged(world)
    found = snapshot(world.primary)[DEFAULT_DATABASE]
    return {name: found[name] for name in ("bystander", "AUTOTEST_of_somebody_else")}


def test_an_id_that_is_somebody_elses_is_not_written_to(world, tmp_path):
    other = str(world.client().get_collection("bystander", embedding_function=None).id)
    before = bystanders(world)
    creation = lambda m, p, a: m == "POST" and p.endswith("/collections")
    with Liar(world.proxy.url, edited(creation, lambda made: made.update(id=other))) as liar:
        code, report = validate(liar.url, tmp_path)
        assert not any(other in path for _, path in liar.seen)
    assert code == NOT and failed_step(report) == "create a collection"
    world.client().delete_collection(report["kept"][0])
    assert bystanders(world) == before


def test_nobody_answers(tmp_path):
    code, report = validate("http://127.0.0.1:9", tmp_path)
    assert code == NOT and failed_step(report) == "health" and "no answer" in report["error"]


def test_an_instance_that_is_really_down(make_world, tmp_path):
    world = make_world(ADMIN_TOKEN="a-token-of-operators-1", API_TOKEN="a-token-of-clients-22")
    code, report = validate(world.proxy.url, tmp_path, CHROMATID_TOKEN="a-token-of-clients-22")
    assert code == OK and "operator's token" in report["notes"][0], "that is all it lacks"
    world.replica.kill()
    world.wait_down(world.replica)
    code, report = validate(world.proxy.url, tmp_path, CHROMATID_TOKEN="a-token-of-clients-22")
    assert code == NOT and report["error"] == "instance replica is not up"
    code, report = validate(world.proxy.url, tmp_path)
    assert code == NOT
