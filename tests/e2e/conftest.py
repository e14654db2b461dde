"""One PostgreSQL for all tests; a world for each test, or for each module that shares one."""

import os
import signal
import tempfile
from collections import Counter

import pytest

from world import Postgres, Proxy, World, wait_until


# What takes longest, so that no worker is left alone with it in the end (with the options
# that ./test.sh gives).
LONG = """retention half_dead rebuild shared_work errands hostile shown chaos adopt verify restart two_proxies
 crash_table verify_heal export ui canary failover identity both_down repeats""".split()


# Many kinds of trouble, each at either server: of those of one test `./test.sh` takes every
# second, the others with the next commit (CHROMATID_TURN); `./test.sh e2e` takes all.
IN_TURN = """half_dead crash_table hostile verify_heal canary retention rebuild adopt restart failover
 both_down deletes identity""".split()


def has_its_turn(item, seen):
    turn = os.environ.get("CHROMATID_TURN")
    if turn is None or not hasattr(item, "callspec") or item.path.stem.removeprefix("test_") not in IN_TURN:
        return True
    seen[item.function] += 1
    return (seen[item.function] + int(turn)) % 2 == 0


def pytest_collection_modifyitems(config, items):
    rank = {f"test_{name}": place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(LONG)))
    seen, kept, left_out = Counter(), [], []
    for item in items:
        (kept if has_its_turn(item, seen) else left_out).append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


@pytest.fixture(scope="session")
def postgres():
    # not below pytest's directory: PostgreSQL runs as another user, who may not enter it
    with tempfile.TemporaryDirectory() as directory:
        postgres = Postgres(directory)
        postgres.start()
        yield postgres
        postgres.stop()


@pytest.fixture
def world(postgres, tmp_path):
    with World(postgres, tmp_path, WRITE_WAIT="10s") as world:
        yield world


@pytest.fixture
def pair(world, tmp_path):
    """Two proxies of the world: the one that leads, and one that follows."""
    settings = {name: value for name, value in world.proxy.settings.items() if name != "PORT"}
    second = Proxy(tmp_path / "second", settings, "second")
    second.start(wait="ready")
    wait_until(lambda: second.status()["healthy_instances"] == 2, 20, "it has probed them")
    first = world.proxy
    yield first, second
    for proxy in (first, second):
        proxy.dismiss()
        if proxy.running():
            proxy.signal(signal.SIGCONT)
            proxy.terminate()
        proxy.check_sanitizers()
        proxy.kill()


@pytest.fixture(scope="module")
def shared_world(postgres, tmp_path_factory):
    with World(postgres, tmp_path_factory.mktemp("shared")) as world:
        yield world


@pytest.fixture(scope="module")
def relayed_world(postgres, tmp_path_factory):
    directory = tmp_path_factory.mktemp("relayed")
    with World(postgres, directory, relays=True, MAX_WORKERS="32") as world:
        yield world


@pytest.fixture(autouse=True)
def revive(request):
    """A test that failed half way leaves no dead server to the next one in its module."""
    for name in ("shared_world", "relayed_world"):
        if name in request.fixturenames:
            request.getfixturevalue(name).revive()


@pytest.fixture
def make_world(postgres, tmp_path):
    """make_world(start=False, WRITE_WAIT="1s"): a world with settings of its own."""
    made = []

    def make(**options):
        world = World(postgres, tmp_path / f"world{len(made)}", **options)
        made.append(world)
        return world.__enter__()

    yield make
    for world in made:
        world.__exit__(None, None, None)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """What the proxy said last is part of the report of a failed test."""
    report = (yield).get_result()
    if report.failed:
        for name in ("world", "shared_world", "relayed_world"):
            if name in item.funcargs:
                log = item.funcargs[name].proxy.log().splitlines()
                told = [line for line in log if '"op":"status"' not in line]
                report.sections.append(("proxy", "\n".join(told[-40:])))
