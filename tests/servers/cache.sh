# What was fetched or built stays outside `target`, so that neither a fresh clone nor `cargo clean` costs it again: in
# LOCKS_CACHE, by default ~/.cache/distributed-locks. It may be deleted at any time. `target/servers` has a link to each
# thing that this checkout uses.

cache=${LOCKS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/distributed-locks}/servers
links=target/servers

# keep NAME ENTRY COMMAND…: links target/servers/NAME to what COMMAND makes in the directory that is its last argument, once
# on this machine. What is in an entry never changes: its name says which version it is, and -1, -2, … in which form.
keep() {
    keep_at "$cache" "$@"
}

keep_at() {
    local place=$1/$3 link=$links/$2
    shift 3
    [ -d "$place" ] || make_once "$place" "$@" || { rm -rf "$link"; return 1; }
    [ "$(readlink "$link")" = "$place" ] && return
    mkdir -p "$links"
    rm -rf "$link"
    ln -s "$place" "$link"
}

# Makes a directory, all of it or nothing: two clones may do so at once, and any of them be killed.
make_once() (
    place=$1
    shift
    mkdir -p "$(dirname "$place")"
    exec 9>"$place.lock"
    # Where there is no flock both make it, and the first is kept.
    if has flock; then
        flock 9
        rm -rf "$place".??????
    fi
    [ ! -d "$place" ] || exit 0
    new=$(mktemp -d "$place.XXXXXX")
    say "making $(basename "$place"), once"
    if "$@" "$new" && chmod -R a+rX "$new"; then
        [ -d "$place" ] || mv "$new" "$place"
    else
        rm -rf "$new"
        exit 1
    fi
)
