#!/bin/bash
# Runs every fuzzer for so many seconds, all at once, at the lowest priority.
#
#	cmake --preset fuzz && cmake --build --preset fuzz
#	tests/fuzz/run.sh 60 [build/fuzz/tests [directory]]
#
# What is found on the way is kept in the directory (build/fuzz/corpora), a corpus for each
# target, so that the next run goes on from there; the corpora in tests/fuzz/corpus are read
# and stay as they are. Prints a line for each target: executions, the size of its corpus,
# findings. A finding is a file <target>-crash-..., -leak-..., -timeout-... or -oom-... in the
# directory, its story is in <target>.log; then the exit status is 1. Bring it home as a file
# in tests/fuzz/corpus/<target>, where every run of the tests replays it.
set -u
cd "$(dirname "$0")/../.." || exit 2
seconds=${1:?usage: run.sh SECONDS [FUZZERS [DIRECTORY]]}
fuzzers=$(realpath "${2:-build/fuzz/tests}") || exit 2
into=$(realpath -m "${3:-build/fuzz/corpora}")

run() {
	local corpus=$PWD/tests/fuzz/corpus/$1

	mkdir -p "$into/$1"
	exec chrt --idle 0 nice -n 19 "$fuzzers/$1" -max_total_time="$seconds" \
		-max_len=32768 -rss_limit_mb=1500 -print_final_stats=1 \
		-artifact_prefix="$into/$1-" "$into/$1" "$corpus" >"$into/$1.log" 2>&1
}

targets=()
for source in tests/fuzz/fuzz_*.c; do
	target=$(basename "$source" .c)
	[ -x "$fuzzers/$target" ] || { echo "$fuzzers/$target is not built" >&2; exit 2; }
	targets+=("$target")
done
mkdir -p "$into"
rm -f "$into"/*-{crash,leak,timeout,oom}-*
pids=()
for target in "${targets[@]}"; do
	run "$target" &
	pids+=($!)
done
trap 'kill "${pids[@]}" 2>/dev/null' INT TERM

failed=0
for i in "${!targets[@]}"; do
	target=${targets[$i]}
	wait "${pids[$i]}" || failed=1
	executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$into/$target.log")
	findings=$(find "$into" -maxdepth 1 -name "$target-*-*" | wc -l)
	printf '%-16s %10s executions %6s inputs %3s findings\n' "$target" "${executions:-none}" \
		"$(find "$into/$target" -type f | wc -l)" "$findings"
done
exit $failed
