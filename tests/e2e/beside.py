"""Clients that are at work beside a test, in threads of their own."""

import threading


class Beside:
    """with ...: `work(number)` runs in each of the threads, and ends when `over` is set.

    What it raises is in `failures`, and fails the block.
    """

    def __init__(self, clients):
        self.over = threading.Event()
        self.failures = []
        self.threads = [threading.Thread(target=self.run, args=(n,)) for n in range(clients)]

    def run(self, number):
        try:
            self.work(number)
        except Exception as e:  # told at the end
            self.failures.append(repr(e))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()
        assert not self.failures, self.failures[:5]
