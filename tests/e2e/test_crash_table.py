"""The crash table of docs/GUARANTEES.md: a part is stopped exactly there, and then both
servers, the log and the client must agree on what has happened.

X is the server that executes first, Y the other. Rows about servers that hang, lie or are
away for long have tests of their own; the table names them.
"""

import re
import signal
import threading
from pathlib import Path

import httpx
import pytest

from crash import (
    KINDS,
    Lock,
    Sending,
    arm,
    check,
    cut_off,
    died,
    end_lease,
    end_session,
    executed_on,
    let_in,
    logged,
    prepare,
    reset_half,
    resume,
    saw,
    send,
    start,
)
from relay import writes
from world import ROOT, Proxy, World, wait_until

MADE_DURABLE_FIRST = ["create", "create_database", "create_tenant"]
# one of each sort: items, a filter, and what is bound, named and fenced
SORTS = ["add", "delete_where", "create", "rename", "delete_collection"]
# a server without its disk, a log without its end, and what only a rebuild can leave behind
NOT_IN_THIS_VERSION = {29}
FEW = ["add", "create", "delete_collection"]


@pytest.fixture(scope="module")
def shared_world(postgres, tmp_path_factory):
    directory = tmp_path_factory.mktemp("crashes")
    with World(postgres, directory, relays=True, ALLOW_RESET="true", WRITE_WAIT="10s") as world:
        yield world


def stop_at(world, failpoint, kind, expected, effect):
    story = prepare(world, kind)
    arm(world, failpoint)
    saw(send(world, story), story, expected)
    resume(world)
    check(world, story, effect)


# --- the table itself


def test_every_failpoint_has_a_row():
    lines = "".join(file.read_text() for file in ROOT.glob("*/*.c"))
    points = set(re.findall(r'FAILPOINT\("(\w+)"\)', lines))
    assert len(points) >= 16
    tests = "".join(file.read_text() for file in Path(__file__).parent.glob("test_*.py"))
    assert {p for p in points if f'"{p}' not in tests} == set()


def test_every_row_has_a_test():
    table = (ROOT / "docs/GUARANTEES.md").read_text().split("## Crash table")[1].split("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert [row for row in rows if len(row) != 6] == []
    rows = [row for row in rows if row[0].isdigit()]
    assert sorted({int(row[0]) for row in rows}) == list(range(1, 47))
    unproven = {int(row[0]) for row in rows if "`" not in row[5]}
    assert unproven == NOT_IN_THIS_VERSION
    files = [*ROOT.glob("tests/e2e/*.py"), *ROOT.glob("tests/unit/*/*.c")]
    sources = "".join(file.read_text() for file in files)
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row[5])]
    assert {name for name in named if f"{name}(" not in sources} == set()


# --- the proxy dies: before the log has it


@pytest.mark.parametrize("kind", ["add", "create"])
def test_while_the_request_is_read(shared_world, kind):
    stop_at(shared_world, "request_reading", kind, "broken", "none")


@pytest.mark.parametrize("kind", FEW)
def test_before_the_append_is_sent(shared_world, kind):
    stop_at(shared_world, "append_sending", kind, "broken", "none")


@pytest.mark.parametrize("kind", FEW)
@pytest.mark.parametrize("end", ["rolled back", "committed"])
def test_after_the_append_was_sent(shared_world, kind, end):
    """What PostgreSQL has begun when the proxy dies is there before the next one leads, or
    never. So the next one waits for it."""
    world = shared_world
    story = prepare(world, kind)
    with Lock(world, Lock.CLOCK) as lock, Sending(world, story) as sending:
        session = lock.wait()
        world.proxy.kill()
        if end == "rolled back":
            end_session(world, session)
        resume(world, wait="listening")
        if end == "committed":
            wait_until(lambda: waits_for_the_lease(world), 10, "the next one waits for the old append")
            assert world.proxy.ready() == 503
    wait_until(world.proxy.leads, 30, "the next one leads")
    saw(sending.seen, story, "broken")
    check(world, story, "once" if end == "committed" else "none")


def waits_for_the_lease(world):
    return world.sql(
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = 'chromatid-control' AND wait_event_type = 'Lock'"
    )


# --- the proxy dies: the log has it, no server has


@pytest.mark.parametrize("kind", SORTS)
def test_after_the_append_has_committed(shared_world, kind):
    stop_at(shared_world, "append_committed", kind, "broken", "once")


@pytest.mark.parametrize("point", ["filter_appended", "filter_resolved", "filter_stored"])
def test_a_delete_by_filter(shared_world, point):
    stop_at(shared_world, point, "delete_where", "broken", "once")


def test_the_ids_of_a_filter_stay_what_they_were(shared_world):
    """They were noted, not sent; whatever else happens, exactly these are deleted."""
    world = shared_world
    story = prepare(world, "delete_where")
    arm(world, "filter_stored")
    saw(send(world, story), story, "broken")
    died(world)
    noted = world.sql(
        f"SELECT n, convert_from(ids, 'UTF8') AS ids FROM chromatid.resolved WHERE seq > {story.seq}"
    )
    assert noted == [{"n": 1, "ids": '{"ids":["2"]}'}]
    start(world)
    check(world, story, "once")


# --- the proxy dies: a server may have it


@pytest.mark.parametrize("kind", FEW)
def test_before_it_is_sent_to_x(shared_world, kind):
    stop_at(shared_world, "execution_sending", kind, "broken", "once")


@pytest.mark.parametrize("kind", [*SORTS, "update", "delete_database"])
def test_after_x_has_executed_it_before_the_answer(shared_world, kind):
    world = shared_world
    story = prepare(world, kind)
    for relay in world.relays:
        relay.fault("hang_after", match=last_step(kind))
    with Sending(world, story) as sending:
        executed_on(world, story)
        world.proxy.kill()
    world.calm()
    saw(sending.seen, story, "broken")
    resume(world)
    check(world, story, "once")


def last_step(kind):
    """A collection is deleted in two."""
    return writes if kind != "delete_collection" else lambda method, path: method == "DELETE"


@pytest.mark.parametrize("kind", FEW)
def test_after_it_was_sent_to_x_which_never_gets_it(shared_world, kind):
    world = shared_world
    story = prepare(world, kind)
    for relay in world.relays:
        relay.counts.clear()
        relay.fault("silence", match=last_step(kind))
    with Sending(world, story) as sending:
        wait_until(lambda: any(r.counts["silence"] for r in world.relays), 10, "it was sent")
        world.proxy.kill()
    world.calm()
    saw(sending.seen, story, "broken")
    resume(world)
    check(world, story, "once")


@pytest.mark.parametrize("kind", KINDS)
def test_after_the_answer_of_x_was_read(shared_world, kind):
    stop_at(shared_world, "execution_answered", kind, "broken", "once")


def test_a_create_before_its_id_is_noted(shared_world):
    stop_at(shared_world, "create_executed", "create", "broken", "once")


def test_a_delete_between_setting_aside_and_deleting(shared_world):
    stop_at(shared_world, "set_aside_done", "delete_collection", "broken", "once")


# --- the proxy dies: the client may have its answer


@pytest.mark.parametrize("kind", ["add", "update", "delete_where"])
def test_after_the_client_was_answered_before_the_position(shared_world, kind):
    """Nothing of the outcome is durable: the log alone holds what the client was told."""
    world = shared_world
    story = prepare(world, kind)
    arm(world, "client_answered")
    with Lock(world, Lock.POSITIONS) as lock:
        saw(send(world, story), story, "answer")
        died(world)
        if session := lock.waiting():
            end_session(world, session)
        assert [r["decision"] for r in logged(world, story)] == [None]
    start(world)
    check(world, story, "once")


@pytest.mark.parametrize("kind", MADE_DURABLE_FIRST)
def test_after_the_client_was_told_of_a_create(shared_world, kind):
    stop_at(shared_world, "client_answered", kind, "answer", "once")


@pytest.mark.parametrize("kind", ["delete_where", "create", "refused"])
@pytest.mark.parametrize("end", ["rolled back", "committed"])
def test_after_the_outcome_was_sent_to_the_log(shared_world, kind, end):
    world = shared_world
    story = prepare(world, kind)
    with Lock(world, Lock.POSITIONS) as lock, Sending(world, story) as sending:
        session = lock.wait()
        if kind == "delete_where":
            sending.join(10)
        world.proxy.kill()
        if end == "rolled back":
            end_session(world, session)
    # a promise is durable before it is made
    saw(sending.seen, story, "answer" if kind == "delete_where" else "broken")
    resume(world)
    check(world, story, "once")


@pytest.mark.parametrize("point", ["persist_sending", "persist_done"])
@pytest.mark.parametrize("kind", ["create", "delete_collection", "refused"])
def test_around_the_commit_of_the_outcome(shared_world, kind, point):
    expected = "answer" if (kind, point) == ("delete_collection", "persist_done") else "broken"
    stop_at(shared_world, point, kind, expected, "once")


@pytest.mark.parametrize("kind", FEW)
def test_after_the_answer_of_y_was_read(shared_world, kind):
    stop_at(shared_world, "execution_answered:2", kind, "answer", "once")


def test_the_client_has_left(shared_world):
    """Nobody is there to be answered; the write goes on."""
    world = shared_world
    story = prepare(world, "add")
    for relay in world.relays:
        relay.fault("delay", seconds=0.5, match=writes)
    with pytest.raises(httpx.ReadTimeout):
        httpx.request(story.method, world.proxy.url + story.path, json=story.body, timeout=0.2)
    check(world, story, "once")
    world.calm()


# --- the proxy dies again


@pytest.mark.parametrize("kind", [*FEW, "refused"])
def test_it_dies_again_and_again_while_it_recovers(shared_world, kind):
    world = shared_world
    story = prepare(world, kind)
    arm(world, "execution_answered")
    saw(send(world, story), story, "broken")
    take_over = ("lease_acquired", "recovery_loaded")
    repeat = ("execution_sending", "execution_answered", "persist_done")
    for point in take_over + repeat:
        resume(world, failpoint=point, wait=None)
    resume(world)
    check(world, story, "once")


def test_it_dies_at_the_end_of_a_shutdown(shared_world):
    """Drained, and the lease not given back."""
    world = shared_world
    story = prepare(world, "add")
    arm(world, "shutdown_drained")
    saw(send(world, story), story, "answer")
    world.proxy.signal(signal.SIGTERM)
    resume(world)
    check(world, story, "once")


def test_the_lease_of_a_dead_proxy_runs_out(shared_world):
    """As it is without a test that ends it."""
    world = shared_world
    story = prepare(world, "add")
    arm(world, "append_committed")
    saw(send(world, story), story, "broken")
    died(world)
    world.proxy.start()
    check(world, story, "once")


# --- another proxy takes over while this one only sleeps


@pytest.mark.parametrize("kind", FEW)
def test_a_sleeping_leader_wakes_up_deposed(shared_world, tmp_path, kind):
    world = shared_world
    story = prepare(world, kind)
    for relay in world.relays:
        relay.fault("delay", seconds=0.5, after=True, times=1, match=last_step(kind))
    settings = {key: value for key, value in world.proxy.settings.items() if key != "PORT"}
    second = Proxy(tmp_path, settings, name="second")
    with Sending(world, story) as sending:
        executed_on(world, story)
        world.proxy.signal(signal.SIGSTOP)
        world.calm()
        end_lease(world)
        second.start()
        wait_until(lambda: logged(world, story)[0]["decision"], 10, "the second has decided it")
        epoch = world.sql("SELECT epoch FROM chromatid.lease")[0]["epoch"]
        world.proxy.signal(signal.SIGCONT)
    saw(sending.seen, story, "answer")
    wait_until(lambda: not world.proxy.status()["leader"], 10, "the first knows that it does not lead")
    outcomes = world.sql(f"SELECT epoch FROM chromatid.outcome WHERE seq > {story.seq}")
    assert outcomes == [{"epoch": epoch}]
    second.terminate()
    wait_until(world.proxy.leads, 10, "the first leads again")
    check(world, story, "once")


# --- PostgreSQL goes away


@pytest.mark.parametrize("kind", FEW)
def test_the_log_is_lost_before_the_append_commits(shared_world, kind):
    world = shared_world
    story = prepare(world, kind)
    with Lock(world, Lock.CLOCK) as lock, Sending(world, story) as sending:
        end_session(world, lock.wait())
    saw(sending.seen, story, "none")
    check(world, story, "none")


@pytest.mark.parametrize("kind", FEW)
def test_the_log_is_lost_while_x_executes(shared_world, kind):
    """Items are answered: the log has them. A create's promise waits for the log."""
    world = shared_world
    story = prepare(world, kind)
    for relay in world.relays:
        relay.fault("delay", seconds=0.5, after=True, match=last_step(kind))
    with Sending(world, story) as sending:
        executed_on(world, story)
        try:
            cut_off(world)
            world.calm()
            if kind not in MADE_DURABLE_FIRST:
                sending.join(10)
                saw(sending.seen, story, "answer")
        finally:
            let_in(world)
    saw(sending.seen, story, "answer")
    check(world, story, "once")


@pytest.mark.parametrize("table", ["log", "position"])
def test_the_disk_of_the_log_is_full(shared_world, table):
    """Appends are refused. Outcomes wait, and the lane with them."""
    world = shared_world
    story = prepare(world, "add")
    world.postgres.execute(
        "CREATE FUNCTION chromatid.disk_full() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION 'no room for {table}' USING ERRCODE = '53100'; END $$;"
        f" CREATE TRIGGER disk_full BEFORE INSERT ON chromatid.{table} EXECUTE FUNCTION chromatid.disk_full()",
        world.database,
    )
    try:
        saw(send(world, story), story, "none" if table == "log" else "answer")
        if table == "position":
            wait_until(lambda: world.proxy.log_contains("no room for position"), 10, "the outcome is refused")
            assert [r["decision"] for r in logged(world, story)] == [None]
    finally:
        world.postgres.execute("DROP FUNCTION chromatid.disk_full() CASCADE", world.database)
    check(world, story, "none" if table == "log" else "once")


# --- a server fails


FAULTS = {
    "refuses": ("refuse", {}),
    "500 and it was not executed": ("error", {"times": 1}),
    "500 after it was executed": ("error_after", {"times": 1}),
    "the answer is lost": ("lose", {"times": 1}),
    "reset": ("reset", {"times": 1}),
    "half an answer": ("cut", {"times": 1, "where": "body"}),
    "the answer is too short": ("wrong_length", {"times": 1}),
}


@pytest.mark.parametrize("kind", ["add", "create"])
@pytest.mark.parametrize("fault", FAULTS)
def test_x_fails(shared_world, fault, kind):
    """The client hears what Y says, or X at the second attempt."""
    world = shared_world
    story = prepare(world, kind)
    name, options = FAULTS[fault]
    world.relay_of(world.primary).fault(name, match=writes, **options)
    saw(send(world, story), story, "answer")
    world.calm()
    check(world, story, "once")


@pytest.mark.parametrize("kind", ["add", "create"])
def test_x_hangs(shared_world, kind):
    world = shared_world
    story = prepare(world, kind)
    world.primary.pause()
    try:
        saw(send(world, story), story, "answer")
    finally:
        world.primary.resume()
    check(world, story, "once")


def test_x_refuses_it(shared_world):
    world = shared_world
    story = prepare(world, "refused")
    saw(send(world, story), story, "answer")
    check(world, story, "once")


def test_the_same_name_at_once(shared_world):
    """One create is logged; the others hear that the name is taken."""
    world = shared_world
    story = prepare(world, "create")
    answers = []
    clients = [threading.Thread(target=lambda: answers.append(send(world, story))) for _ in range(6)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 5
    check(world, story, "once")


# --- a reset: what it leaves half done, nothing but another reset mends


@pytest.fixture
def resetting(make_world):
    world = make_world(ALLOW_RESET="true", WRITE_WAIT="10s")
    yield world
    for chroma in world.instances:
        chroma.http.post("/api/v2/reset")


def test_around_a_reset(resetting):
    for point in ("append_committed", "execution_sending", "execution_answered", "persist_sending"):
        stop_at(resetting, point, "reset", "broken", "once")


def test_a_reset_that_was_cut_off_half_way_is_done_again(resetting):
    world = resetting
    story = prepare(world, "reset")
    arm(world, "execution_sending")
    saw(send(world, story), story, "broken")
    died(world)
    reset_half(world.primary)
    start(world)
    check(world, story, "once")
