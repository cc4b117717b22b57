//go:build tools

// Package tools pins the Cluster API managers that tests run, unmodified, on Kogge's embedded server. Nothing imports
// it; `real/build.sh` builds the commands named here.
package tools

import (
	_ "sigs.k8s.io/cluster-api/bootstrap/kubeadm"
	_ "sigs.k8s.io/cluster-api/controlplane/kubeadm"
	_ "sigs.k8s.io/cluster-api/core"
	_ "sigs.k8s.io/cluster-api/test/infrastructure/docker"
)
