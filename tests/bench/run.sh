#!/usr/bin/env bash
# Installs what is missing (Debian 12; root or sudo), builds the release binary and measures it.
#
#   tests/bench/run.sh                             everything; well over an hour
#   tests/bench/run.sh --only writes --seconds 2   a part; --help tells the rest
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=tests/tools/deps.sh
. tests/tools/deps.sh

# nginx and HAProxy are run by ourselves, on ports of our own: what the packages start, and
# would start again with the machine, is not wanted by somebody who asked for a benchmark.
deps_bench() {
	local service new
	install_packages wrk
	for service in nginx haproxy; do
		new=$(missing_packages "$service")
		[ -n "$new" ] || continue
		install_packages "$service"
		as_root service "$service" stop >/dev/null 2>&1 || true
		as_root update-rc.d "$service" disable >/dev/null 2>&1 || true
	done
}

deps_build
deps_run
deps_bench
cmake --preset release >/dev/null
cmake --build --preset release >&2
exec .venv/bin/python tests/bench/bench.py "$@"
