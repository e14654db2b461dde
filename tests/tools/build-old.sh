#!/usr/bin/env bash
# build-old.sh COMMIT - an earlier version of the proxy, built once into build/old/; prints
# where its binary is.
set -euo pipefail
cd "$(dirname "$0")/../.."

[ $# = 1 ] || {
	sed -n '2,3s/^# \{0,1\}//p' "$0" >&2
	exit 2
}
commit=$(git rev-parse --short=12 "$1^{commit}")
dir=$PWD/build/old/$commit
if [ ! -x "$dir/chromatid" ]; then
	rm -rf "$dir"
	mkdir -p "$dir/source"
	git archive "$commit" | tar -x -C "$dir/source"
	cmake -S "$dir/source" -B "$dir/build" -G Ninja -DCMAKE_BUILD_TYPE=Debug \
		-DCMAKE_C_FLAGS=-O1 -DCHROMATID_TESTS=OFF >&2
	ninja -C "$dir/build" chromatid >&2
	mv "$dir/build/chromatid" "$dir/chromatid"
	rm -rf "$dir/build" "$dir/source"
fi
echo "$dir/chromatid"
