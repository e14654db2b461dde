"""What happened, in files that can be read again: one JSON text a line.

    history.jsonl   one line for each request (workload.py)
    faults.jsonl    one line for each fault (nemesis.py)
    samples.jsonl   what /status said, over and over (workload.py)
    log.json        the log and the catalogue of PostgreSQL at the end (evidence.py)
    content.json    what both servers held at the end (evidence.py)
    run.json        seed, duration, how the end went

All times are seconds since the start of the run, by one monotonic clock.
"""

import json
import threading
import time
from pathlib import Path


class History:
    def __init__(self, directory):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.started = time.monotonic()
        self.lock = threading.Lock()
        self.lists = {"history": [], "faults": [], "samples": []}
        self.files = {name: open(self.directory / f"{name}.jsonl", "w") for name in self.lists}

    def now(self):
        return round(time.monotonic() - self.started, 6)

    def add(self, name, entry):
        line = json.dumps(entry, separators=(",", ":"))
        with self.lock:
            self.lists[name].append(entry)
            self.files[name].write(line + "\n")

    def close(self):
        with self.lock:
            for file in self.files.values():
                file.close()

    def between(self, begin, end):
        """The requests that were answered then."""
        with self.lock:
            return [op for op in self.lists["history"] if begin <= op["t1"] <= end]


def write(directory, name, value):
    (Path(directory) / name).write_text(json.dumps(value, separators=(",", ":")))


def read_lines(directory, name):
    with open(Path(directory) / name) as file:
        return [json.loads(line) for line in file]


def read(directory):
    """Everything the checker wants, from a directory that was kept."""
    found = {name: read_lines(directory, f"{name}.jsonl") for name in ("history", "faults", "samples")}
    for name in ("log", "content", "run"):
        found[name] = json.loads((Path(directory) / f"{name}.json").read_text())
    return found
