"""A Chroma that was there before the proxy: what it holds is adopted, under the ids its
clients know, and the other one is filled. What is made behind the proxy's back later is
told of, and adopted on request."""

import shutil
import threading
import time
from urllib.parse import quote

import pytest

from compare import DEFAULT_DATABASE, collections_path, converged, snapshot
from crash import died, start
from test_rebuild import Writers, fill, vectors
from world import COLLECTIONS, wait_until

ACME = [("acme eu", "sales"), ("acme eu", "stock.eu")]


def bare(make_world, **settings):
    """Both servers, and no proxy yet."""
    world = make_world(start=False, ADOPT_INTERVAL="300ms", **settings)
    for chroma in world.instances:
        chroma.start()
    return world


def make_tenant(chroma, tenant, *databases):
    chroma.http.post("/api/v2/tenants", json={"name": tenant}).raise_for_status()
    for name in databases:
        path = f"/api/v2/tenants/{quote(tenant, safe='')}/databases"
        chroma.http.post(path, json={"name": name}).raise_for_status()


def collections(chroma, *names, tenant="default_tenant", database="default_database", n=0, **more):
    client = chroma.client(tenant=tenant, database=database)
    made = {}
    for name in names:
        c = client.create_collection(name, embedding_function=None, metadata={"of": name}, **more)
        if n:
            fill(c, 0, n)
        made[name] = c
    return made


def healed(world, timeout=60):
    wait_until(lambda: not world.proxy.status()["quarantine"], timeout, "everything is filled")
    return converged(world, timeout)


def adopt(world, **body):
    return world.http.post("/admin/adopt", json=body).raise_for_status().json()


def strangers(world):
    return world.proxy.status()["strangers"]


def names_at(chroma, tenant="default_tenant", database="default_database"):
    answer = chroma.http.get(collections_path(tenant, database)).raise_for_status().json()
    return sorted(c["name"] for c in answer)


@pytest.mark.parametrize("owner", ["primary", "replica"])
def test_a_chroma_with_data_is_adopted_and_the_other_filled(make_world, owner):
    world = bare(make_world, ADOPT_TENANTS="acme eu,nobody")
    chroma = getattr(world, owner)
    make_tenant(chroma, "acme eu", "sales", "stock.eu")
    had = {}
    for pair in [DEFAULT_DATABASE, *ACME]:
        names = [f"docs{k}" for k in range(7)]
        had[pair] = collections(chroma, *names, tenant=pair[0], database=pair[1])
        fill(had[pair]["docs0"], 0, 350)
        fill(had[pair]["docs1"], 0, 3)
    before = snapshot(chroma)
    databases = chroma.http.get("/api/v2/tenants/acme%20eu/databases").json()
    world.proxy.start()
    # the very first request after the start finds what was there
    for pair in had:
        path = collections_path(*pair)
        listed = {c["name"]: c["id"] for c in world.http.get(path).raise_for_status().json()}
        assert listed == {name: str(c.id) for name, c in had[pair].items()}
        c = had[pair]["docs0"]
        body = {"ids": ["item3"]}
        assert world.http.post(f"{path}/{c.id}/get", json=body).json()["ids"] == ["item3"]
    assert world.http.get("/api/v2/tenants/acme%20eu/databases").json() == databases
    with Writers(world, "docs0"):
        wait_until(lambda: not world.proxy.status()["quarantine"], 60, "everything is filled")
    content = healed(world)
    assert content["tenants"] == ["acme eu", "default_tenant"]
    for pair in had:
        assert sorted(content[pair]) == sorted(had[pair])
        for name in had[pair]:
            if name != "docs0" or pair != DEFAULT_DATABASE:
                assert content[pair][name]["records"] == before[pair][name]["records"]
                assert content[pair][name]["order"] == before[pair][name]["order"]
    mine = world.client(tenant="acme eu", database="sales").create_collection("new", embedding_function=None)
    fill(mine, 0, 5)
    world.client().get_collection("docs1", embedding_function=None).delete(ids=["item1"])
    healed(world)
    assert strangers(world) == {"adopting": False, "collections": 0, "list": []}


def test_data_on_both(make_world):
    world = bare(make_world)
    made = {}
    for chroma in world.instances:
        made[chroma.name] = collections(chroma, "same", "differs", "longer", "shape")
    for chroma in world.instances:
        here = made[chroma.name]
        v = [[0.1, 0.2, 0.3, float(k)] for k in range(450)]
        ids = [f"item{k}" for k in range(450)]
        here["same"].add(ids=ids, embeddings=v, documents=ids)
        texts = list(ids)
        if chroma is world.replica:
            texts[420] = "other"
        here["differs"].add(ids=ids, embeddings=v, documents=texts)
        n = 450 if chroma is world.replica else 400
        here["longer"].add(ids=ids[:n], embeddings=v[:n])
        here["shape"].add(ids=ids[:3], embeddings=v[:3])
    made["replica"]["shape"].modify(metadata={"other": 1})
    only = collections(world.replica, "only")["only"]
    fill(only, 0, 20)
    before = snapshot(world.replica)[DEFAULT_DATABASE]
    world.proxy.start()
    listed = {c["name"]: c["id"] for c in world.http.get(COLLECTIONS).json()}
    assert listed == {**{n: str(c.id) for n, c in made["primary"].items()}, "only": str(only.id)}
    wait_until(lambda: not world.proxy.status()["quarantine"], 60, "everything is filled")
    after = snapshot(world.replica)[DEFAULT_DATABASE]
    aside = {f"ctd-lost.{made['replica'][n].id}": n for n in ("differs", "longer", "shape")}
    assert sorted(after) == sorted([*made["primary"], "only", *aside])
    for name, was in aside.items():  # nothing of it is lost
        assert after[name]["records"] == before[was]["records"]
        assert after[name]["id"] == before[was]["id"]
    assert after["same"]["id"] == str(made["replica"]["same"].id), "it was not copied"
    for name in aside:
        world.replica.http.delete(f"{COLLECTIONS}/{name}").raise_for_status()
    content = healed(world)[DEFAULT_DATABASE]
    assert len(content["longer"]["records"]) == 400 and content["shape"]["metadata"] == {"of": "shape"}
    assert content["differs"]["records"]["item420"]["documents"] == "item420"
    # under either server's id
    for c in (made["primary"]["same"], made["replica"]["same"]):
        assert world.http.get(f"{COLLECTIONS}/{c.id}/count").json() == 450
    assert [e for e in world.proxy.status()["recent_events"] if "ctd-lost" in e["text"]]


def test_clients_wait_until_it_is_known_what_there_is(make_world):
    world = bare(make_world)
    made = collections(world.primary, *[f"docs{k}" for k in range(300)])
    world.proxy.start(wait="listening")
    seen, stop = [], threading.Event()

    def ask(name):
        while not stop.is_set():
            answer = world.http.get(f"{COLLECTIONS}/{name}")
            seen.append(answer.status_code)
            if answer.status_code == 200:
                return

    asking = [threading.Thread(target=ask, args=(f"docs{k}",)) for k in (0, 150, 299)]
    for t in asking:
        t.start()
    began = time.monotonic()
    wait_until(lambda: world.proxy.ready() == 200, 60, "it is ready")
    print(f"300 collections adopted in {time.monotonic() - began:.2f} s")
    stop.set()
    for t in asking:
        t.join()
    assert 200 in seen and 404 not in seen
    assert len(world.http.get(COLLECTIONS).json()) == len(made)


def test_a_stranger_is_told_of_and_adopted_on_request(world_of_strangers):
    world = world_of_strangers
    world.client().create_collection("ours", embedding_function=None)
    converged(world)
    c = collections(world.replica, "stray", n=30)["stray"]
    found = wait_until(lambda: strangers(world)["list"], 20, "it is found")
    told = {
        "instance": "replica",
        "tenant": "default_tenant",
        "database": "default_database",
        "collection": "stray",
        "id": str(c.id),
        "items": 30,
    }
    assert found == [told] and strangers(world)["collections"] == 1
    assert world.proxy.log_contains("instance replica holds 1 collections that were not made")
    assert world.http.get(f"{COLLECTIONS}/stray").status_code == 404
    # a word that means nothing, somebody else's browser, a look
    assert world.http.post("/admin/adopt", content="{}").status_code == 415
    assert world.http.post("/admin/adopt", json={"dry": "no"}).status_code == 400
    assert world.http.post("/admin/adopt", json={"instance": "nobody"}).status_code == 404
    assert adopt(world) == {"found": 1, "adopted": 0, "incomplete": [], "list": [told]}
    assert adopt(world, dry=False, instance="primary")["found"] == 0
    assert adopt(world, dry=False, collection="other")["found"] == 0
    assert world.http.get(f"{COLLECTIONS}/stray").status_code == 404
    done = adopt(world, dry=False, collection="stray")
    assert done["adopted"] == 1 and done["list"] == [{**told, "outcome": "adopted"}]
    assert world.http.get(f"{COLLECTIONS}/stray").json()["id"] == str(c.id)
    assert len(healed(world)[DEFAULT_DATABASE]["stray"]["records"]) == 30
    wait_until(lambda: strangers(world)["collections"] == 0, 20, "there are none")
    # it is one like any other
    world.client().delete_collection("stray")
    converged(world)
    assert names_at(world.primary) == names_at(world.replica) == ["ours"]


@pytest.fixture
def world_of_strangers(make_world):
    return make_world(ADOPT_INTERVAL="300ms")


def test_always(make_world):
    world = make_world(ADOPT="always", ADOPT_INTERVAL="300ms")
    c = collections(world.primary, "stray", n=30)["stray"]
    wait_until(lambda: world.http.get(f"{COLLECTIONS}/stray").status_code == 200, 20, "it is adopted")
    assert world.http.get(f"{COLLECTIONS}/stray").json()["id"] == str(c.id)
    healed(world)


def test_never(make_world):
    world = bare(make_world, ADOPT="never")
    collections(world.primary, "stray")
    world.proxy.start()
    assert world.http.get(COLLECTIONS).json() == []
    wait_until(lambda: strangers(world)["collections"] == 1, 20, "it is found")
    world.proxy.restart()
    wait_until(lambda: strangers(world)["collections"] == 1, 20, "it is found")
    assert world.http.get(COLLECTIONS).json() == []


def test_a_tenant_nobody_has_heard_of(make_world):
    """A Chroma lists no tenants: it is found when a client names it."""
    world = bare(make_world)
    make_tenant(world.replica, "acme", "sales")
    c = collections(world.replica, "docs", tenant="acme", database="sales", n=10)["docs"]
    world.proxy.start()
    client = world.client(tenant="acme", database="sales")  # asks for both
    assert client.get_collection("docs", embedding_function=None).id == c.id
    assert client.get_collection("docs", embedding_function=None).count() == 10
    healed(world)
    asked = world.metric("chromatid_instance_requests_total")
    for _ in range(20):
        assert world.http.get("/api/v2/tenants/nobody").status_code == 404
    assert world.metric("chromatid_instance_requests_total") - asked < 20


def test_an_instance_that_was_down_at_the_first_start(make_world):
    world = make_world(start=False, ADOPT_INTERVAL="300ms")
    world.primary.start()
    world.replica.start()
    c = collections(world.replica, "docs", n=40)["docs"]
    world.replica.kill()
    world.proxy.start()
    world.client().create_collection("new", embedding_function=None)
    world.replica.start()
    wait_until(lambda: world.http.get(f"{COLLECTIONS}/docs").status_code == 200, 30, "it is adopted")
    assert world.http.get(f"{COLLECTIONS}/docs").json()["id"] == str(c.id)
    assert sorted(healed(world)[DEFAULT_DATABASE]) == ["docs", "new"]


FAILPOINTS = [
    "adopt_scanned",
    "append_committed:5",
    "adopt_found:5",
    "adopt_laid_aside",
    "adopt_adopted:5",
    "adopt_closing",
    "adopt_closed",
]


@pytest.mark.parametrize("failpoint", FAILPOINTS)
def test_the_proxy_dies_in_the_middle(make_world, failpoint):
    world = bare(make_world)
    made = collections(world.primary, *[f"docs{k}" for k in range(12)], n=5)
    collections(world.replica, "docs1", "docs2")
    world.proxy.settings["CHROMATID_FAILPOINT"] = failpoint
    world.proxy.start(wait=None)
    del world.proxy.settings["CHROMATID_FAILPOINT"]
    died(world)
    start(world)
    listed = {c["name"]: c["id"] for c in world.http.get(COLLECTIONS).json()}
    assert listed == {name: str(c.id) for name, c in made.items()}
    wait_until(lambda: not world.proxy.status()["quarantine"], 60, "everything is filled")
    for name in names_at(world.replica):
        if name.startswith("ctd-"):
            world.replica.http.delete(f"{COLLECTIONS}/{name}").raise_for_status()
    assert sorted(healed(world)[DEFAULT_DATABASE]) == sorted(made)


def test_what_was_deleted_does_not_come_back(make_world):
    """Not even by the keenest policy: its delete is owed, or it was ours and is known."""
    world = make_world(ADOPT="always", ADOPT_INTERVAL="100ms")
    c = world.client().create_collection("docs", embedding_function=None)
    keep = world.client().create_collection("keep", embedding_function=None)
    fill(c, 0, 5)
    converged(world)
    world.replica.kill()
    world.wait_down(world.replica)
    world.client().delete_collection("docs")
    keep.modify(name="kept")
    world.replica.start()
    converged(world)
    for _ in range(3):
        adopt(world, dry=False)
    assert [c["name"] for c in world.http.get(COLLECTIONS).json()] == ["kept"]
    assert names_at(world.primary) == names_at(world.replica) == ["kept"]


def test_one_that_was_restored_behind_our_back_is_not_adopted_again(make_world):
    """A server was set back to what it had before."""
    world = bare(make_world, ADOPT="always")
    collections(world.primary, "docs", n=5)
    world.primary.kill()
    kept = world.primary.directory / "kept"
    shutil.copytree(world.primary.data, kept)
    world.primary.start()
    world.proxy.start()
    healed(world)
    world.client().delete_collection("docs")
    world.client().create_collection("other", embedding_function=None)
    converged(world)
    world.proxy.terminate()
    world.primary.kill()
    world.primary.wipe()
    shutil.copytree(kept, world.primary.data)
    world.primary.start()
    world.proxy.start()
    # the marker tells that the disk is an older one: what it holds is set aside
    def at_the_primary():
        return [name for name in names_at(world.primary) if not name.startswith("ctd-lost.")]

    wait_until(lambda: at_the_primary() == ["other"], 60, "it is filled")
    for _ in range(3):
        adopt(world, dry=False)
    assert [c["name"] for c in world.http.get(COLLECTIONS).json()] == ["other"]
    assert at_the_primary() == ["other"]
