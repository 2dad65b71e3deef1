# Nobody packages an API server of Kubernetes for tests. It is built from its Go modules where there is a Go that can: ten minutes
# of two cores, once, and gigabytes of modules and of Go's own cache. So it is there only for who asks for it: `tests/servers.sh kubernetes`.

get_kubernetes() {
    local module=$PWD/tests/servers/kubernetes-$1 version
    version=$(sed -n 's,^\tk8s.io/kubernetes v,,p' "$module/go.mod")
    keep "kubernetes-$1" "kubernetes-$version-1" build_kubernetes "$module" "$version"
}

# build_kubernetes MODULE VERSION TO
build_kubernetes() (
    cd "$1"
    export GOFLAGS= CGO_ENABLED=0
    local about=k8s.io/component-base/version
    go build -mod=readonly -buildvcs=false -trimpath -p 2 \
        -ldflags "-s -w -X $about.gitVersion=v$2 -X $about.gitMajor=${2%%.*} -X $about.gitMinor=$(echo "$2" | cut -d. -f2)" \
        -o "$3/kube-apiserver" . && "$3/kube-apiserver" --version >/dev/null
)
