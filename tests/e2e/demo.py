"""The show behind ./quickstart.sh demo: the primary is killed while data is written.

Everything in it is real: two Chroma servers, PostgreSQL, the proxy and chromadb's own
client, on free ports and in a temporary directory, so that a running quickstart is not
disturbed.
"""

import logging
import random
import tempfile
import threading
import time

from compare import DEFAULT_DATABASE, compare_instances, settled
from world import Postgres, World, wait_until

logging.getLogger("httpx").setLevel(logging.WARNING)
started = time.monotonic()


def say(text):
    print(f"{time.monotonic() - started:5.1f} s  {text}", flush=True)


class Ingest(threading.Thread):
    """Writes batches of ten records and reads each back, as an application would."""

    def __init__(self, client):
        super().__init__(daemon=True)
        self.collection = client.create_collection("articles", embedding_function=None)
        self.written = 0
        self.slowest = 0.0
        self.error = None
        self.over = threading.Event()

    def run(self):
        try:
            while not self.over.is_set():
                self.batch()
        except Exception as e:
            self.error = repr(e)

    def batch(self):
        ids = [f"article-{self.written + i}" for i in range(10)]
        begun = time.monotonic()
        self.collection.add(
            ids=ids,
            embeddings=[[random.random() for _ in range(384)] for _ in ids],
            documents=[f"the text of {id}" for id in ids],
            metadatas=[{"source": "demo"} for _ in ids],
        )
        assert self.collection.get(ids=ids)["ids"] == ids, "a read did not show what was written"
        self.slowest = max(self.slowest, time.monotonic() - begun)
        self.written += len(ids)

    def wait_more(self, records):
        goal = self.written + records
        wait_until(lambda: self.written >= goal or self.error, 30, f"{records} more records")
        assert self.error is None, f"the application saw an error: {self.error}"


def owed(world):
    return world.proxy.instance("primary")["pending_writes"]


def show(world):
    ingest = Ingest(world.client())
    ingest.start()
    say("an application writes records through the proxy, and reads each of them back")
    ingest.wait_more(200)
    say(f"{ingest.written} records written; now kill -9 of the primary (pid {world.primary.process.pid})")
    world.primary.kill()
    ingest.wait_more(300)
    say(f"{ingest.written} records written, no error; the slowest batch took {ingest.slowest:.2f} s")
    say(f"the primary is owed {owed(world)} writes; starting it again")
    world.primary.start()
    begun = time.monotonic()
    ingest.wait_more(100)
    ingest.over.set()
    ingest.join()
    wait_until(lambda: settled(world), 30, "the primary has caught up")
    say(f"it has caught up after {time.monotonic() - begun:.1f} s, while {ingest.written} records were written")
    content = compare_instances(world)[DEFAULT_DATABASE]["articles"]
    assert len(content["order"]) == ingest.written
    say(f"both servers compared, record by record: {len(content['order'])} records, all equal")
    say(f"errors seen by the application: 0; slowest batch of ten: {ingest.slowest:.2f} s")


def main():
    say("starting PostgreSQL, two Chroma servers and the proxy")
    with tempfile.TemporaryDirectory() as postgres_dir, tempfile.TemporaryDirectory() as directory:
        postgres = Postgres(postgres_dir)
        postgres.start()
        try:
            with World(postgres, directory) as world:
                say(f"ready: primary {world.primary.url}, replica {world.replica.url}, proxy {world.proxy.url}")
                show(world)
        finally:
            postgres.stop()


if __name__ == "__main__":
    main()
