# Nobody packages etcd 3.6 and 3.7 yet. They are built from their Go modules where there is a Go that can, with their
# etcdctl: some minutes of one core each.

has_go() { has go && printf '%s\n' "go$1" "$(go env GOVERSION)" | sort -VC; }

get_built_etcd() {
    local module=$PWD/tests/servers/etcd-$1 version
    version=$(sed -n 's,^require go.etcd.io/etcd/server/v3 v,,p' "$module/go.mod")
    keep "etcd-$1" "etcd-$version-1" build_etcd "$module"
}

# build_etcd MODULE TO
build_etcd() (
    cd "$1"
    export GOFLAGS= CGO_ENABLED=0
    build() { go build -mod=readonly -buildvcs=false -trimpath -ldflags '-s -w' -o "$@"; }
    build "$2/etcd" . && build "$2/etcdctl" go.etcd.io/etcd/etcdctl/v3 && "$2/etcd" --version >/dev/null
)
