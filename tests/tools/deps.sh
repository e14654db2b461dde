# shellcheck shell=bash
# Installs what is missing on Debian 12; sourced by quickstart.sh and test.sh, which have
# changed to the root of the checkout.
#
#   deps_build    compiler, libraries
#   deps_run      PostgreSQL, Chroma and their Python environment (.venv)
#   deps_test     what only the tests need
#
# A second run finds everything there and says nothing.

build_packages="gcc libc6-dev cmake ninja-build pkg-config libevent-dev libevhtp-dev
	libpq-dev libjansson-dev libssl-dev"
run_packages="ca-certificates postgresql python3 python3-venv"
test_packages="clang libclang-rt-14-dev clang-format clang-tidy llvm cppcheck libcmocka-dev shellcheck
	chromium prometheus pgbouncer lintian mmdebstrap dpkg-dev systemd man-db"

# A package that another one provides (pkg-config by pkgconf) counts as there.
missing_packages() {
	local have
	have=$(dpkg-query -W -f '${db:Status-Status} ${Package}, ${Provides}\n' |
		sed -n 's/^installed //p' | tr -s ', ' '\n')
	local package
	for package in "$@"; do
		grep -qxF "$package" <<<"$have" || printf '%s ' "$package"
	done
}

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		echo "need root or sudo for: $*" >&2
		return 1
	fi
}

install_packages() {
	local missing
	missing=$(missing_packages "$@")
	[ -n "$missing" ] || return 0
	echo "installing with apt: $missing"
	as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq </dev/null
	# shellcheck disable=SC2086 # a list of words
	# RUNLEVEL: of the daemons among them only the files are wanted (promtool)
	as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq \
		--no-install-recommends $missing </dev/null >/dev/null
}

# The stamp is the list that is installed: a changed list is installed again.
install_python() {
	local wanted=$1
	local stamp=.venv/installed-${wanted##*/}
	cmp -s "$wanted" "$stamp" && return 0
	echo "installing Python packages into .venv ($wanted)"
	[ -x .venv/bin/pip ] || /usr/bin/python3 -m venv .venv
	.venv/bin/pip install -q --disable-pip-version-check -r "$wanted" </dev/null
	cp "$wanted" "$stamp"
}

install_node() {
	local dir=tests/e2e/js
	command -v node >/dev/null || install_packages nodejs
	command -v npm >/dev/null || install_packages npm
	cmp -s $dir/package-lock.json $dir/node_modules/installed && return 0
	echo "installing the JavaScript client into $dir"
	(cd $dir && npm ci --silent --omit=optional --no-audit --no-fund </dev/null)
	cp $dir/package-lock.json $dir/node_modules/installed
}

deps_build() {
	# shellcheck disable=SC2086 # a list of words
	install_packages $build_packages
}

deps_run() {
	# shellcheck disable=SC2086
	install_packages $run_packages
	install_python tests/tools/chroma.txt
}

deps_test() {
	# shellcheck disable=SC2086
	install_packages $build_packages $run_packages $test_packages
	install_python tests/requirements.txt
	install_node
}
