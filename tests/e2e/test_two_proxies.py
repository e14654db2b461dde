"""Two proxies at once: both serve the same collections, through PostgreSQL alone."""

import random
import signal
import threading

import pytest

from compare import DEFAULT_DATABASE, converged
from world import Proxy, wait_until


def leads(proxy):
    return proxy.running() and "leading" in str(proxy.http.get("/status").json())


@pytest.fixture
def pair(world, tmp_path):
    """The one that leads, and one that follows."""
    second = Proxy(tmp_path / "second", {**world.proxy.settings, "PORT": "0"}, name="second")
    second.settings["PORT"] = str(second.port)
    second.start()
    first = world.proxy
    yield first, second
    for proxy in (first, second):
        if proxy.running():
            proxy.signal(signal.SIGCONT)
            proxy.terminate()
        proxy.check_sanitizers()
        proxy.kill()


def make(client, name="docs"):
    return client.get_or_create_collection(name, embedding_function=None)


def vector(k):
    return [float(k % 7), float(k % 11), 1.0]


def test_what_one_has_taken_the_other_shows_at_once(world, pair):
    first, second = (p.client() for p in pair)
    for k in range(20):
        writer, reader = (first, second) if k % 2 else (second, first)
        name = f"docs{k}"
        make(writer, name).add(ids=["a"], embeddings=[[1, 2, 3]], documents=["x"])
        there = reader.get_collection(name, embedding_function=None)
        assert there.get()["documents"] == ["x"]
        there.update(ids=["a"], embeddings=[[3, 2, 1]], documents=["y"])
        assert writer.get_collection(name, embedding_function=None).get()["documents"] == ["y"]
        assert name in {c.name for c in reader.list_collections()}
        writer.delete_collection(name)
        with pytest.raises(Exception, match="does not exist"):
            reader.get_collection(name, embedding_function=None)
        with pytest.raises(Exception, match="does not exist"):
            there.get()
        assert name not in {c.name for c in reader.list_collections()}
    converged(world)
