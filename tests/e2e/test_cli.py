"""The commands against a running proxy: what they print, and how they end."""

import json
import os
import pty
import subprocess

import pytest

from compare import converged, snapshot, DEFAULT_DATABASE
from test_export import NOT, OK, UNREACHABLE, USAGE, command, fill, good, vectors
from test_rebuild import healed, lose, noticed
from world import BINARY, COLLECTIONS, ROOT, wait_until


def run(*words, **env):
    return subprocess.run(
        [BINARY, *words], env={"PATH": os.environ["PATH"], **env}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=60,
    )


@pytest.mark.parametrize("page, option", [("CLI.md", "--document-cli"), ("API.md", "--document-api")])
def test_the_pages_are_what_the_program_says(page, option):
    assert run(option).stdout == (ROOT / "docs" / page).read_text()


def test_wrong_command_lines():
    for words in (["nonsense"], ["wal"], ["status", "--colour"], ["wal", "retry", "x"], ["wal", "skip", "3"],
                  ["resync"], ["export"], ["drain"], ["drain", "x", "--for", "0"], ["drain", "x", "--for", "soon"],
                  ["wal", "list", "--limit", "x"], ["wal", "show", "x"], ["verify", "a", "b"], ["validate"], ["drill", "--url", "http://127.0.0.1:9"],
                  ["drill", "--down", "all"], ["status", "--url", "ftp://x"], ["export", "f", "--timeout", "soon"],
                  ["help", "nonsense"]):
        done = run(*words)
        assert done.returncode == USAGE and done.stdout == "" and done.stderr.startswith("chromatid: "), words
    for words in (["resync", "--json"], ["export", "-", "--json"]):
        done = run(*words)
        assert done.returncode == USAGE and json.loads(done.stdout)["code"] == USAGE


def test_nobody_answers(tmp_path):
    file = tmp_path / "copy"
    for words in (["status"], ["quarantine"], ["mappings"], ["resync", "x"], ["wal", "retry", "1"],
                  ["wal", "skip", "1", "--reason", "x"], ["export", str(file)], ["drain", "x"], ["undrain", "x"],
                  ["wal", "list"], ["wal", "show", "1"], ["verify"], ["verify", "x", "--watch"]):
        done = run(*words, CHROMATID_URL="http://127.0.0.1:9")
        assert done.returncode == UNREACHABLE and "does not answer" in done.stderr, words
        done = run(*words, "--json", PORT="9")
        assert done.returncode == UNREACHABLE and json.loads(done.stdout)["code"] == UNREACHABLE
    assert list(tmp_path.iterdir()) == []
    assert run("healthcheck", PORT="9").returncode == NOT


def test_help_and_version():
    assert run("help").stdout == run("--help").stdout.split("\nSettings")[0]
    for words in (["help", "wal", "skip"], ["wal", "skip", "--help"]):
        done = run(*words)
        assert done.returncode == OK and "--reason TEXT" in done.stdout
    assert run("version").stdout == run("--version").stdout
    assert json.loads(run("version", "--json").stdout)["version"] in run("version").stdout


def test_bash_completes():
    script = f"""source <({BINARY} --document-completion bash)
    complete_it() {{ COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _chromatid; echo "${{COMPREPLY[@]}}"; }}
    complete_it chromatid re; complete_it chromatid wal ''; complete_it chromatid wal skip --r
    complete_it chromatid import --d; complete_it chromatid help exp"""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=30)
    assert done.stdout.split("\n")[:-1] == ["resync", "list show retry skip", "--reason", "--dry-run", "export"], done


def test_check_config_and_serve_are_commands():
    assert run("check-config").returncode == run("--check-config").returncode == 78
    settings = dict(DATABASE_URL="postgresql://x@127.0.0.1:1/x", PRIMARY_URL="127.0.0.1:1", REPLICA_URL="127.0.0.1:2")
    assert run("check-config", **settings).returncode == OK
    done = run("serve", "--print-config", "--port", "4711", CHROMATID_TOKEN="x", CHROMATID_URL="x", **settings)
    assert "PORT=4711 (flag)" in done.stdout and "is not a setting" not in done.stderr


def test_status(world):
    done = good(world, "status")
    assert "healthy, leads, 0 writes pending" in done.stdout and "replica" in done.stdout
    assert json.loads(good(world, "status", "--json").stdout)["status"] == "healthy"
    assert good(world, "quarantine").stdout == "nothing is in quarantine\n"
    assert json.loads(good(world, "quarantine", "--json").stdout) == []
    world.client().create_collection("docs", embedding_function=None)
    mapping = json.loads(good(world, "mappings", "--json").stdout)[0]
    assert mapping["public_id"] in good(world, "mappings").stdout
    assert command(world, "wal", "retry", 99).returncode == NOT
    assert command(world, "wal", "skip", 99, "--reason", "x").returncode == NOT
    world.replica.kill()
    world.wait_down(world.replica)
    done = command(world, "status")
    assert done.returncode == NOT and "degraded" in done.stdout and "down" in done.stdout


def test_what_clients_wrote_does_not_reach_the_terminal(world):
    """A name that only another way to make one could have: the worst there may be."""
    place = "/api/v2/tenants"
    world.http.post(place, json={"name": "evil\x1b]0;x\x07\u202e"}).raise_for_status()
    tenant = "/evil%1B%5D0%3Bx%07%E2%80%AE"
    world.http.post(f"{place}{tenant}/databases", json={"name": "base"}).raise_for_status()
    world.http.post(f"{place}{tenant}/databases/base/collections", json={"name": "docs"}).raise_for_status()
    shown = good(world, "mappings").stdout
    assert "evil?]0;x??" in shown and not any(c in shown for c in "\x1b\x07\u202e")


def test_watch_on_a_terminal(world):
    master, slave = pty.openpty()
    watching = subprocess.Popen([BINARY, "status", "--watch", "--url", world.proxy.url], stdout=slave, stderr=slave)
    os.close(slave)
    seen = b""
    while seen.count(b"healthy, leads") < 2:
        seen += os.read(master, 65536)
    watching.terminate()
    assert watching.wait(10) == OK
    os.close(master)
    assert seen.startswith(b"\033[2J\033[H") and seen.count(b"\033[2J") == 1


def test_resync_of_an_instance(world):
    client = world.client()
    for name in ("aaa", "bbb"):
        fill(client.create_collection(name, embedding_function=None), 300)
    before = converged(world)
    ids = {c["id"] for c in snapshot(world.replica)[DEFAULT_DATABASE].values()}
    done = good(world, "resync", "replica", "--watch")
    assert "2 collections will be made anew" in done.stdout and " %  replica aaa" in done.stdout
    assert healed(world)[DEFAULT_DATABASE] == before[DEFAULT_DATABASE]
    assert not ids & {c["id"] for c in snapshot(world.replica)[DEFAULT_DATABASE].values()}
    said = json.loads(good(world, "resync", "primary", "--collection", "aaa", "--watch", "--json").stdout)
    assert [(c["instance"], c["collection"]) for c in said["collections"]] == [("primary", "aaa")]
    healed(world)
    assert command(world, "resync", "aaa").returncode == NOT, "it is nowhere in quarantine"
    assert command(world, "resync", "replica", "--collection", "nothing").returncode == NOT
    good(world, "resync", "--watch")
    world.primary.kill()
    world.wait_down(world.primary)
    done = command(world, "resync", "replica", "--json")
    assert done.returncode == NOT and "No other instance" in json.loads(done.stdout)["error"]


def test_resync_is_carried_out_also_with_repair_off(make_world):
    world = make_world(REPAIR="report")
    c = world.client().create_collection("docs", embedding_function=None)
    fill(c, 50)
    converged(world)
    lose(world.replica, "docs")
    noticed(world, c)
    done = command(world, "quarantine")
    assert done.returncode == NOT and "docs" in done.stdout and "lost" in done.stdout
    good(world, "resync", "docs", "--watch")
    assert len(healed(world)[DEFAULT_DATABASE]["docs"]["records"]) == 51
    c.add(ids=["later"], embeddings=vectors(1))
    assert len(converged(world)[DEFAULT_DATABASE]["docs"]["records"]) == 52


def test_the_requests_of_a_resync(world):
    post = lambda path, body: world.http.post(path, json=body)
    assert post("/admin/resync", {}).status_code == 400
    assert post("/admin/resync", []).status_code == 422
    assert post("/admin/sync_collections", {"instance": "replica"}).status_code == 400
    refused = post("/admin/sync_collections", {"target_instance": "nobody"})
    assert refused.status_code == 404 and "primary, replica" in refused.json()["message"]
    assert post("/admin/resync", {"instance": "replica"}).status_code == 404, "there are no collections"
    assert world.http.post("/admin/resync", content="{}").status_code == 415
    world.client().create_collection("docs", embedding_function=None)
    begun = post("/admin/sync_collections", {"target_instance": "replica"})
    assert begun.status_code == 202 and begun.json()["begun"] == 1 and begun.json()["watch"] == "/status"
    wait_until(lambda: world.metric("chromatid_resync_collections_total") == 1, 30, "it was made anew")
    healed(world)
    assert world.http.get(f"{COLLECTIONS}/docs").status_code == 200
