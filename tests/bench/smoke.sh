#!/usr/bin/env bash
# A short run of the benchmark: that it works, not how fast it is.
set -euo pipefail
exec "$(dirname "$0")/run.sh" --only strict,writes,pass-through,catch-up,resync \
	--rounds 1 --seconds 1 --clients 4 --variants 1 --catch-up 50 --records 100
