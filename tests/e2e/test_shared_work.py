"""Several proxies share the copying when an instance is filled again: each takes some of
the collections, and what becomes of one of them harms nothing."""

import re
import signal

from compare import DEFAULT_DATABASE, converged
from test_rebuild import Writers, fill, healed, vectors
from world import wait_until

N = 5
RECORDS = 3000
STEP = 500


def make(world):
    for k in range(N):
        c = world.client().create_collection(f"docs{k}", embedding_function=None)
        for first in range(0, RECORDS, STEP):
            fill(c, first, STEP)
    converged(world)


def lose_disk(world):
    world.replica.kill()
    world.wait_down(world.replica)
    world.replica.wipe()
    world.replica.start()


def name_of(proxy):
    return re.findall(r"this proxy copies as ([^\"\\]+)", proxy.log())[-1]


def tasks(world):
    return world.sql("SELECT * FROM sync_tasks ORDER BY task_id")


def workers(world):
    rows = world.sql("SELECT worker_id, worker_status FROM sync_workers")
    return {row["worker_id"]: row["worker_status"] for row in rows}


def in_the_middle_of(world, proxy):
    """Its task, when that is not at its beginning any more and not at its end."""

    def look():
        mine = [t for t in tasks(world) if t["worker_id"] == name_of(proxy) and t["task_status"] == "taken"]
        return next((t for t in mine if 0 < t["items_done"] < t["items_total"]), None)

    return wait_until(look, 60, f"{proxy.name} is in the middle of a task")


def now_leads(world, proxy):
    world.proxy, world.http = proxy, proxy.http
    wait_until(proxy.leads, 30, f"{proxy.name} leads")


def complete(world):
    content = healed(world, timeout=180)[DEFAULT_DATABASE]
    for k in range(N):
        assert len(content[f"docs{k}"]["records"]) >= RECORDS
    wait_until(lambda: tasks(world) == [], 10, "no task is left")


def copied_by(world):
    """{worker: collections}, as the one that leads has heard of it."""
    return re.findall(r"items copied by ([^\"\\]+)", world.proxy.log())


def test_both_copy(world, pair):
    make(world)
    lose_disk(world)
    names = {name_of(proxy) for proxy in pair}
    wait_until(lambda: {t["worker_id"] for t in tasks(world)} >= names, 60, "both have taken a task")
    assert workers(world) == dict.fromkeys(names, "alive")
    shown = wait_until(
        lambda: [r for r in world.proxy.status()["resync"] if r["items_per_second"] and r["worker"]], 60, "a rate"
    )
    assert {r["worker"] for r in shown} <= names
    complete(world)
    assert len(copied_by(world)) == N and set(copied_by(world)) <= names  # a slow one's task may go to the other


def test_clients_write_while_both_copy(world, pair):
    make(world)
    with Writers(world, "docs0"):
        lose_disk(world)
        in_the_middle_of(world, pair[1])
        wait_until(lambda: len(copied_by(world)) >= N, 180, "all are copied")
    complete(world)


def test_the_other_one_is_killed_in_the_middle(world, pair):
    make(world)
    lose_disk(world)
    task = in_the_middle_of(world, pair[1])
    pair[1].kill()
    wait_until(lambda: world.proxy.log_contains("which copies it, has ended"), 30, "it is missed")
    complete(world)
    assert workers(world)[name_of(pair[1])] == "dead"
    assert len(copied_by(world)) >= N
    assert f'{task["collection_id"]} at replica: made anew from primary, attempt 2' not in world.proxy.log()


def test_the_one_that_leads_is_killed_in_the_middle(world, pair):
    make(world)
    lose_disk(world)
    in_the_middle_of(world, pair[0])
    world.proxy.kill()
    now_leads(world, pair[1])
    c = world.client().get_collection("docs1", embedding_function=None)
    c.add(ids=["afterwards"], embeddings=vectors(1))
    complete(world)
    assert c.get(ids=["afterwards"])["ids"] == ["afterwards"]


def test_one_that_sleeps_wakes_up_too_late(world, pair):
    """What it still has in its hands goes to a collection that nobody reads."""
    make(world)
    lose_disk(world)
    task = in_the_middle_of(world, pair[1])
    pair[1].signal(signal.SIGSTOP)
    wait_until(lambda: world.proxy.log_contains("its worker is not heard of"), 30, "it is missed")
    again = f'{task["collection_id"]} at replica: made anew from primary, attempt 2'
    wait_until(lambda: world.proxy.log_contains(again), 30, "another collection is begun")
    pair[1].signal(signal.SIGCONT)
    wait_until(lambda: pair[1].log_contains("is not ours any more"), 30, "it hears of that")
    complete(world)


def test_the_one_that_leads_sleeps(world, pair):
    make(world)
    lose_disk(world)
    in_the_middle_of(world, pair[0])
    first = world.proxy
    first.signal(signal.SIGSTOP)
    now_leads(world, pair[1])
    wait_until(lambda: world.proxy.log_contains("attempt 2"), 60, "it is begun anew")
    first.signal(signal.SIGCONT)
    complete(world)
    wait_until(lambda: first.log_contains("no longer leading"), 30, "it has noticed")
    assert world.proxy.ready() == 200


def test_one_that_stops_gives_back(world, pair):
    make(world)
    lose_disk(world)
    task = in_the_middle_of(world, pair[1])
    pair[1].terminate()
    assert name_of(pair[1]) not in workers(world)
    complete(world)
    assert f'{task["collection_id"]} at replica: made anew from primary, attempt 2' not in world.proxy.log()


def test_an_instance_that_is_another_server_for_one(world, pair, tmp_path):
    """The other proxy's replica is somebody else's server: it copies nothing to it."""
    other = pair[1]
    other.terminate()
    stranger = type(world.replica)(tmp_path, "stranger")
    stranger.start()
    try:
        other.settings["REPLICA_URL"] = stranger.url
        other.start(wait="ready")
        wait_until(lambda: not other.instance("replica")["healthy"], 20, "it has asked who that is")
        make(world)
        lose_disk(world)
        complete(world)
        assert set(copied_by(world)) == {name_of(world.proxy)}
        assert stranger.http.get("/api/v2/tenants/default_tenant/databases/default_database/collections").json() == []
    finally:
        stranger.kill()
        stranger.http.close()
