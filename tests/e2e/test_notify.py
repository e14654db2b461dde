"""The proxy under a service manager: READY, WATCHDOG, STOPPING, and silence when its loop is stuck."""

import os
import signal
import time

import pytest

from manager import Manager
from world import World, wait_until


@pytest.fixture(scope="module")
def world(postgres, tmp_path_factory):
    with World(postgres, tmp_path_factory.mktemp("notify"), start=False) as world:
        for chroma in world.instances:
            chroma.start()
        yield world


def started(world, manager, **settings):
    world.proxy.settings = {**world.proxy.settings, **manager.settings, **settings}
    world.proxy.start(wait="listening")
    return world.proxy


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_ready_alive_stopping(world, tmp_path, kind):
    address = str(tmp_path / "notify") if kind == "path" else f"@chromatid-{os.getpid()}"
    with Manager(address) as manager:
        proxy = started(world, manager)
        wait_until(lambda: manager.said("READY=1"), 30, "it says that it is ready")
        assert proxy.ready() == 200
        beats = len(manager.said("WATCHDOG=1"))
        wait_until(lambda: len(manager.said("WATCHDOG=1")) > beats + 5, 10, "it beats")
        # a stuck loop
        proxy.signal(signal.SIGSTOP)
        wait_until(lambda: time.monotonic() - manager.heard[-1][0] > 0.6, 10, "silence")
        beats = len(manager.said("WATCHDOG=1"))
        proxy.signal(signal.SIGCONT)
        wait_until(lambda: len(manager.said("WATCHDOG=1")) > beats + 2, 10, "it beats again")
        proxy.terminate()
        assert len(manager.said("READY=1")) == 1 and len(manager.said("STOPPING=1")) == 1
        assert manager.said("STOPPING=1")[0] > manager.said("READY=1")[0]


def test_not_ready_before_ready_says_so(world, tmp_path):
    with Manager(str(tmp_path / "notify")) as manager:
        nowhere = "postgresql://nobody@127.0.0.1:9/nothing"
        good = world.proxy.settings["DATABASE_URL"]
        proxy = started(world, manager, DATABASE_URL=nowhere)
        wait_until(lambda: len(manager.said("WATCHDOG=1")) > 10, 10, "it beats")
        assert proxy.ready() == 503 and not manager.said("READY=1")
        proxy.terminate()
        assert not manager.said("READY=1")
        world.proxy.settings["DATABASE_URL"] = good


@pytest.mark.parametrize("watchdog", ["0", "", "junk"])
def test_nobody_watches(world, tmp_path, watchdog):
    with Manager(str(tmp_path / "notify"), watchdog) as manager:
        proxy = started(world, manager)
        wait_until(lambda: manager.said("READY=1"), 30, "it says that it is ready")
        proxy.terminate()
        assert not manager.said("WATCHDOG=1")


def test_another_process_is_watched(world, tmp_path):
    with Manager(str(tmp_path / "notify")) as manager:
        proxy = started(world, manager, WATCHDOG_PID="1")
        wait_until(lambda: manager.said("READY=1"), 30, "it says that it is ready")
        proxy.terminate()
        assert not manager.said("WATCHDOG=1")
        del proxy.settings["WATCHDOG_PID"]


def test_a_manager_that_is_gone_does_no_harm(world, tmp_path):
    world.proxy.settings["NOTIFY_SOCKET"] = str(tmp_path / "nobody")
    world.proxy.start()
    world.proxy.terminate()
    world.proxy.settings["NOTIFY_SOCKET"] = "vsock:2:1"
    world.proxy.start()
    assert world.proxy.log_contains("NOTIFY_SOCKET is not understood")
    world.proxy.terminate()
    del world.proxy.settings["NOTIFY_SOCKET"], world.proxy.settings["WATCHDOG_USEC"]
