// etcdctl as its own repository builds it: nobody packages this version yet.
package main

import "go.etcd.io/etcd/etcdctl/v3/ctlv3"

func main() { ctlv3.MustStart() }
