//go:build tools

// Package tools pins the Kubernetes servers that tests compare Kogge with. Nothing imports it; `real/build.sh` builds
// the commands named here.
package tools

import (
	_ "go.etcd.io/etcd/server/v3"
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kube-controller-manager"
)
