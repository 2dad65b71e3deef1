#!/usr/bin/env bash
# Installs the servers that the tests run against, and what building their clients needs. Prints nothing if all is installed.
#
# LOCKS_ETCD=/path/to/etcd[:/another] makes the tests use more etcd binaries, LOCKS_REDIS more Redis or Valkey servers,
# and LOCKS_POSTGRES more directories with the programs of a PostgreSQL; this script does not touch those.
set -euo pipefail
cd "$(dirname "$0")/.."

servers=target/servers
etcd35=$servers/etcd-3.5
valkey8=$servers/valkey-8
redis_py=$servers/redis-py
kazoo=$servers/kazoo

has() { command -v "$1" >/dev/null 2>&1; }
stop() { echo "servers.sh: $*" >&2; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif has sudo; then sudo "$@"
    else stop "installing needs root or sudo; run as root: $*"
    fi
}

# The Debian packages that are missing.
missing() {
    has etcd || echo etcd-server
    has etcdctl || echo etcd-client
    has protoc || echo protobuf-compiler
    # Debian keeps protobuf's own .proto files in a package of their own, recommended but not required by protoc.
    [ -e /usr/include/google/protobuf/empty.proto ] || echo libprotobuf-dev
    # Valkey needs the same libraries.
    has redis-server || echo redis-server
    # This package of ZooKeeper has no service. The compiler is for Curator, with which the tests share locks.
    [ -e /usr/share/java/zookeeper.jar ] || echo libzookeeper-java
    [ -e /usr/share/java/slf4j-simple.jar ] || echo libslf4j-java
    [ -e /usr/share/java/curator-recipes.jar ] || echo libcurator-recipes-java
    has javac || echo default-jdk-headless
    has_postgres || echo postgresql
    has pgbouncer || echo pgbouncer
    # It makes a server's disk slow.
    has strace || echo strace
    { [ -d $redis_py ] && [ -d $kazoo ]; } || has_pip || echo python3-pip
}

# Debian installs its programs outside the PATH.
has_postgres() { has psql && { has postgres || compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null; }; }

has_pip() { python3 -m pip --version >/dev/null 2>&1; }

install_packages() {
    echo "servers.sh: installing $*"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
    # Debian starts servers of its own on the default ports; the tests start theirs on free ones.
    local package
    for package; do
        case $package in
            etcd-server) stop_service etcd ;;
            redis-server | postgresql | pgbouncer) stop_service "$package" ;;
        esac
    done
}

stop_service() {
    if [ -d /run/systemd/system ]; then
        as_root systemctl disable --now "$1" >/dev/null 2>&1 || true
    else
        as_root service "$1" stop >/dev/null 2>&1 || true
    fi
}

# Debian has etcd 3.5 and Valkey 8 since version 13, and Valkey in the backports of 12. Their programs are unpacked, not
# installed. (No older 3.5: up to 3.5.2 a killed member loses what it has committed, etcd-io/etcd#13766.)
has_etcd35() {
    etcd --version | grep -q 'Version: 3\.5' || { [ -x $etcd35/etcd ] && ! $etcd35/etcd --version | grep -q 'Version: 3\.5\.[012]$'; }
}

fetch_etcd35() {
    echo "servers.sh: fetching etcd 3.5"
    if unpack trixie etcd-server usr/bin/etcd $etcd35/etcd && unpack trixie etcd-client usr/bin/etcdctl $etcd35/etcdctl &&
        $etcd35/etcd --version >/dev/null 2>&1; then :
    else
        rm -rf $etcd35
        echo "servers.sh: no etcd 3.5 for this machine; the tests run against $(etcd --version | head -n 1)" >&2
    fi
}

# Nobody packages etcd 3.6 and 3.7 yet. They are built from their Go modules, once, where there is a Go that can: two
# minutes of two cores for both.
has_built() {
    local wanted
    wanted=$(sed -n 's,^require go.etcd.io/etcd/server/v3 v,,p' "tests/servers/etcd-$1/go.mod")
    "$servers/etcd-$1/etcd" --version 2>/dev/null | grep -qFx "etcd Version: $wanted"
}

build_etcd() {
    local place=$PWD/$servers/etcd-$1
    echo "servers.sh: building etcd $1"
    mkdir -p "$place"
    if (cd "tests/servers/etcd-$1" && GOFLAGS= CGO_ENABLED=0 go build -mod=readonly -buildvcs=false -trimpath -ldflags '-s -w' -o "$place/etcd" .) &&
        "$place/etcd" --version >/dev/null 2>&1; then :
    else
        rm -rf "$place"
        echo "servers.sh: no etcd $1: $(go version) cannot build it; its tests are ignored" >&2
    fi
}

fetch_valkey8() {
    echo "servers.sh: fetching Valkey 8"
    if unpack "$(. /etc/os-release && echo "$VERSION_CODENAME")" valkey-tools usr/bin/valkey-check-rdb $valkey8/valkey-server &&
        $valkey8/valkey-server --version >/dev/null 2>&1; then :
    else
        rm -rf $valkey8
        echo "servers.sh: no Valkey 8 for this machine; the tests run against $(redis-server --version | cut -d ' ' -f 1-3)" >&2
    fi
}

# unpack SUITE PACKAGE FILE TO: copies a file out of a package of that suite or its backports, from the mirror that this
# machine uses already. The installed packages and apt's sources do not change.
unpack() {
    local suite=$1 package=$2 file=$3 to=$4 work site done=0
    work=$(mktemp -d)
    mkdir -p "$work"/lists/partial "$work"/cache "$(dirname "$to")"
    site=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1)
    printf 'deb %s %s main\n' "$site" "$suite" "$site" "$suite-backports" >"$work/sources"
    local apt=(apt-get -qq -o "Dir::Etc::sourcelist=$work/sources" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$work/lists"
        -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root)
    (cd "$work" && "${apt[@]}" update && "${apt[@]}" download "$package" && dpkg-deb -x "$package"_*.deb . && cp "$file" "$OLDPWD/$to") \
        >/dev/null 2>&1 || done=1
    rm -rf "$work"
    return $done
}

# Installs a client of another project, with which the tests share locks.
fetch_client() {
    local place=$1 package=$2
    echo "servers.sh: fetching ${package%%=*} for Python"
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target "$place.new" "$package"
    rm -rf "$place"
    mv "$place.new" "$place"
}

if has apt-get; then
    mapfile -t packages < <(missing)
    [ ${#packages[@]} = 0 ] || install_packages "${packages[@]}"
else
    has etcd && has etcdctl && has protoc && has redis-server && has_postgres && has pgbouncer && has_pip ||
        stop "install etcd, etcdctl, protoc, redis-server, postgresql, pgbouncer and pip first, for example:
    brew install etcd protobuf redis postgresql pgbouncer python3   (macOS)
    dnf install etcd protobuf-compiler redis postgresql-server pgbouncer python3-pip   (Fedora)
    pacman -S protobuf redis postgresql pgbouncer python-pip, and etcd from its release page   (Arch)
and for ZooKeeper its jars under /usr/share/java; without them its tests are ignored"
fi

has_etcd35 || ! has dpkg-deb || fetch_etcd35
for line in 3.6 3.7; do
    has_built $line || ! has go || build_etcd $line
done
[ -x $valkey8/valkey-server ] || ! has dpkg-deb || fetch_valkey8
[ -d $redis_py ] || fetch_client $redis_py 'redis==6.*'
[ -d $kazoo ] || fetch_client $kazoo 'kazoo==2.*'
