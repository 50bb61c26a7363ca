# A PostgreSQL server for tests, demonstrations and measurements: made in a folder of its own under /tmp, gone afterwards.
# For bash scripts, which read it with
#
#     set -euo pipefail
#     . "$(dirname "$0")/setup.sh"           ($root is the project, $work the folder)
#
#     install_packages [command=package]...  what is missing here, by apt-get; with sudo where we are not root
#     build_and_install                      builds the project; installs it into a copy of PostgreSQL in $work
#     copy_releases folder                   the sources of earlier versions, where the history of the project is there
#     start_server ['name = value']...       a new cluster with these settings, on a Unix socket in $work
#     as_server_user command...              runs a command in $work as the user who owns the cluster
#     stop_server                            stops it and removes $work; also called at exit, however that comes
#
# After start_server plain psql, pgbench, python3... reach the server as its superuser, by PATH and PGHOST. The system's
# own PostgreSQL is only read; packages stay installed.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d /tmp/mktcontacts.XXXXXX)
chmod 755 "$work"
trap stop_server EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

export PG_CONFIG=${PG_CONFIG:-pg_config}
unset MAKEFLAGS MFLAGS MAKELEVEL PGSERVICE PGHOSTADDR PGOPTIONS

install_packages()
{
	local missing=() version extra

	version=$("$PG_CONFIG" --version 2>/dev/null | sed 's/^PostgreSQL \([0-9]*\).*/\1/') || version=$(debian_version)
	[ -f "$("$PG_CONFIG" --pgxs 2>/dev/null)" ] || missing+=("postgresql-server-dev-$version")
	[ -x "$("$PG_CONFIG" --bindir 2>/dev/null)/postgres" ] || missing+=("postgresql-$version")
	command -v gcc >/dev/null || missing+=(gcc libc6-dev)
	perl -MIPC::Run -MTest::More -e 1 2>/dev/null || missing+=(perl libipc-run-perl)
	/usr/bin/python3 -c 'import psycopg2' 2>/dev/null || missing+=(python3 python3-psycopg2)
	[ -e /usr/share/zoneinfo/Europe/Oslo ] || missing+=(tzdata)
	for extra in "$@"; do
		command -v "${extra%%=*}" >/dev/null || missing+=("${extra#*=}")
	done

	[ ${#missing[@]} -eq 0 ] || apt_install "${missing[@]}"
}

# The PostgreSQL that this Debian would install.
debian_version()
{
	as_root apt-get -qq update >/dev/null 2>&1 || true
	apt-cache show postgresql 2>/dev/null | sed -n 's/^Depends:.*postgresql-\([0-9]*\).*/\1/p' | head -n 1
}

# Installs packages without questions, and without the cluster that Debian would start with a new server.
apt_install()
{
	local no_cluster=/etc/postgresql-common/createcluster.d/none.conf

	echo "Installing $*"
	if ! command -v apt-get >/dev/null; then
		echo "This is not Debian: please install what belongs to these packages." >&2
		return 1
	fi
	as_root mkdir -p "${no_cluster%/*}"
	echo 'create_main_cluster = false' | as_root tee "$no_cluster" >/dev/null
	if ! { as_root apt-get -qq update &&
		as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "$@"; } >"$work/apt.log" 2>&1
	then
		cat "$work/apt.log" >&2
		as_root rm -f "$no_cluster"
		return 1
	fi
	as_root rm -f "$no_cluster"
	as_root rmdir --ignore-fail-on-non-empty "${no_cluster%/*}"
}

as_root()
{
	if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# PostgreSQL finds its files from where its programs are, so a copy of three folders is a whole one.
build_and_install()
{
	local option folder

	make -s -C "$root" all
	for option in --bindir --pkglibdir --sharedir; do
		folder=$("$PG_CONFIG" $option)
		mkdir -p "$work$folder"
		cp -a "$folder/." "$work$folder"
	done
	make -s -C "$root" install DESTDIR="$work" >"$work/install.log"

	BUILT_WITH=$(command -v "$PG_CONFIG")
	export BUILT_WITH
	PG_CONFIG=$work$("$PG_CONFIG" --bindir)/pg_config
	export PATH=${PG_CONFIG%/*}:$PATH
}

# What stands in test/releases, for the test of upgrades; left out where a clone is shallow or there is none.
copy_releases()
{
	local version commit

	while read -r version commit; do
		mkdir -p "$1/$version"
		git -c safe.directory='*' -C "$root" archive "$commit" 2>/dev/null | tar -C "$1/$version" --no-same-owner -x 2>/dev/null ||
			rm -r "${1:?}/$version"
	done < <(grep -v '^#' "$root/test/releases")
}

start_server()
{
	[ "$(id -u)" -ne 0 ] || chown postgres "$work"
	as_server_user initdb --pgdata="$work/data" --username=postgres --auth=trust --encoding=UTF8 --no-locale --no-sync \
		>"$work/initdb.log"
	printf '%s\n' \
		"listen_addresses = ''" \
		"unix_socket_directories = '$work'" \
		"unix_socket_permissions = 0700" \
		"timezone = 'UTC'" \
		"fsync = off" \
		"max_prepared_transactions = 20" \
		"$@" >>"$work/data/postgresql.conf"
	as_server_user pg_ctl --pgdata="$work/data" --log="$work/server.log" --silent --wait start ||
		{ cat "$work/server.log" >&2; return 1; }

	export PGHOST=$work PGPORT=5432 PGUSER=postgres PGDATABASE=postgres
}

stop_server()
{
	if [ -f "$work/data/postmaster.pid" ]; then
		as_server_user pg_ctl --pgdata="$work/data" --mode=immediate --silent --wait stop || true
	fi
	rm -rf "$work"
}

as_server_user()
(
	cd "$work"
	export HOME=$work
	if [ "$(id -u)" -eq 0 ]; then exec runuser -u postgres -- "$@"; else exec "$@"; fi
)
