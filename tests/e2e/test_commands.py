"""What an operator does by commands: instances taken out, the log looked at, instances compared."""

import json

import pytest

from compare import converged
from test_cli import run
from test_export import NOT, OK, command, good, vectors
from test_verify import change_document, make
from world import wait_until


def said(world, *words):
    return json.loads(good(world, *words, "--json").stdout)


@pytest.fixture(scope="module")
def world(postgres, tmp_path_factory):
    from world import World

    with World(postgres, tmp_path_factory.mktemp("commands"), REPAIR="report") as world:
        yield world


def test_drain_and_undrain(world):
    done = good(world, "drain", "replica")
    assert "replica is taken out, until `chromatid undrain replica`" in done.stdout
    world.wait_down(world.replica)
    assert "put back" in good(world, "undrain", "replica").stdout
    wait_until(world.all_healthy, 30, "it is back")
    answer = said(world, "drain", "replica", "--for", "1.5")
    assert answer["will_restore_in_seconds"] == 1.5 and answer["health_set_to"] is False
    world.wait_down(world.replica)
    wait_until(world.all_healthy, 30, "it comes back by itself")
    done = command(world, "drain", "no/such?one")
    assert done.returncode == NOT and "HTTP 404" in done.stderr


def test_the_log(world):
    c = world.client().create_collection("a.log", embedding_function=None)
    for k in range(5):
        c.add(ids=[f"i{k}"], embeddings=vectors(1))
    converged(world)
    entries = said(world, "wal", "list", "--collection", "a.log")
    assert [e["operation"] for e in entries] == ["add"] * 5 + ["create_collection"]
    assert [e["seq"] for e in entries] == sorted((e["seq"] for e in entries), reverse=True)
    assert len(said(world, "wal", "list", "--limit", "3")) == 3
    assert said(world, "wal", "list", "--state", "pending", "--collection", "a.log") == []
    shown = good(world, "wal", "list", "--state", "synced").stdout
    assert shown.startswith("SEQ ") and "a.log" in shown
    seq = entries[0]["seq"]
    assert said(world, "wal", "show", seq)["seq"] == seq
    assert "accepted" in good(world, "wal", "show", seq).stdout and "at primary" in good(world, "wal", "show", seq).stdout
    assert command(world, "wal", "show", 10**12).returncode == NOT
    done = command(world, "wal", "list", "--state", "odd")
    assert done.returncode == NOT and "state is pending" in done.stderr


def test_verify(world):
    make(world, "compared")
    converged(world)
    done = good(world, "verify", "compared", "--watch")
    assert "1 of 1 collections compared, 0 differ" in done.stdout
    assert "has begun" in good(world, "verify").stdout
    page = lambda: world.http.get("/admin/verify").json()
    wait_until(lambda: not page()["running"], 60, "the comparison ends")
    assert command(world, "verify", "nothing").returncode == NOT
    change_document(world, world.replica, "compared")
    done = command(world, "verify", "compared", "--report", "--watch")
    assert done.returncode == NOT and "differs" in done.stdout and "1 content" in done.stdout
    done = command(world, "verify", "--watch", "--json")
    assert done.returncode == NOT and json.loads(done.stdout)["differing"] == 1
    world.client().delete_collection("compared")


def test_the_token_of_an_operator(make_world):
    world = make_world(ADMIN_TOKEN="a-token-of-operators-1", API_TOKEN="a-token-of-clients-22")
    env = {"CHROMATID_URL": world.proxy.url}
    for words in (["drain", "replica", "--for", "1"], ["wal", "list"], ["wal", "show", "1"], ["verify"]):
        done = run(*words, **env)
        assert done.returncode == NOT and "HTTP 401" in done.stderr, done
        done = run(*words, CHROMATID_TOKEN="a-token-of-clients-22", **env)
        assert done.returncode == NOT and "HTTP 403" in done.stderr, done
    assert run("wal", "list", CHROMATID_TOKEN="a-token-of-operators-1", **env).returncode == OK
    assert run("wal", "list", "--token", "a-token-of-operators-1", **env).returncode == OK


def test_healthcheck(world):
    done = good(world, "healthcheck")
    assert done.stdout.startswith("healthy: 2 of 2 instances, ")
    assert said(world, "healthcheck") == {"healthy": True, "reasons": []}
    assert run("healthcheck", "--alive", PORT=str(world.proxy.port)).returncode == OK
    world.replica.kill()
    world.wait_down(world.replica)
    done = command(world, "healthcheck")
    assert done.returncode == NOT and done.stdout.startswith("instance replica is down: ")
    assert run("healthcheck", "--alive", PORT=str(world.proxy.port)).returncode == OK, "it must not be restarted"
    world.replica.start()
    wait_until(world.all_healthy, 30, "it is back")
    good(world, "drain", "primary")
    world.wait_down(world.primary)
    assert "instance primary is taken out by hand" in command(world, "healthcheck").stdout
    good(world, "undrain", "primary")
    wait_until(lambda: command(world, "healthcheck").returncode == OK, 30, "all is well again")


def test_healthcheck_when_nothing_answers():
    for words in (["healthcheck"], ["healthcheck", "--alive"]):
        done = run(*words, PORT="9")
        assert done.returncode == NOT and "not" in done.stdout
    assert json.loads(run("healthcheck", "--json", PORT="9").stdout)["healthy"] is False
