#!/usr/bin/env bash
# Builds the drivers of other projects' clients, with which the tests share locks: once on this machine, outside `target`, in
# LOCKS_CACHE, by default ~/.cache/distributed-locks. `target/peers` has a link to each. Prints nothing if all are there, and
# one line if there are some that this machine cannot have.
#
# `tests/peers.sh present` builds nothing: it lists the clients that are here, as LOCKS_TEST_REQUIRE wants them.
set -euo pipefail
cd "$(dirname "$0")/peers"

cache=${LOCKS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/distributed-locks}/peers
links=$PWD/../../target/peers

if [ "${1:-}" = present ]; then
    for peer in go go/etcdctl client-go jetcd curator redisson shedlock-5 shedlock-6 shedlock-redis; do
        if [ -e "$links/$peer" ]; then echo "peer-${peer#*/}"; fi
    done | paste -sd ,
    exit
fi

has() { command -v "$1" >/dev/null 2>&1; }
say() { echo "peers.sh: $*" >&2; }

# At least 1.26 of "go1.26.8": a Go that is too old would fetch another one.
has_go() { has go && printf '%s\n' "go$1" "$(go env GOVERSION)" | sort -VC; }

absent=()

# driver NAME SOURCES COMMAND…: links to what COMMAND makes in the directory that is its last argument. The name of an entry
# in the cache depends on its sources, so that it never changes.
driver() {
    local name=$1 sources=$2 place
    shift 2
    # shellcheck disable=SC2086 # each source is an argument
    place=$cache/$name-$(cat $sources | sha256sum | cut -c 1-12)
    if [ ! -d "$place" ] && ! make_once "$place" "$@"; then
        absent+=("$name (failed: $place.log)")
        return
    fi
    mkdir -p "$links"
    ln -sfn "$place" "$links/$name"
}

# All of it or nothing: two clones may do so at once, and any of them be killed.
make_once() {
    local place=$1 new
    shift
    mkdir -p "$cache"
    new=$(mktemp -d "$place.XXXXXX")
    say "building $(basename "${place%-*}"), once"
    if "$@" "$new" >"$place.log" 2>&1; then
        rm "$place.log"
        mv -T "$new" "$place" 2>/dev/null || rm -rf "$new"
    else
        rm -rf "$new"
        return 1
    fi
}

build_go() {
    (cd go && GOFLAGS= CGO_ENABLED=0 go build -mod=readonly -buildvcs=false -trimpath -ldflags '-s -w' -o "$1/" . ./etcdctl ./bench)
}

build_client_go() {
    (cd client-go && GOFLAGS= CGO_ENABLED=0 go build -mod=readonly -buildvcs=false -trimpath -ldflags '-s -w' -o "$1/" .)
}

# build_java NAME SOURCES TO
build_java() {
    mvn -q -B -f "$1/pom.xml" dependency:copy-dependencies -DincludeScope=runtime "-DoutputDirectory=$3/jars"
    # shellcheck disable=SC2086 # each source is an argument
    javac -nowarn -cp "$3/jars/*" -d "$3/classes" $2
}

java_driver() {
    local name=$1 sources="java/Driver.java $2"
    if has mvn && has javac; then
        driver "$name" "$name/pom.xml $sources" build_java "$name" "$sources"
    else
        absent+=("$name (needs a JDK and Maven)")
    fi
}

if has_go 1.26; then
    driver go 'go/go.mod go/go.sum go/main.go go/etcdctl.go go/etcdctl/main.go go/bench/main.go' build_go
else
    absent+=('go, etcdctl (need Go 1.26)')
fi
# Its modules are half a gigabyte: only where there is a server for it.
if [ -e ../../target/servers/kubernetes-1.37 ]; then
    driver client-go 'client-go/go.mod client-go/go.sum client-go/main.go' build_client_go
fi
java_driver jetcd jetcd/Jetcd.java
java_driver curator curator/Curator.java
java_driver redisson redisson/RedissonLocks.java
java_driver shedlock-5 'java/ShedLockHeld.java shedlock/ShedLock.java'
java_driver shedlock-6 'java/ShedLockHeld.java shedlock/ShedLock.java'
java_driver shedlock-redis 'java/ShedLockHeld.java shedlock-redis/ShedLockRedis.java'
[ ${#absent[@]} = 0 ] || say "not here, so their tests are ignored: $(printf '%s, ' "${absent[@]}" | sed 's/, $//')"
