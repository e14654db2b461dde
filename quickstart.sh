#!/usr/bin/env bash
# Chromatid on one machine (Debian 12; root or sudo): installs what is missing, builds,
# and runs PostgreSQL, two Chroma servers and the proxy until Ctrl-C.
#
#   ./quickstart.sh         run; the data stays in .run/ for the next time
#   ./quickstart.sh demo    a minute's show: the primary is killed while data is written
#
# Settings of the proxy are taken from the environment (docs/CONFIGURATION.md). Ports:
# PORT (8000; or that of LISTEN), PRIMARY_PORT (8101), REPLICA_PORT (8102), POSTGRES_PORT
# (8103).
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=tests/tools/deps.sh
. tests/tools/deps.sh

state=$PWD/.run
binary=$PWD/build/release/chromatid
host=127.0.0.1
port=${PORT:-8000}
primary_port=${PRIMARY_PORT:-8101}
replica_port=${REPLICA_PORT:-8102}
postgres_port=${POSTGRES_PORT:-8103}
declare -A pids=() log_from=()

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
	touch "$state/$name.log"
	log_from[$name]=$(wc -c <"$state/$name.log")
	setsid setpriv --pdeathsig KILL -- "$@" >>"$state/$name.log" 2>&1 </dev/null 9>&- &
	pids[$name]=$!
	disown "$!" # no word from bash when it dies; watch() tells
	echo "$!" >"$state/$name.pid"
}

alive() {
	kill -0 "${pids[$1]:-0}" 2>/dev/null && [ -n "${pids[$1]:-}" ]
}

# The log goes back to the first start of all; what this one has said.
last_words() {
	tail -c "+$((log_from[$1] + 1))" "$state/$1.log" | tail -n 20 >&2
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
	last_words "$name"
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

# LISTEN is instead of PORT: we must know where to ask.
look_at_listen() {
	[ -n "${LISTEN:-}" ] || return 0
	port=${LISTEN##*:}
	host=${LISTEN%:*}
	[ "${PORT:-$port}" = "$port" ] ||
		die "LISTEN=$LISTEN and PORT=$PORT name two ports; give one of them"
	case $host in
	0.0.0.0) host=127.0.0.1 ;;
	'[::]') host='[::1]' ;;
	esac
}

lock() {
	mkdir -p "$state"
	exec 9>"$state/lock"
	flock -n 9 || die "already running in this directory (Ctrl-C there stops it)"
}

check_ports() {
	local p taken=""
	for p in "$port" "$primary_port" "$replica_port" "$postgres_port"; do
		! answers "$p" || taken+=" $p"
	done
	[ -z "$taken" ] || die "ports that are taken already:$taken. Others are chosen so:" \
		"PORT=8200 PRIMARY_PORT=8201 REPLICA_PORT=8202 POSTGRES_PORT=8203 ./quickstart.sh"
}

check_settings() {
	export PORT=$port DATABASE_URL=postgresql://chromatid@127.0.0.1:$postgres_port/chromatid
	export PRIMARY_URL=http://127.0.0.1:$primary_port REPLICA_URL=http://127.0.0.1:$replica_port
	"$binary" --check-config >/dev/null || exit
}

is_ready() {
	.venv/bin/python - "http://$host:$port/ready" <<-'END' 2>/dev/null
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
	tests/tools/run-postgres.sh start "$state/postgres" "$postgres_port" 9>&- >/dev/null ||
		die "PostgreSQL did not start"
	say "4/5 Starting Chroma on ports $primary_port (primary) and $replica_port (replica)."
	start_chroma primary "$primary_port"
	start_chroma replica "$replica_port"
	say "5/5 Starting Chromatid on port $port."
	start chromatid "$binary"
	wait_for Chromatid chromatid is_ready
}

greet() {
	local at=${host/#127.0.0.1/localhost}
	cat <<-END

		Chromatid is ready. In another terminal, in this directory: .venv/bin/python

		    import chromadb
		    client = chromadb.HttpClient(host="$at", port=$port)
		    c = client.get_or_create_collection("books", embedding_function=None)
		    c.add(ids=["1"], documents=["hello"], embeddings=[[1, 2, 3]])
		    c.query(query_embeddings=[[1, 2, 3]], n_results=1)

		Status     curl -s $at:$port/status
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
	last_words chromatid
	die "the proxy has ended; see $state/chromatid.log"
}

restart() {
	say "The $1 has ended; starting it again."
	start_chroma "$1" "$2"
	say "The $1 is back."
}

run() {
	look_at_listen
	lock
	# left behind by a run that was killed
	tests/tools/run-postgres.sh stop "$state/postgres" >/dev/null 2>&1 || true
	check_ports
	install_and_build 9>&- # a service that is installed may be started, and would keep it
	check_settings
	trap stop_everything EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	start_everything
	greet
	watch
}

usage() {
	sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"
}

case ${1:-run} in
run)
	run
	;;
demo)
	install_and_build
	CHROMATID_BINARY=$binary exec .venv/bin/python tests/e2e/demo.py
	;;
-h | --help | help)
	usage
	;;
*)
	usage >&2
	exit 64
	;;
esac
