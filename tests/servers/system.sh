# What the system's own packages have.

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif has sudo; then sudo "$@"
    else stop "installing needs root or sudo; run as root: $*"
    fi
}

get_system() {
    if has apt-get; then
        local packages
        mapfile -t packages < <(missing)
        [ ${#packages[@]} = 0 ] || install_packages "${packages[@]}"
        return
    fi
    has etcd && has etcdctl && has protoc && has redis-server && has_postgres && has pgbouncer && has mariadbd && has_pip ||
        stop "install etcd, etcdctl, protoc, redis-server, postgresql, pgbouncer, mariadb and pip first, for example:
    brew install etcd protobuf redis postgresql pgbouncer mariadb python3   (macOS)
    dnf install etcd protobuf-compiler redis postgresql-server pgbouncer mariadb-server python3-pip   (Fedora)
    pacman -S protobuf redis postgresql pgbouncer mariadb python-pip, and etcd from its release page   (Arch)
and for ZooKeeper its jars under /usr/share/java; without them its tests are ignored"
}

# The Debian packages that are missing.
missing() {
    has etcd || echo etcd-server
    has etcdctl || echo etcd-client
    has protoc || echo protobuf-compiler
    # Debian keeps protobuf's own .proto files in a package of their own, recommended but not required by protoc.
    [ -e /usr/include/google/protobuf/empty.proto ] || echo libprotobuf-dev
    has redis-server || echo redis-server
    # This package of ZooKeeper has no service. The compiler is for Curator, with which the tests share locks.
    [ -e /usr/share/java/zookeeper.jar ] || echo libzookeeper-java
    [ -e /usr/share/java/slf4j-simple.jar ] || echo libslf4j-java
    [ -e /usr/share/java/curator-recipes.jar ] || echo libcurator-recipes-java
    has javac || echo default-jdk-headless
    has_postgres || echo postgresql
    has pgbouncer || echo pgbouncer
    [ -x /usr/sbin/mariadbd ] || has mariadbd || echo mariadb-server
    # It scrapes an example.
    has prometheus || echo prometheus
    # They look at the page.
    has chromium || echo chromium
    has chromedriver || echo chromium-driver
    # It makes a server's disk slow.
    has strace || echo strace
    has_clients || has_pip || echo python3-pip
}

# Debian installs its programs outside the PATH.
has_postgres() { has psql && { has postgres || compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null; }; }

has_pip() { python3 -m pip --version >/dev/null 2>&1; }

install_packages() {
    say "installing $*"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
    # Debian starts servers of its own on the default ports; the tests start theirs on free ones.
    local package
    for package; do
        case $package in
            etcd-server) stop_service etcd ;;
            redis-server | postgresql | pgbouncer | prometheus) stop_service "$package" ;;
            mariadb-server) stop_service mariadb ;;
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
