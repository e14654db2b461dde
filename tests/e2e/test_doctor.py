"""`chromatid doctor`: what is wrong is named, how to mend it is said, and nothing is changed."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from compare import snapshot
from ports import free_port
from test_cli import run
from test_export import NOT, OK
from world import World, wait_until


def doctor(world, **env):
    """(exit status, {(level, about): [what]})"""
    settings = {**world.proxy.settings, "ASAN_OPTIONS": "detect_leaks=1", **env}
    done = run("doctor", "--json", **settings)
    assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
    said = json.loads(done.stdout)
    found = {}
    for f in said["findings"]:
        found.setdefault((f["level"], f["about"]), []).append(f["what"])
        assert f["level"] != "wrong" or f["mend"], f
    wrong = any(level == "wrong" for level, _ in found)
    assert wrong == (done.returncode == NOT) == (not said["sound"]) and done.returncode in (OK, NOT)
    return done.returncode, found


def wrong(world, about, **env):
    code, found = doctor(world, **env)
    assert code == NOT, found
    return "; ".join(found[("wrong", about)])


@pytest.fixture(scope="module")
def world(postgres, tmp_path_factory):
    with World(postgres, tmp_path_factory.mktemp("doctor"), start=False) as world:
        for chroma in world.instances:
            chroma.start()
        yield world


def test_before_the_first_start_nothing_is_changed(world):
    before = [snapshot(chroma) for chroma in world.instances]
    code, found = doctor(world)
    assert code == OK, found
    assert "it has no tables of ours yet; the first start makes them" in found[("note", "PostgreSQL")]
    assert "no pooler is between" in found[("ok", "PostgreSQL")]
    assert found[("note", "instance replica")] == ["it bears no marker yet; the first start writes it"]
    assert found[("note", "proxy")][0].startswith("none runs here; its port can be used")
    assert world.sql("SELECT 1 FROM pg_namespace WHERE nspname = 'chromatid'") == []
    assert [snapshot(chroma) for chroma in world.instances] == before


def test_beside_a_proxy_that_is_well(world):
    world.proxy.start()
    wait_until(world.all_healthy, 30, "all are healthy")
    wait_until(lambda: doctor(world)[0] == OK, 30, "all is well")
    done = run("doctor", **world.proxy.settings)
    assert "ok     instance primary: its marker is right\n" in done.stdout and "->" not in done.stdout
    assert "ok     proxy: all is well, the instances take writes\n" in done.stdout
    seq = world.proxy.status()["wal"]["last_seq"]
    doctor(world)
    assert world.proxy.status()["wal"]["last_seq"] == seq


@pytest.fixture
def no_chroma():
    """A server that knows no path."""

    class Nothing(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(404)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Nothing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_what_is_wrong_is_named(world, no_chroma):
    primary, replica = world.primary.url, world.replica.url
    assert "its marker is not that of" in wrong(world, "instance primary", PRIMARY_URL=replica, REPLICA_URL=primary)
    nobody = f"127.0.0.1:{free_port()}"
    assert "does not answer" in wrong(world, "instance replica", REPLICA_URL=nobody)
    assert "heartbeat with HTTP 404" in wrong(world, "instance replica", REPLICA_URL=no_chroma)
    assert "REPLICA_URL" in wrong(world, "settings", REPLICA_URL="ftp://x")
    assert "no connection" in wrong(world, "PostgreSQL", DATABASE_URL=f"postgresql://x@{nobody}/x")
    other = wrong(world, "proxy", PORT=str(world.primary.port))
    assert "something else than a proxy" in other
    done = run("doctor", **{**world.proxy.settings, "REPLICA_URL": nobody})
    assert done.returncode == NOT and "\n       -> Is it running" in done.stdout


def test_a_role_without_rights(world):
    world.postgres.execute("CREATE ROLE doctor_nobody LOGIN")
    url = world.proxy.settings["DATABASE_URL"]
    user = url.split("://")[1].split("@")[0]
    try:
        said = wrong(world, "PostgreSQL", DATABASE_URL=url.replace(f"//{user}@", "//doctor_nobody@"))
        assert "the role doctor_nobody does not own the tables" in said
    finally:
        world.postgres.execute("DROP ROLE doctor_nobody")


def test_an_instance_that_has_lost_its_data(world):
    world.proxy.terminate()
    world.replica.kill()
    world.replica.wipe()
    world.replica.start()
    assert "it bears no marker, but had one" in wrong(world, "instance replica")


def test_a_database_that_is_newer(world):
    world.postgres.execute("INSERT INTO chromatid.migration (version) VALUES (99)", world.database)
    assert "newer than this program's" in wrong(world, "PostgreSQL")
    world.postgres.execute("DELETE FROM chromatid.migration WHERE version = 99", world.database)
