"""Are the servers equal? What somebody changes behind the proxy's back is found, whoever it is."""

import random

import httpx
import pytest

from beside import Beside
from compare import DEFAULT_DATABASE, converged, snapshot
from load import Load
from world import COLLECTIONS, wait_until

KINDS = ("missing", "content", "embeddings", "order", "settings")
ITEMS = 450  # several windows
DIMENSION = 8


@pytest.fixture(scope="module")
def reporting(postgres, tmp_path_factory):
    from world import World

    with World(postgres, tmp_path_factory.mktemp("reporting"), REPAIR="report") as world:
        yield world


def ask(world, timeout=60, **body):
    """Compares now; what was found, by name."""
    begun = world.http.post("/admin/verify", json=body)
    assert begun.status_code == 202, begun.text
    done = lambda: (page := world.http.get(begun.json()["watch"]).json())["job"] and not page["running"] and page
    page = wait_until(done, timeout, "the comparison ends")
    assert page["job"] == begun.json()["job"] and page["checked"] == page["collections"]
    return {found["collection"]: found for found in page["results"]}


def look(world, name, **body):
    return ask(world, collection=name, **body)[name]


def vector(n):
    chance = random.Random(n)
    return [chance.gauss(0, 1) for _ in range(DIMENSION)]


def make(world, name, items=ITEMS, **options):
    c = world.client().create_collection(name, embedding_function=None, **options)
    for start in range(0, items, 150):
        ids = range(start, min(start + 150, items))
        c.add(
            ids=[str(n) for n in ids],
            embeddings=[vector(n) for n in ids],
            documents=[f"document {n}" for n in ids],
            metadatas=[{"n": n, "odd": n % 2 == 1, "text": f"t{n}"} for n in ids],
        )
    wait_until(lambda: all(i["caught_up"] for i in world.proxy.status()["instances"]), 30, "all have it")
    return c


def local(world, chroma, name):
    mappings = world.http.get("/collection/mappings").json()["mappings"]
    return next(m for m in mappings if m["collection_name"] == name)["locations"][chroma.name]


def behind_our_back(world, chroma, name, verb, body):
    path = f"{COLLECTIONS}/{local(world, chroma, name)}"
    chroma.http.post(f"{path}/{verb}", json=body).raise_for_status()


def change_document(world, chroma, name):
    behind_our_back(world, chroma, name, "update", {"ids": ["217"], "documents": ["something else"]})


def change_metadata_of_an_item(world, chroma, name):
    behind_our_back(world, chroma, name, "update", {"ids": ["3"], "metadatas": [{"n": 4}]})


def remove_item(world, chroma, name):
    behind_our_back(world, chroma, name, "delete", {"ids": ["0"]})


def remove_last(world, chroma, name):
    behind_our_back(world, chroma, name, "delete", {"ids": [str(ITEMS - 1)]})


def add_item(world, chroma, name):
    body = {"ids": ["extra"], "embeddings": [vector(-1)], "documents": ["nobody wrote this"]}
    behind_our_back(world, chroma, name, "add", body)


def change_embedding(world, chroma, name):
    behind_our_back(world, chroma, name, "update", {"ids": ["100"], "embeddings": [vector(-2)]})


def move_item(world, chroma, name):
    path = f"{COLLECTIONS}/{local(world, chroma, name)}"
    fields = ["documents", "metadatas", "embeddings"]
    item = chroma.http.post(f"{path}/get", json={"ids": ["30"], "include": fields}).json()
    behind_our_back(world, chroma, name, "delete", {"ids": ["30"]})
    behind_our_back(world, chroma, name, "add", {key: item[key] for key in ["ids", *fields]})


def change_settings(world, chroma, name):
    path = f"{COLLECTIONS}/{local(world, chroma, name)}"
    chroma.http.put(path, json={"new_metadata": {"changed": True}}).raise_for_status()


def rename(world, chroma, name):
    path = f"{COLLECTIONS}/{local(world, chroma, name)}"
    chroma.http.put(path, json={"new_name": f"{name}-else"}).raise_for_status()


HARM = {
    change_document: "content",
    change_metadata_of_an_item: "content",
    remove_item: "missing",
    remove_last: "missing",
    add_item: "missing",
    change_embedding: "embeddings",
    move_item: "order",
    change_settings: "settings",
    rename: "settings",
}


def unique(what, victim):
    return f"{what.__name__}-{victim}".replace("_", "-")


@pytest.mark.parametrize("victim", ["primary", "replica"])
@pytest.mark.parametrize("harm", HARM, ids=lambda harm: harm.__name__)
def test_what_was_changed_behind_our_back_is_reported(reporting, harm, victim):
    world, name = reporting, unique(harm, victim)
    make(world, name)
    found = look(world, name)
    assert found["result"] == "equal" and found["items"] == ITEMS, found
    assert found["recall"] == {"primary": 1, "replica": 1}
    harm(world, getattr(world, victim), name)
    found = look(world, name)
    assert found["result"] == "differs", found
    assert found["differences"] == {kind: int(kind == HARM[harm]) for kind in KINDS}, found
    if harm in (change_document, change_metadata_of_an_item, remove_item, remove_last, change_embedding, rename):
        assert found["wrong_at"] == [victim] and not found["guessed"], "the log, or the catalogue, knows"
    assert not found["made_anew"] and world.proxy.status()["quarantine"] == []
    assert world.proxy.status()["verification"]["differences"] >= 1
    world.client().delete_collection(name)


@pytest.mark.parametrize("victim", ["primary", "replica"])
def test_a_collection_that_is_gone_is_reported(reporting, victim):
    world, name = reporting, f"gone-{victim}"
    make(world, name, items=5)
    getattr(world, victim).http.delete(f"{COLLECTIONS}/{name}").raise_for_status()
    found = look(world, name)
    assert (found["result"], found["wrong_at"]) == ("lost", [victim]), found
    assert world.proxy.status()["quarantine"] == []
    world.client().delete_collection(name)


def test_many_differences_are_counted(reporting):
    world, name = reporting, "many"
    make(world, name)
    gone = [str(n) for n in range(0, 40)]
    behind_our_back(world, world.replica, name, "delete", {"ids": gone})
    behind_our_back(world, world.replica, name, "update", {"ids": ["400"], "documents": ["x"]})
    found = look(world, name)
    assert found["differences"]["missing"] == 40 and found["differences"]["content"] == 1, found
    assert found["wrong_at"] == ["replica"]
    world.client().delete_collection(name)


@pytest.mark.parametrize("space", ["l2", "cosine", "ip"])
def test_every_space_and_odd_vectors(reporting, space):
    """Nothing is wrong with vectors that are all equal, or zero, or a collection that is empty."""
    world = reporting
    options = {"configuration": {"hnsw": {"space": space}}}
    make(world, f"plain-{space}", **options)
    make(world, f"empty-{space}", items=0, **options)
    make(world, f"one-{space}", items=1, **options)
    for what, embedding in (("same", [1.0, 2.0]), ("zero", [0.0, 0.0])):
        c = make(world, f"{what}-{space}", items=0, **options)
        c.add(ids=[str(n) for n in range(60)], embeddings=[embedding] * 60)
    converged(world)
    for name, found in ask(world).items():
        if name.endswith(f"-{space}"):
            assert found["result"] == "equal", found
            world.client().delete_collection(name)


def test_requests_that_make_no_sense(reporting):
    world = reporting
    assert world.http.post("/admin/verify", json={"collection": "nobody"}).status_code == 404
    assert world.http.post("/admin/verify", json={"collection": 5}).status_code == 422
    assert world.http.post("/admin/verify", json={"repair": "yes"}).status_code == 422
    assert world.http.post("/admin/verify", json=[]).status_code == 422
    assert world.http.post("/admin/verify", content=b"{}").status_code == 415
    assert world.http.get("/admin/verify").status_code == 200


class Storm(Beside):
    """Clients that add at one end and delete at the other, and change what is between."""

    def __init__(self, world, name, threads=3):
        super().__init__(threads)
        self.errors = []
        self.steps = 0
        self.url = f"{world.proxy.url}{COLLECTIONS}/{name}"

    def work(self, number):
        chance = random.Random(number)
        mine = []
        with httpx.Client(timeout=60) as http:
            while not self.over.is_set():
                self.step(http, chance, number, mine)

    def step(self, http, chance, number, mine):
        what = chance.choice(["add", "add", "delete", "upsert", "update", "again"])
        if what == "add" or len(mine) < 60:
            ids = [f"{number}-{self.steps}-{n}" for n in range(chance.choice([1, 1, 20]))]
            mine += ids
            what = "add"
        elif what == "delete":
            ids = mine[: chance.choice([1, 5, 30])]
            del mine[: len(ids)]
        else:
            ids = chance.sample(mine, 3)
        body = {"ids": ids}
        if what == "again":  # deleted, and at the end again
            self.send(http, "delete", {"ids": ids})
            what = "add"
        if what != "delete":
            body["embeddings"] = [vector(chance.random()) for _ in ids]
            body["documents"] = [f"{what} {chance.random()}" for _ in ids]
            body["metadatas"] = [{"x": chance.random(), "y": what, "z": True} for _ in ids]
        self.send(http, what, body)

    def send(self, http, what, body):
        answer = http.post(f"{self.url}/{what}", json=body)
        self.steps += 1
        if answer.status_code >= 300:
            self.errors.append((what, answer.status_code, answer.text[:200]))

    def __exit__(self, *_):
        super().__exit__()
        assert not self.errors, self.errors[:5]


def test_nothing_is_found_where_nothing_is_wrong_while_clients_write(reporting):
    world, name = reporting, "storm"
    make(world, name, items=800)
    rounds = 0
    with Storm(world, local_public(world, name)) as storm:
        goal = storm.steps + 1500
        while storm.steps < goal or rounds < 4:
            found = look(world, name, timeout=120)
            assert found["result"] == "equal", found
            rounds += 1
    assert world.proxy.status()["quarantine"] == []
    converged(world)
    assert look(world, name)["result"] == "equal"
    world.client().delete_collection(name)


def local_public(world, name):
    return str(world.client().get_collection(name, embedding_function=None).id)


def test_what_is_wrong_is_found_while_clients_write(reporting):
    world, name = reporting, "storm-harm"
    make(world, name, items=800)
    with Storm(world, local_public(world, name)):
        change_document(world, world.replica, name)
        found = look(world, name, timeout=120)
        assert found["result"] == "differs" and found["wrong_at"] == ["replica"], found
        assert found["differences"]["content"] == 1 and found["differences"]["missing"] == 0, found
    world.client().delete_collection(name)


def test_under_mixed_load_everything_is_equal(reporting):
    """Also while collections come and go."""
    world = reporting
    with Load(world.proxy.url, threads=4) as load:
        for _ in range(4):
            load.wait_steps(150)
            for found in ask(world, timeout=120).values():
                assert found["result"] in ("equal", "unfinished"), found
    assert load.failures == [] and load.stale == []
    load.check(converged(world))
    for name in load.ids:
        assert look(world, name)["result"] == "equal"
