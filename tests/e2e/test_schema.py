"""docs/status.schema.json and the documents it describes keep each other true."""

import json

from jsonschema import Draft202012Validator

from compare import converged
from world import ROOT, Proxy, wait_until

SCHEMA = json.loads((ROOT / "docs/status.schema.json").read_text())
PAGES = {
    "status": "/status",
    "wal_status": "/wal/status",
    "timeline": "/status/timeline",
    "collections": "/status/collections",
}


def resolve(schema):
    return SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema


def not_described(value, schema, path=""):
    """Keys that are there and that the schema does not name."""
    schema = resolve(schema)
    if isinstance(value, list):
        items = schema.get("items", {})
        return [n for i, v in enumerate(value) for n in not_described(v, items, f"{path}/{i}")]
    if not isinstance(value, dict):
        return []
    known = schema.get("properties", {})
    extra = [f"{path}/{key}" for key in value if key not in known]
    return extra + [n for k in value if k in known for n in not_described(value[k], known[k], f"{path}/{k}")]


def holds(world):
    for name, path in PAGES.items():
        schema = {"$ref": f"#/$defs/{name}", "$defs": SCHEMA["$defs"]}
        document = world.http.get(path).raise_for_status().json()
        wrong = [f"{list(e.path)}: {e.message}" for e in Draft202012Validator(schema).iter_errors(document)]
        assert wrong == []
        assert not_described(document, schema) == []


def test_it_is_a_schema():
    Draft202012Validator.check_schema(SCHEMA)


def is_one_table(timeline):
    """All columns are of one length, and numbered."""
    n = timeline["last"] - timeline["first"] + 1
    columns = [timeline[k] for k in ("at_ms", "requests_per_second", "errors_per_second")]
    for instance in timeline["instances"]:
        columns += [instance[k] for k in ("state", "pending_writes", "requests_per_second")]
    assert n > 0 and {len(c) for c in columns} == {n}


def test_it_holds_while_all_is_well_and_while_nothing_is(shared_world):
    world = shared_world
    converged(world)
    holds(world)
    world.replica.kill()
    c = world.client().get_or_create_collection("schema", embedding_function=None)
    c.upsert(ids=["1"], embeddings=[[1, 2]])
    world.wait_down(world.replica)
    timeline = lambda: world.http.get("/status/timeline").json()
    wait_until(lambda: "down" in timeline()["instances"][1]["state"], 20, "a sample of the outage")
    wait_until(lambda: (timeline()["instances"][1]["pending_writes"] or [0])[-1], 20, "of what it lacks")
    holds(world)
    is_one_table(timeline())
    collections = world.http.get("/status/collections?limit=1").json()
    assert collections["listed"] == 1 and collections["collections"][0]["instances"][1]["pending_writes"] > 0
    world.replica.start()
    converged(world)


def test_a_proxy_that_nobody_tells_does_not_pretend_to_know(postgres, make_world):
    world = make_world(start=False)
    postgres.stop()
    try:
        world.proxy.start(wait="listening")
        wait_until(lambda: world.proxy.status()["instances"][0]["state"] == "down", 10, "it is probed")
        holds(world)
        status = world.proxy.status()
        assert not status["leader"]
        assert world.http.get("/status/collections").json()["collections"] is None
        assert status["wal"]["pending_writes"] is None and status["collections"]["live"] is None
        assert [i["caught_up"] for i in status["instances"]] == [None, None]
    finally:
        postgres.start()


def test_a_second_proxy_says_that_another_leads(world, tmp_path):
    second = Proxy(tmp_path, {k: v for k, v in world.proxy.settings.items() if k != "PORT"}, "second")
    second.start(wait="listening")
    try:
        reason = lambda: second.http.get("/ready").json()["reason"]
        wait_until(lambda: reason() == "", 10, "it follows")
        assert second.status()["leader"] is False
        caught_up = lambda: [i["caught_up"] for i in second.status()["instances"]]
        wait_until(lambda: caught_up() == [True, True], 10, "it shows what the one that leads knows")
        world.proxy.terminate()
        wait_until(second.leads, 10, "it has taken over")
        assert reason() == ""
        second.terminate()
    finally:
        second.kill()
