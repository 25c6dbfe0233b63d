#!/usr/bin/env bash
# Runs a command with a private PostgreSQL: tests/postgres.sh cargo run --release -- sweep
#
# Starts a cluster in a temporary folder on a free loopback port, sets STORMGLASS_DATABASE to its
# address, runs the command, and stops and removes the cluster again. Installs Debian's package
# `postgresql` where no server is found. Nothing in it outlives the command, so it never syncs.
set -euo pipefail

[ $# -gt 0 ] || { echo "usage: tests/postgres.sh COMMAND [ARGUMENT...]" >&2; exit 2; }

newest_server() {
    { ls -d /usr/lib/postgresql/*/bin 2>/dev/null || true; } | sort -V | tail -n 1
}

bin=$(newest_server)
if [ -z "$bin" ] || [ ! -x "$bin/initdb" ]; then
    command -v apt-get >/dev/null || { echo "no PostgreSQL server found: install one" >&2; exit 3; }
    as_root=""
    [ "$(id -u)" -eq 0 ] || as_root=sudo
    $as_root apt-get update -qq
    # The package would start a cluster of its own on the usual port; ours is private.
    $as_root mkdir -p /etc/postgresql-common
    [ -e /etc/postgresql-common/createcluster.conf ] ||
        echo "create_main_cluster = false" | $as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
    DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq postgresql >/dev/null
    bin=$(newest_server)
fi

# PostgreSQL refuses to run as root, so root hands the cluster to the package's user.
as_owner=()
folder=$(mktemp -d "${TMPDIR:-/tmp}/stormglass-postgres.XXXXXX")
if [ "$(id -u)" -eq 0 ]; then
    chown postgres "$folder"
    as_owner=(setpriv --reuid=postgres --regid=postgres --init-groups)
fi
owner() { (cd "$folder" && "${as_owner[@]}" "$@"); }

stop() {
    owner "$bin/pg_ctl" --pgdata="$folder/data" --mode=immediate --silent stop >/dev/null 2>&1 || true
    rm -rf "$folder"
}
trap stop EXIT
trap 'exit 130' INT TERM

free_port() {
    local port
    for port in $(shuf -i 20000-29999 -n 50); do
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
    done
    echo "no free loopback port" >&2
    return 1
}

owner "$bin/initdb" --pgdata="$folder/data" --username=stormglass --auth=trust --no-sync \
    --encoding=UTF8 --locale=C >"$folder/initdb.log" 2>&1 || { cat "$folder/initdb.log" >&2; exit 3; }
port=$(free_port)
# Autovacuum's locks would make a statement's lock timeout a matter of luck. The options are one
# line, because pg_ctl hands them to a shell.
settings=(
    "listen_addresses=127.0.0.1" "port=$port" "unix_socket_directories=$folder"
    "autovacuum=off" "fsync=off" "synchronous_commit=off" "full_page_writes=off"
    "max_connections=300" "max_locks_per_transaction=256"
)
owner "$bin/pg_ctl" --pgdata="$folder/data" --log="$folder/server.log" --wait --silent \
    -o "$(printf -- '-c %s ' "${settings[@]}")" start >/dev/null || { cat "$folder/server.log" >&2; exit 3; }

status=0
STORMGLASS_DATABASE="postgres://stormglass@127.0.0.1:$port/postgres" "$@" || status=$?
exit "$status"
