#!/usr/bin/env bash
# Installs what is missing (Debian 12; root or sudo) and runs every test.
#
#   ./test.sh                    everything
#   ./test.sh lint               format, includes, cppcheck, clang-tidy, shellcheck
#   ./test.sh unit [ctest args]  unit, fuzz corpora, integration; e.g. unit -R mapping
#   ./test.sh e2e [pytest args]  real PostgreSQL and Chroma servers; e.g. e2e -k failover
#                                (all; "everything" takes half of the kinds of trouble, in turn)
#   ./test.sh mutants [name]     each rule switched off once: does a test notice? (all of
#                                them; "everything" takes a few, others each commit)
#   ./test.sh chaos [args]       a long run of faults: chaos --seed 7 --seconds 300
#   ./test.sh upgrade [commits]  an earlier version beside this one (before followers, unless
#                                others are named)
#   ./test.sh bench              a short run of the benchmark
#
# Every step runs even if one before it failed; ends with 1 if one did. A build that
# fails ends it at once.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=tests/tools/deps.sh
. tests/tools/deps.sh

binary=$PWD/build/debug/chromatid
failed=()

# step NAME command...: run it, remember if it fails
step() {
	local name=$1
	shift
	printf '\n=== %s\n' "$name"
	local start=$SECONDS
	if "$@" </dev/null; then
		printf -- '--- %s: ok (%ss)\n' "$name" $((SECONDS - start))
	else
		printf -- '--- %s: FAILED (%ss)\n' "$name" $((SECONDS - start))
		failed+=("$name")
	fi
}

build() {
	printf '\n=== build (debug: clang, address and undefined behaviour sanitizers)\n'
	cmake --preset debug >/dev/null
	cmake --build --preset debug
}

run_cppcheck() {
	mkdir -p build/cppcheck
	cppcheck --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
		--quiet --std=c11 -I . --cppcheck-build-dir=build/cppcheck -j "$(nproc)" \
		--include="$(find /usr/include -path '*sys/queue.h' | head -1)" \
		--suppress=missingIncludeSystem core health mapping wal http
}

run_clang_tidy() {
	printf '%s\n' {core,core/cli,health,mapping,wal,http}/*.c |
		xargs -P "$(nproc)" -n 4 clang-tidy --quiet -p build/debug
}

run_shellcheck() {
	shellcheck -x quickstart.sh test.sh tests/*/*.sh .ci/run docs/deploy/debian/p*
}

lint() {
	step format tests/tools/format.sh check
	step includes python3 tests/tools/includes.py
	step shellcheck run_shellcheck
	step cppcheck run_cppcheck
	step clang-tidy run_clang_tidy
}

# A PostgreSQL of its own for what ctest runs.
run_ctest() {
	local dir url port status=0
	dir=$(mktemp -d)
	port=$((20000 + RANDOM % 10000))
	url=$(tests/tools/run-postgres.sh start "$dir" "$port") || return 1
	CHROMATID_TEST_DATABASE_URL=$url ASAN_OPTIONS=detect_leaks=1 \
		ctest --preset debug -j "$(nproc)" "$@" || status=$?
	tests/tools/run-postgres.sh stop "$dir"
	rm -rf "$dir"
	return "$status"
}

run_e2e() {
	CHROMATID_BINARY=$binary .venv/bin/python -m pytest tests/e2e -n 4 --dist loadfile --no-loadscope-reorder \
		-o cache_dir=build/pytest --timeout 300 --durations 10 -q "$@"
}

run_chaos() {
	CHROMATID_BINARY=$binary .venv/bin/python tests/chaos/chaos.py "$@"
}

# The last version without followers: what it did not know yet is most of what can go wrong.
before_followers=186a437

run_upgrade() {
	local commit binary_old status=0
	for commit in "$@"; do
		printf 'beside %s\n' "$commit"
		binary_old=$(tests/tools/build-old.sh "$commit") || return 1
		CHROMATID_OLD_BINARY=$binary_old CHROMATID_BINARY=$binary .venv/bin/python -m pytest \
			tests/e2e/test_upgrade.py -o cache_dir=build/pytest --timeout 300 -q || status=1
	done
	return "$status"
}

bench() {
	[ -x tests/bench/smoke.sh ] || return 0
	step bench tests/bench/smoke.sh
}

finish() {
	if [ ${#failed[@]} -gt 0 ]; then
		printf '\nFAILED: %s (%ss)\n' "${failed[*]}" "$SECONDS"
		exit 1
	fi
	printf '\nAll passed (%ss).\n' "$SECONDS"
}

deps_test
what=${1:-all}
[ $# -eq 0 ] || shift
case $what in
all)
	build
	lint
	step ctest run_ctest
	CHROMATID_TURN=$(git rev-list --count HEAD 2>/dev/null || echo 0)
	export CHROMATID_TURN
	step e2e run_e2e
	step mutants python3 tests/mutants/run.py --share 12
	bench
	;;
lint)
	build
	lint
	;;
unit)
	build
	step ctest run_ctest "$@"
	;;
e2e)
	build
	step e2e run_e2e "$@"
	;;
mutants)
	step mutants python3 tests/mutants/run.py "$@"
	;;
chaos)
	build
	step chaos run_chaos "$@"
	;;
upgrade)
	build
	[ $# -gt 0 ] || set -- "$before_followers"
	step upgrade run_upgrade "$@"
	;;
bench)
	build
	bench
	;;
*)
	sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"
	exit 64
	;;
esac
finish
