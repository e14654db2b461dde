#!/bin/sh
# run-postgres.sh - a private PostgreSQL for tests and for trying things out.
#
#	run-postgres.sh start DIR PORT	make (if new) and start it; prints its URL
#	run-postgres.sh stop DIR	end it, with a checkpoint
#	run-postgres.sh kill DIR	end it at once, as a crash would
#
# Everything it has lives in DIR. It listens on 127.0.0.1 only, asks for no password, and
# is as durable as a real one (fsync on). Each command may be repeated. PostgreSQL does
# not run as root: root's cluster belongs to the system user chromatid or postgres.
set -eu

usage() {
	sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
	exit 2
}

fail() {
	echo "run-postgres.sh: $*" >&2
	exit 1
}

# The newest version there is, unless it is in the PATH only.
find_bin() {
	newest=
	for dir in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V); do
		[ -x "$dir/initdb" ] && newest=$dir
	done
	[ -n "$newest" ] || newest=$(pg_config --bindir 2>/dev/null || true)
	[ -x "$newest/initdb" ] ||
		fail "no PostgreSQL server found (apt-get install postgresql)"
	echo "$newest"
}

find_user() {
	for user in chromatid postgres; do
		if id "$user" >/dev/null 2>&1; then
			echo "$user"
			return
		fi
	done
	useradd --system --no-create-home --shell /usr/sbin/nologin chromatid >&2 ||
		fail "cannot create the system user chromatid"
	echo chromatid
}

as_owner() {
	if [ "$(id -u)" = 0 ]; then
		(cd / && exec runuser -u "$owner" -- "$@")
	else
		(cd / && exec "$@")
	fi
}

pid_in() {
	[ -f "$1" ] && sed -n 1p "$1" | tr -dc 0-9
}

# A postmaster works inside its data directory; any other process with that number has
# only inherited it.
running() {
	pid=$(pid_in "$data/postmaster.pid") && [ -n "$pid" ] &&
		[ "$(readlink "/proc/$pid/cwd" 2>/dev/null)" = "$data" ]
}

remove_stale() {
	if ! running; then
		rm -f "$data/postmaster.pid" "$dir"/socket/.s.PGSQL.*
	fi
}

make_dir() {
	mkdir -p "$1"
	dir=$(realpath "$1")
	data=$dir/data
	if [ "$(id -u)" = 0 ]; then
		chown "$owner" "$dir"
		as_owner test -x "$dir" || fail "the user $owner cannot enter $dir"
	fi
	as_owner mkdir -p "$dir/socket"
}

# Under another name until it is whole.
make_cluster() {
	[ -f "$data/PG_VERSION" ] && return
	rm -rf "$dir/data.new"
	as_owner "$bin/initdb" -D "$dir/data.new" -U chromatid -E UTF8 --locale=C.UTF-8 \
		--auth=trust >"$dir/initdb.log" 2>&1 || {
		cat "$dir/initdb.log" >&2
		fail "initdb failed"
	}
	as_owner sh -c "echo \"include 'chromatid.conf'\" >>'$dir/data.new/postgresql.conf'"
	mv "$dir/data.new" "$data"
}

# A path too long for a socket is done without: the URL does not need it.
configure() {
	sockets=$dir/socket
	[ ${#sockets} -le 80 ] || sockets=
	as_owner tee "$data/chromatid.conf" >/dev/null <<-END
		listen_addresses = '127.0.0.1'
		port = $1
		unix_socket_directories = '$sockets'
		max_connections = 50
		fsync = on
		synchronous_commit = on
		full_page_writes = on
	END
	as_owner tee "$data/pg_hba.conf" >/dev/null <<-END
		local all all trust
		host all all 127.0.0.1/32 trust
		host all all ::1/128 trust
	END
}

sql() {
	as_owner "$bin/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$port" \
		-U chromatid -d postgres -c "$1"
}

launch() {
	as_owner "$bin/pg_ctl" start -w -t 60 -s -D "$data" -l "$dir/postgresql.log" || {
		tail -n 5 "$dir/postgresql.log" >&2
		fail "PostgreSQL does not start; see $dir/postgresql.log"
	}
}

start() {
	make_dir "$1"
	make_cluster
	remove_stale
	if running; then
		now=$(sed -n 4p "$data/postmaster.pid")
		[ "$now" = "$port" ] || fail "it runs already, on port $now"
		"$bin/pg_isready" -q -t 30 -h 127.0.0.1 -p "$port" ||
			fail "it runs already, but does not answer"
	else
		configure "$port"
		launch
	fi
	[ -n "$(sql "SELECT 1 FROM pg_database WHERE datname = 'chromatid'")" ] ||
		sql "CREATE DATABASE chromatid"
	echo "postgresql://chromatid@127.0.0.1:$port/chromatid"
}

stop() {
	[ -d "$1" ] || return 0
	dir=$(realpath "$1")
	data=$dir/data
	remove_stale
	running || return 0
	# A backend that hangs, or was stopped, holds up a fast end but not an immediate one.
	as_owner "$bin/pg_ctl" stop -w -t 30 -s -D "$data" -m "$2" ||
		as_owner "$bin/pg_ctl" stop -w -t 30 -s -D "$data" -m immediate
}

[ $# -ge 2 ] || usage
bin=$(find_bin)
owner=
[ "$(id -u)" != 0 ] || owner=$(find_user)
case $1 in
start)
	[ $# = 3 ] || usage
	port=$3
	start "$2"
	;;
stop) stop "$2" fast ;;
kill) stop "$2" immediate ;;
*) usage ;;
esac
