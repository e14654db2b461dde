"""What verification finds heals: the collection is made anew where it is wrong, by itself."""

import random
import time

import httpx
import pytest

from beside import Beside
from broken_index import lose_vectors
from compare import DEFAULT_DATABASE, converged, snapshot
from test_verify import HARM, ITEMS, Storm, ask, behind_our_back, local, local_public, look, make, unique, vector
from world import COLLECTIONS, World, wait_until


@pytest.fixture(scope="module")
def healing(postgres, tmp_path_factory):
    with World(postgres, tmp_path_factory.mktemp("healing"), REPAIR="auto") as world:
        yield world


def healed(world, name):
    wait_until(lambda: world.proxy.status()["quarantine"] == [], 60, "nothing is in quarantine")
    converged(world)
    found = look(world, name)
    assert found["result"] == "equal", found
    return found


@pytest.mark.parametrize("victim", ["primary", "replica"])
@pytest.mark.parametrize("harm", HARM, ids=lambda harm: harm.__name__)
def test_what_was_changed_behind_our_back_heals(healing, harm, victim):
    world, name = healing, "heal-" + unique(harm, victim)
    make(world, name)
    before = snapshot(world.primary)[DEFAULT_DATABASE][name]["records"]
    harm(world, getattr(world, victim), name)
    found = look(world, name)
    assert found["result"] == "differs" and found["made_anew"], found
    healed(world, name)
    if not found["guessed"] and harm.__name__ != "add_item":
        after = snapshot(world.primary)[DEFAULT_DATABASE][name]["records"]
        assert after == before
    world.client().delete_collection(name)


@pytest.mark.parametrize("victim", ["primary", "replica"])
def test_a_collection_that_is_gone_comes_back(healing, victim):
    world, name = healing, f"heal-gone-{victim}"
    make(world, name)
    getattr(world, victim).http.delete(f"{COLLECTIONS}/{name}").raise_for_status()
    found = look(world, name)
    assert (found["result"], found["wrong_at"], found["made_anew"]) == ("lost", [victim], True), found
    assert healed(world, name)["items"] == ITEMS
    world.client().delete_collection(name)


def test_each_lacks_what_the_other_has_and_nothing_is_lost(healing):
    world, name = healing, "heal-both"
    make(world, name)
    behind_our_back(world, world.primary, name, "delete", {"ids": ["7"]})
    behind_our_back(world, world.replica, name, "delete", {"ids": ["8", "9"]})
    found = look(world, name)
    assert found["differences"]["missing"] == 3 and found["logged_again"] == 1, found
    assert healed(world, name)["items"] == ITEMS
    records = snapshot(world.primary)[DEFAULT_DATABASE][name]["records"]
    assert all(records[id]["documents"] == f"document {id}" for id in ("7", "8", "9"))
    world.client().delete_collection(name)


def test_it_heals_while_clients_write(healing):
    world, name = healing, "heal-storm"
    make(world, name, items=800)
    with Storm(world, local_public(world, name)):
        behind_our_back(world, world.replica, name, "update", {"ids": ["5"], "documents": ["else"]})
        behind_our_back(world, world.primary, name, "delete", {"ids": ["6"]})
        found = look(world, name, timeout=120)
        assert found["result"] == "differs", found
        wait_until(lambda: world.proxy.status()["quarantine"] == [], 60, "nothing is in quarantine")
    records = snapshot(world.primary)[DEFAULT_DATABASE][name]["records"]
    healed(world, name)
    assert records["5"]["documents"] == "document 5" and records["6"]["documents"] == "document 6"
    world.client().delete_collection(name)


def missing_vectors(chroma, path):
    """How many items are not found by their own vector, of all."""
    items = chroma.http.post(f"{path}/get", json={"include": ["embeddings"]}).raise_for_status().json()
    body = {"query_embeddings": items["embeddings"], "n_results": 3, "include": []}
    found = chroma.http.post(f"{path}/query", json=body).raise_for_status().json()["ids"]
    return sum(id not in ids for id, ids in zip(items["ids"], found))


# Saved often, so that a kill meets it; and searched so thoroughly that what is not found is
# not there.
EXACT = {"hnsw": {"sync_threshold": 50, "ef_search": 400}}


class Upserts(Beside):
    """Into one collection, as fast as it goes; failures do not matter."""

    def __init__(self, url, items):
        super().__init__(3)
        self.items, self.url = items, url

    def work(self, number):
        chance = random.Random(number + time.time())
        with httpx.Client(timeout=30) as http:
            while not self.over.is_set():
                ids = [str(n) for n in chance.sample(range(self.items), 10)]
                http.post(f"{self.url}/upsert", json={"ids": ids, "embeddings": [vector(chance.random()) for _ in ids]})


def caught_up(world):
    status = world.proxy.status()
    assert status["quarantine"] == [], status["quarantine"]
    return all(i["healthy"] and i["caught_up"] for i in status["instances"])


@pytest.mark.parametrize("victim", ["primary", "replica"])
def test_an_index_that_is_damaged_is_found_and_made_anew(make_world, victim):
    """By kills under load; and since those may have luck, certainly (broken_index.py)."""
    world = make_world(REPAIR="report", VERIFY_INTERVAL="0")
    chroma, name, items = getattr(world, victim), "killed", 400
    make(world, name, items=items, configuration=EXACT)
    url = f"{world.proxy.url}{COLLECTIONS}/{local_public(world, name)}"
    path = f"{COLLECTIONS}/{local(world, chroma, name)}"
    for last in (False, False, True):
        with Upserts(url, items):
            time.sleep(1.5)  # the load itself
            chroma.kill()
        if last:
            lose_vectors(chroma.data, 20)
        chroma.start()
        wait_until(lambda: caught_up(world), 60, "caught up")
        lost = missing_vectors(chroma, path)
        print(f"{lost} of {items} are not found")
    assert lost >= 10
    found = look(world, name)
    assert victim in found["wrong_at"] and found["recall"][victim] < 1, found
    assert found["result"] in ("index", "differs"), found
    found = look(world, name, repair=True)
    assert found["made_anew"], found
    wait_until(lambda: world.proxy.status()["quarantine"] == [], 60, "it is made anew")
    converged(world)
    found = look(world, name)
    assert found["result"] == "equal" and found["recall"][victim] == 1, found
    # the other's index is as old as before, and approximate: it may miss one
    assert min(found["recall"].values()) > 0.99, found
    assert missing_vectors(chroma, f"{COLLECTIONS}/{local(world, chroma, name)}") == 0
