#!/usr/bin/env python3
"""Builds the proxy's log and engine with one rule switched off, again and again; each
time a test must notice. A rule whose absence nobody notices is not tested.

    tests/mutants/run.py                all (list.py)
    tests/mutants/run.py no_fence       those whose name contains it
    tests/mutants/run.py --all          run every test on each, to see who notices what
    tests/mutants/run.py --share 4      every fourth, others with each commit

The tree is copied to build/mutants, one build directory serves all, and only what a
mutant changes is compiled. A text to replace must be found exactly once, else the run
fails: mutants cannot rot silently. First of all the tests must pass without any.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import time

from list import MUTANTS

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "mutants"
TREE, OUT = WORK / "tree", WORK / "out"
FOLDERS = ["core", "health", "mapping", "wal", "http", "core/cli", "tests/lib", "tests/unit/wal",
           "tests/unit/http", "tests/unit/core"]
SEEDS = "400"
LONGEST = 120  # seconds; a test that takes longer has noticed, too

# From the quick ones to the thorough ones; of wal, where nothing else is said.
TESTS = [
    "core/networks",
    "errand_step",
    "http/access",
    "http/forwarded",
    "http/alike",
    "http/together",
    "scope",
    "calls",
    "pooler",
    "verdict",
    "retain",
    "shown_kept",
    "engine",
    "tail",
    "merge",
    "batch",
    "pace",
    "slots",
    "cold",
    "identity",
    "adopt",
    "verifying",
    "unproven",
    "standing",
    "fences",
    "quarantine",
    "detach",
    "override",
    "errands",
    "unmap",
    "chronicle",
    "join",
    "poison",
    "late",
    "crashes",
    "simulation",
]


def put(target, text):
    """Writes only what differs, so that nothing else is compiled again."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists() or target.read_text() != text:
        target.write_text(text)


def copy_tree():
    wanted = {ROOT / "CMakeLists.txt", ROOT / "tests/CMakeLists.txt"}
    for folder in FOLDERS:
        wanted.update((ROOT / folder).glob("*.[ch]"))
    wanted.add(ROOT / "http/ui.html")
    for old in TREE.rglob("*"):
        if old.is_file() and ROOT / old.relative_to(TREE) not in wanted:
            old.unlink()
    for source in wanted:
        put(TREE / source.relative_to(ROOT), source.read_text())
    (TREE / "tests/tools").mkdir(parents=True, exist_ok=True)


def run(command, **options):
    return subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", **options
    )


def fail(message):
    sys.exit(f"mutants: {message}")


def configure():
    compiler = shutil.which("clang") or "cc"
    done = run(
        ["cmake", "-S", TREE, "-B", OUT, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Debug",
         f"-DCMAKE_C_COMPILER={compiler}", "-DCMAKE_C_FLAGS=-O1 -g0 -w"]
    )
    if done.returncode != 0:
        fail(f"cmake:\n{done.stdout}")


def layer_and_name(test):
    return test.split("/") if "/" in test else ("wal", test)


def program(test):
    layer, name = layer_and_name(test)
    return f"unit_{layer}_test_{name}"


def is_here(test):
    layer, name = layer_and_name(test)
    return (TREE / f"tests/unit/{layer}/test_{name}.c").exists()


def tests_here():
    return [t for t in TESTS if is_here(t)]


def build(tests):
    done = run(["ninja", "-C", OUT, *map(program, tests)])
    return None if done.returncode == 0 else done.stdout


def notices(test):
    """What the test says when it fails, or None."""
    environment = dict(os.environ, CHROMATID_SEEDS=SEEDS)
    try:
        done = run([OUT / "tests" / program(test)], env=environment,
                   timeout=LONGEST)
    except subprocess.TimeoutExpired:
        return f"still running after {LONGEST} s"
    return done.stdout if done.returncode != 0 else None


def edit(mutant):
    """The texts of the changed files; fails unless each edit is found exactly once."""
    texts = {}
    for pattern, old, new in mutant["edits"]:
        found = []
        for path in sorted(TREE.glob(pattern)):
            text = texts.get(path) or path.read_text()
            found += [path] * text.count(old)
        if len(found) != 1:
            fail(f"{mutant['name']}: found {len(found)} times in {pattern}: {old!r}")
        path = found[0]
        texts[path] = (texts.get(path) or path.read_text()).replace(old, new)
    return texts


def check_unchanged(tests):
    errors = build(tests)
    if errors:
        fail(f"the unchanged tree does not build:\n{errors[-3000:]}")
    for test in tests:
        said = notices(test)
        if said:
            fail(f"{test} fails without any mutant:\n{said[-3000:]}")


def try_one(mutant, tests, every):
    """The tests that notice; only the first unless `every`."""
    changed = edit(mutant)
    originals = {path: path.read_text() for path in changed}
    try:
        for path, text in changed.items():
            put(path, text)
        errors = build(tests)
        if errors:
            fail(f"{mutant['name']} does not build:\n{errors[-3000:]}")
        who = []
        for test in tests:
            if notices(test):
                who.append(test)
                if not every:
                    break
        return who
    finally:
        for path, text in originals.items():
            put(path, text)


def share_of(mutants, n):
    """Every n-th. Which, the number of commits says: all have their turn, and a run of the
    same commit is the same."""
    count = run(["git", "-C", ROOT, "rev-list", "--count", "HEAD"])
    first = int(count.stdout) % n if count.returncode == 0 else 0
    return mutants[first::n]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("name", nargs="?", default="")
    parser.add_argument("--share", type=int, default=1)
    parser.add_argument("--all", action="store_true", dest="every")
    arguments = parser.parse_args()
    chosen = [m for m in MUTANTS if arguments.name in m["name"]]
    begun = time.monotonic()
    copy_tree()
    configure()
    tests = tests_here()
    for mutant in chosen:
        edit(mutant)
    chosen = share_of(chosen, arguments.share)
    check_unchanged(tests)
    survivors = []
    for mutant in chosen:
        start = time.monotonic()
        who = try_one(mutant, tests, arguments.every)
        took = time.monotonic() - start
        print(f"{mutant['name']:36} {', '.join(who) or 'SURVIVES':28} {took:5.1f} s",
              flush=True)
        if not who:
            survivors.append(mutant)
    for mutant in survivors:
        print(f"nobody notices {mutant['name']}: {mutant['rule']}")
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} mutants caught "
          f"({time.monotonic() - begun:.0f} s)")
    return 1 if survivors or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
