#!/usr/bin/env bash
# Chromatid on one machine (Debian 12; root or sudo): installs what is missing, builds,
# and runs PostgreSQL, two Chroma servers and the proxy until Ctrl-C.
#
#   ./quickstart.sh         run; the data stays in .run/ for the next time
#   ./quickstart.sh demo    a minute's show: the primary is killed while data is written
#
# Settings of the proxy are taken from the environment (docs/CONFIGURATION.md). Ports:
# PORT (8000), PRIMARY_PORT (8101), REPLICA_PORT (8102), POSTGRES_PORT (8103).
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=tests/tools/deps.sh
. tests/tools/deps.sh

state=$PWD/.run
binary=$PWD/build/release/chromatid
port=${PORT:-8000}
primary_port=${PRIMARY_PORT:-8101}
replica_port=${REPLICA_PORT:-8102}
postgres_port=${POSTGRES_PORT:-8103}
declare -A pids=()

say() {
	printf '%s\n' "$*"
}

die() {
	printf 'quickstart: %s\n' "$*" >&2
	exit 1
}

answers() {
	(exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# start NAME command...: in the background, deaf to Ctrl-C (we stop it, in order), never
# outliving this script
start() {
	local name=$1
	shift
	setsid setpriv --pdeathsig KILL -- "$@" >>"$state/$name.log" 2>&1 </dev/null 9>&- &
	pids[$name]=$!
	disown "$!" # no word from bash when it dies; watch() tells
	echo "$!" >"$state/$name.pid"
}

alive() {
	kill -0 "${pids[$1]:-0}" 2>/dev/null && [ -n "${pids[$1]:-}" ]
}

# wait_for WHAT NAME command...: until the command succeeds; NAME is the process it needs
wait_for() {
	local what=$1 name=$2 i
	shift 2
	for ((i = 0; i < 300; i++)); do
		"$@" && return 0
		alive "$name" || break
		sleep 0.1
	done
	tail -n 20 "$state/$name.log" >&2
	die "$what did not start; see $state/$name.log"
}

# stop NAME SECONDS: asked first, then killed
stop() {
	local name=$1 i
	alive "$name" || return 0
	kill -TERM "${pids[$name]}" 2>/dev/null || true
	for ((i = 0; i < $2 * 10; i++)); do
		alive "$name" || return 0
		sleep 0.1
	done
	kill -KILL "${pids[$name]}" 2>/dev/null || true
}

stop_everything() {
	trap '' INT TERM
	trap - EXIT
	say "Stopping."
	stop chromatid 55
	stop primary 3
	stop replica 3
	tests/tools/run-postgres.sh stop "$state/postgres" || true
}

start_chroma() {
	local name=$1 chroma_port=$2
	cat >"$state/$name.yaml" <<-END
		port: $chroma_port
		listen_address: 127.0.0.1
		persist_path: $state/$name
		allow_reset: true
	END
	start "$name" .venv/bin/chroma run "$state/$name.yaml"
	wait_for "Chroma ($name)" "$name" answers "$chroma_port"
}

install_and_build() {
	say "1/5 Installing what is missing (a few minutes the first time)."
	deps_build
	deps_run
	say "2/5 Building."
	cmake --preset release >/dev/null
	cmake --build --preset release
}

check_ports() {
	local p
	for p in "$port" "$primary_port" "$replica_port" "$postgres_port"; do
		! answers "$p" || die "port $p is taken; PORT, PRIMARY_PORT, REPLICA_PORT" \
			"and POSTGRES_PORT choose others, e.g. PORT=8080 ./quickstart.sh"
	done
}

is_ready() {
	.venv/bin/python - "http://127.0.0.1:$port/ready" <<-'END' 2>/dev/null
		import sys, urllib.request
		urllib.request.urlopen(sys.argv[1], timeout=2)
	END
}

# PostgreSQL does not run as root, and the user it runs as may not enter, say, /root.
place_postgres() {
	[ "$(id -u)" = 0 ] && [ ! -d "$state/postgres/data" ] || return 0
	runuser -u postgres -- test -x "$state" && return 0
	rm -rf "$state/postgres"
	ln -s "$(mktemp -d /var/lib/chromatid.XXXXXX)" "$state/postgres"
}

start_everything() {
	say "3/5 Starting PostgreSQL on port $postgres_port."
	place_postgres
	DATABASE_URL=$(tests/tools/run-postgres.sh start "$state/postgres" "$postgres_port" \
		9>&-) || die "PostgreSQL did not start"
	say "4/5 Starting Chroma on ports $primary_port (primary) and $replica_port (replica)."
	start_chroma primary "$primary_port"
	start_chroma replica "$replica_port"
	say "5/5 Starting Chromatid on port $port."
	start chromatid env PORT="$port" DATABASE_URL="$DATABASE_URL" \
		PRIMARY_URL="http://127.0.0.1:$primary_port" \
		REPLICA_URL="http://127.0.0.1:$replica_port" "$binary"
	wait_for Chromatid chromatid is_ready
}

greet() {
	cat <<-END

		Chromatid is ready. In another terminal, in this directory: .venv/bin/python

		    import chromadb
		    client = chromadb.HttpClient(host="localhost", port=$port)
		    c = client.get_or_create_collection("books", embedding_function=None)
		    c.add(ids=["1"], documents=["hello"], embeddings=[[1, 2, 3]])
		    c.query(query_embeddings=[[1, 2, 3]], n_results=1)

		Status     curl -s localhost:$port/status
		Failover   kill -9 \$(cat .run/primary.pid)   (it is started again soon)
		Logs, data .run/
		Anybody who can reach port $port may use it; LISTEN=127.0.0.1:$port, given to
		this script, keeps it to this machine.

		Ctrl-C stops everything.
	END
}

# Until the proxy ends or somebody stops us; a Chroma that dies is started again.
watch() {
	while alive chromatid; do
		alive primary || restart primary "$primary_port"
		alive replica || restart replica "$replica_port"
		sleep 5 9>&- &
		wait $!
	done
	tail -n 20 "$state/chromatid.log" >&2
	die "the proxy has ended; see $state/chromatid.log"
}

restart() {
	say "The $1 has ended; starting it again."
	start_chroma "$1" "$2"
}

run() {
	mkdir -p "$state"
	exec 9>"$state/lock"
	flock -n 9 || die "already running in this directory"
	# left behind by a run that was killed
	tests/tools/run-postgres.sh stop "$state/postgres" >/dev/null 2>&1 || true
	check_ports
	trap stop_everything EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	start_everything
	greet
	watch
}

case ${1:-run} in
run)
	! answers "$port" || die "port $port is taken; e.g. PORT=8080 ./quickstart.sh"
	install_and_build
	run
	;;
demo)
	install_and_build
	CHROMATID_BINARY=$binary exec .venv/bin/python tests/e2e/demo.py
	;;
*)
	sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"
	exit 64
	;;
esac
