#!/bin/sh
# format.sh check|fix - clang-format (see .clang-format) over every C file of ours.
set -eu
cd "$(dirname "$0")/../.."

case "${1:-}" in
check) mode="--dry-run --Werror" ;;
fix) mode="-i" ;;
*)
	echo "usage: $0 check|fix" >&2
	exit 2
	;;
esac

# shellcheck disable=SC2086 # mode is a list of words
find core health mapping wal http tests -name '*.[ch]' -print0 |
	xargs -0 "${CLANG_FORMAT:-clang-format}" $mode --style=file
