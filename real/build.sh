#!/usr/bin/env bash
# Builds the real servers that Kogge is compared with, and the real managers that run on it, from their pinned Go modules.
#
#   real/build.sh                      everything the tests use
#   real/build.sh COMPONENT...         etcd kube-apiserver kube-controller-manager core bootstrap controlplane capd
#                                      (kubernetes and cluster-api name the first three and the last four)
#   real/build.sh --path               prints the folder they are built into, and builds nothing
#
# The folder is ${KOGGE_REAL_CACHE:-${XDG_CACHE_HOME:-~/.cache}/kogge/real}/<hash of the pins and of this script>:
#   kubernetes/{etcd,kube-apiserver,kube-controller-manager}
#   cluster-api/{core,bootstrap,controlplane,capd}/{manager,components.yaml}
#   cluster-api/capd/clusterclass-in-memory.yaml
# What is there is not built again; two runs at once wait for each other. Needs Go, and kubectl for the components.yaml.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cache="${KOGGE_REAL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kogge/real}"
pins=$(cd "$here" && cat kubernetes/go.mod kubernetes/go.sum cluster-api/go.mod cluster-api/go.sum cluster-api/manifests/main.go build.sh | sha256sum)
path="$cache/${pins:0:16}"

kubernetes=(etcd kube-apiserver kube-controller-manager)
cluster_api=(core bootstrap controlplane capd)

version_of() { # version_of MODULE_FOLDER MODULE
  (cd "$here/$1" && go list -mod=readonly -m -f '{{with .Replace}}{{.Version}}{{else}}{{.Version}}{{end}}' "$2")
}

source_of() { # source_of MODULE_FOLDER MODULE: its folder in the module cache, downloaded if need be
  (cd "$here/$1" && go mod download "$2" && go list -mod=readonly -m -f '{{with .Replace}}{{.Dir}}{{else}}{{.Dir}}{{end}}' "$2")
}

version_flags() { # version_flags PACKAGE VERSION: what a release build stamps into the binary
  local number="${2#v}"
  local minor="${number#*.}"
  echo "-X $1.gitVersion=$2 -X $1.gitMajor=${number%%.*} -X $1.gitMinor=${minor%%.*} -X $1.gitTreeState=clean"
}

build() { # build MODULE_FOLDER FLAGS PACKAGE FILE: under another name first, so that a broken run leaves nothing half-built
  [ -x "$4" ] && return
  echo "building $3" >&2
  mkdir -p "$(dirname "$4")"
  (cd "$here/$1" && go build -mod=readonly -trimpath -ldflags "-s -w $2" -o "$4.unfinished" "$3")
  mv "$4.unfinished" "$4"
}

manifests() { # manifests MODULE FOLDER_IN_IT FILE: the objects of `config/default` that an API server without pods can hold
  [ -s "$3" ] && return
  command -v kubectl >/dev/null || { echo "kubectl is needed to render $3" >&2; exit 1; }
  local source copy
  source=$(source_of cluster-api "$1")
  # kustomize takes a path with an @, as every path of the module cache has one, for an address; so it gets a copy.
  copy=$(mktemp -d "$path/config.XXXXXX")
  cp -r "$source/$2/config" "$copy/config"
  chmod -R u+w "$copy"
  kubectl kustomize "$copy/config/default" >"$copy/rendered.yaml"
  (cd "$here/cluster-api" && go run -mod=readonly ./manifests <"$copy/rendered.yaml") >"$3.unfinished"
  mv "$3.unfinished" "$3"
  rm -rf "$copy"
}

component() {
  local version flags
  case "$1" in
  etcd)
    build kubernetes "" go.etcd.io/etcd/server/v3 "$path/kubernetes/etcd" ;;
  kube-apiserver | kube-controller-manager)
    version=$(version_of kubernetes k8s.io/kubernetes)
    flags="$(version_flags k8s.io/component-base/version "$version") $(version_flags k8s.io/client-go/pkg/version "$version")"
    build kubernetes "$flags" "k8s.io/kubernetes/cmd/$1" "$path/kubernetes/$1" ;;
  core | bootstrap | controlplane | capd)
    version=$(version_of cluster-api sigs.k8s.io/cluster-api)
    flags=$(version_flags sigs.k8s.io/cluster-api/version "$version")
    local module=sigs.k8s.io/cluster-api folder
    case "$1" in
    core) folder=core ;;
    capd) module=sigs.k8s.io/cluster-api/test folder=infrastructure/docker ;;
    *) folder=$1/kubeadm ;;
    esac
    build cluster-api "$flags" "$module/$folder" "$path/cluster-api/$1/manager"
    manifests "$module" "$folder" "$path/cluster-api/$1/components.yaml"
    if [ "$1" = capd ]; then
      install -m 644 "$(source_of cluster-api "$module")/$folder/templates/clusterclass-in-memory.yaml" "$path/cluster-api/capd/"
    fi ;;
  *)
    echo "unknown component $1; there are ${kubernetes[*]} ${cluster_api[*]}" >&2
    exit 2 ;;
  esac
}

[ "${1:-}" = --path ] && { echo "$path"; exit; }
command -v go >/dev/null || { echo "Go is needed (https://go.dev/dl)" >&2; exit 1; }
components=()
for name in "${@:-kubernetes cluster-api}"; do
  for one in $name; do
    case "$one" in
    kubernetes) components+=("${kubernetes[@]}") ;;
    cluster-api) components+=("${cluster_api[@]}") ;;
    *) components+=("$one") ;;
    esac
  done
done
mkdir -p "$path"
exec 9>"$path/.lock"
flock 9
for name in "${components[@]}"; do component "$name"; done
echo "$path"
