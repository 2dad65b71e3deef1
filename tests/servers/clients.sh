# Clients of other projects, with which the tests share locks.

get_clients() {
    keep redis-py redis-py-6-1 fetch_python 'redis==6.*'
    keep kazoo kazoo-2-1 fetch_python 'kazoo==2.*'
}

has_clients() { [ -d "$cache/redis-py-6-1" ] && [ -d "$cache/kazoo-2-1" ]; }

# fetch_python PACKAGE TO
fetch_python() {
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target "$2" "$1"
}
