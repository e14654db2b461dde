"""`chromatid drill`: an instance is out, or both, and the system does what it must, or the drill fails."""

import json
import os
import subprocess

import httpx
import pytest

from compare import converged
from liar import Liar
from test_cli import run
from test_export import NOT, OK, fill
from test_validate import failed_step, is_write
from world import BINARY, World, wait_until


@pytest.fixture(scope="module")
def world(postgres, tmp_path_factory):
    with World(postgres, tmp_path_factory.mktemp("drill"), REPAIR="report", WRITE_WAIT="1s") as world:
        fill(world.client().create_collection("bystander", embedding_function=None), 20)
        yield world


def drill(url, directory, down, *words, **env):
    done = run("drill", "--url", url, "--down", down, "--json", "--timeout", "20", "--log-dir", str(directory), *words,
               ASAN_OPTIONS="detect_leaks=1", **env)  # fmt: skip
    assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("down", ["primary", "replica", "both"])
def test_a_system_that_is_well(world, tmp_path, down):
    before = converged(world)
    code, report = drill(world.proxy.url, tmp_path, down)
    assert code == OK and report["passed"] and report["kept"] == [] and report["notes"] == [], report
    names = [s["step"] for s in report["steps"]]
    assert ("writes are kept" in names) == (down == "both") and names[-1] == "clean up"
    assert converged(world) == before and world.all_healthy()
    assert report["refused"] == (3 if down == "both" else 0)


@pytest.mark.parametrize("down", ["primary", "replica", "both"])
def test_by_hand(world, tmp_path, down):
    before = converged(world)
    names = ["primary", "replica"] if down == "both" else [down]
    with subprocess.Popen(
        [BINARY, "drill", "--url", world.proxy.url, "--down", down, "--by-hand", "--log-dir", str(tmp_path)],
        env={"PATH": os.environ["PATH"]}, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            for name in names:
                said = process.stderr.readline()
                assert said.startswith(f"Now suspend the server of instance {name},"), said
                getattr(world, name).pause()
            for name in names:
                assert process.stderr.readline() == f"Now let the server of instance {name} go on.\n"
                getattr(world, name).resume()
        finally:
            for name in names:
                getattr(world, name).resume()
        out, _ = process.communicate(timeout=120)
    assert process.returncode == OK and "\npassed; log: " in out, out
    assert ("writes are kept" in out) == (down == "both")
    assert converged(world) == before


BROKEN = {
    "a write fails while one is out": (
        "primary", "reads and writes go on",
        lambda m, p, b, f: httpx.Response(503) if is_write(m, p, "upsert") else f()),
    "a deleted collection comes back": (
        "replica", "delete meanwhile", lambda m, p, b, f: httpx.Response(200, json={}) if m == "DELETE" else f()),
    "reads are answered by nobody": (
        "both", "reads are refused",
        lambda m, p, b, f: (a := f()) if not is_write(m, p, "get") or (a := f()).status_code == 200
        else httpx.Response(200, json={"ids": []})),
    "what was written meanwhile is lost": ("replica", "reads and writes go on",
        lambda m, p, b, f: httpx.Response(200, json={}) if is_write(m, p, "upsert") else f()),
    "it does not go down": (
        "replica", "take out",
        lambda m, p, b, f: httpx.Response(200, json={}) if p.startswith("/admin/instances/") else f()),
}  # fmt: skip


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_system_fails_and_what_was_out_is_put_back(world, tmp_path, how):
    down, step, lie = BROKEN[how]
    with Liar(world.proxy.url, lie) as liar:
        code, report = drill(liar.url, tmp_path, down, "--timeout", "3")
    assert code == NOT and failed_step(report) == step, report
    assert report["kept"] and all(name.startswith("AUTOTEST_") for name in report["kept"])
    wait_until(world.all_healthy, 30, "it was put back")
    for name in report["kept"]:
        world.client().delete_collection(name)
    converged(world)


def test_who_interrupts_it_leaves_nothing_out(world, tmp_path):
    process = None

    def lie(method, path, body, forward):
        if is_write(method, path, "upsert"):
            process.terminate()
        return forward()

    with Liar(world.proxy.url, lie) as liar:
        process = subprocess.Popen(
            [BINARY, "drill", "--url", liar.url, "--down", "replica", "--json", "--log-dir", str(tmp_path)],
            env={"PATH": os.environ["PATH"]}, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        out, said = process.communicate(timeout=60)
        back = [path for method, path in liar.seen if path == "/admin/instances/replica/health"]
    report = json.loads(out)
    assert process.returncode == NOT and failed_step(report) == "reads and writes go on" and said == "", said
    assert len(back) == 2, "out, and back"
    wait_until(world.all_healthy, 30, "it was put back")
    for name in report["kept"]:
        world.client().delete_collection(name)
