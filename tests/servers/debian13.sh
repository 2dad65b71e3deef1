# Newer servers that Debian 13 has: etcd 3.5, Redis 8 and Valkey 8.1. Its packages are unpacked, not installed, from the
# mirror that this machine uses already: the installed packages and apt's sources do not change.

is_debian() { has apt-get && has dpkg-deb && [ "$(. /etc/os-release && echo "$ID")" = debian ]; }

# (No older 3.5: up to 3.5.2 a killed member loses what it has committed, etcd-io/etcd#13766.)
get_etcd35() {
    etcd --version | grep -q 'Version: 3\.5' || ! is_debian || keep etcd-3.5 etcd-3.5-debian13-1 unpack_etcd ||
        say "no etcd 3.5 for this machine; the tests run against $(etcd --version | head -n 1)"
}

get_redis8() {
    redis-server --version | grep -q 'v=8' || keep redis-8 redis-8-debian13-1 unpack_redis redis
}

get_valkey8() { keep valkey-8 valkey-8-debian13-1 unpack_redis valkey; }

unpack_etcd() {
    local files=$1/unpacked
    unpack "$files" etcd-server etcd-client && mv "$files"/usr/bin/* "$1" && rm -rf "$files" && "$1/etcd" --version >/dev/null
}

# unpack_redis redis|valkey TO: the server with the libraries of its own Debian, by whose loader it is started.
unpack_redis() {
    local project=$1 to=$2 files=$2/unpacked
    unpack "$files" "$project-tools" libatomic1 libc6 libcap2 libgcc-s1 libjemalloc2 liblzf1 libssl3t64 libstdc++6 \
        libsystemd0 libzstd1 zlib1g && mkdir "$to/lib" && cp "$files"/usr/lib/*-linux-gnu/*.so* "$to/lib" &&
        cp "$files"/usr/lib/*/ld-linux-* "$to/lib/loader" && cp "$files/usr/bin/$project-check-rdb" "$to/program" &&
        rm -rf "$files" || return
    # It is one program that looks at its name.
    cat >"$to/$project-server" <<EOF
#!/bin/sh
here=\${0%/*}
exec "\$here/lib/loader" --library-path "\$here/lib" --argv0 $project-server "\$here/program" "\$@"
EOF
    chmod +x "$to/$project-server" && "$to/$project-server" --version >/dev/null
}

# unpack TO PACKAGE…: the files of these packages under TO.
unpack() {
    local to=$1 work site failed=0 package
    shift
    work=$(mktemp -d)
    mkdir -p "$work"/lists/partial "$work"/packages
    site=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1)
    echo "deb $site trixie main" >"$work/sources"
    local apt=(apt-get -qq -o "Dir::Etc::sourcelist=$work/sources" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$work/lists"
        -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root)
    "${apt[@]}" update && (cd "$work/packages" && "${apt[@]}" download "$@") || failed=1
    for package in "$work"/packages/*.deb; do dpkg-deb -x "$package" "$to" || failed=1; done
    rm -rf "$work"
    return $failed
}
