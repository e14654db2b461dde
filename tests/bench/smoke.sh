#!/usr/bin/env bash
# A short run of the benchmark: that it works, not how fast it is.
set -euo pipefail
cd "$(dirname "$0")/../.."
cmake --preset release >/dev/null
cmake --build --preset release
.venv/bin/python tests/bench/latency.py --rounds 2 --requests 50
