#!/usr/bin/env python3
"""A folder is a layer: it includes only what is to its left, and by the front door.

    core <- health <- mapping <- wal <- http        core/main.c builds it all
                      mapping <- core/cli           the commands

From outside a folder only <folder>/<folder>.h may be included, in core every header but
the private ones. Prints each line that does otherwise; exit status 1 if there is one.
"""

import pathlib
import re
import sys

LAYERS = ["core", "health", "mapping", "wal", "http", "core/cli"]
MAIN = "core/main.c"
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')

# Libraries that not everybody knows.
LIBRARIES = {"evhtp": ["http"], "libpq-fe.h": ["core", "core/cli"]}


def layer_of(path):
    return path.rpartition("/")[0]


def is_door(layer, header):
    if layer == "core":
        return not header.endswith("_private.h")
    return header == f"{layer}/{layer.split('/')[-1]}.h"


def judge_own(root, source, header):
    """What is wrong with including our own `header` into `source`, or None."""
    folder, layer = layer_of(source), layer_of(header)
    if layer not in LAYERS:
        return 'write it as "folder/file.h"'
    if not (root / header).is_file():
        return "there is no such file"
    if source == MAIN or layer == folder:
        return None
    if LAYERS.index(layer) > LAYERS.index(folder):
        return f"{folder}/ may not use {layer}/, which is to its right"
    if not is_door(layer, header):
        return f"{header} is for {layer}/ only"
    return None


def judge_library(source, header):
    for prefix, owners in LIBRARIES.items():
        if header.startswith(prefix) and layer_of(source) not in owners:
            return f"only {' and '.join(owners)} use this library"
    return None


def complaints(root):
    for layer in LAYERS:
        for path in sorted((root / layer).glob("*.[ch]")):
            source = path.relative_to(root).as_posix()
            for number, line in enumerate(path.read_text().splitlines(), 1):
                match = INCLUDE.match(line)
                if match is None:
                    continue
                quote, header = match.groups()
                wrong = (judge_own(root, source, header) if quote == '"'
                         else judge_library(source, header))
                if wrong is not None:
                    yield f"{source}:{number}: {header}: {wrong}"


def main():
    root = (pathlib.Path(sys.argv[1]) if len(sys.argv) > 1
            else pathlib.Path(__file__).resolve().parents[2])
    wrong = list(complaints(root))
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
