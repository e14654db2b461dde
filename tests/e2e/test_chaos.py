"""The chaos test (tests/chaos/), briefly: its checker finds what is planted, and three seeds.
Long runs, and seeds of every kind, are a command: docs/TESTING.md."""

import subprocess
import sys

import pytest

from world import ROOT

CHAOS = ROOT / "tests/chaos"


def run(*command):
    done = subprocess.run([sys.executable, *map(str, command)], cwd=CHAOS, capture_output=True, text=True)
    print(done.stdout, done.stderr)
    return done


def test_the_checker_finds_what_is_planted():
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_checker.py")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("seed, seconds, proxies", [(1, 25, 1), (274837, 12, 1), (5, 20, 2)])
def test_nothing_is_lost_whatever_dies(seed, seconds, proxies):
    done = run("chaos.py", "--seed", seed, "--seconds", seconds, "--proxies", proxies)
    assert done.returncode == 0, f"seed {seed}:\n{done.stdout}{done.stderr}"
