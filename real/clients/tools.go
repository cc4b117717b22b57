//go:build tools

// Package tools pins the clients that tests run, unmodified, against Kogge's embedded server. Nothing imports it;
// `real/build.sh` builds the commands named here.
package tools

import _ "helm.sh/helm/v4/cmd/helm"
