#!/usr/bin/env bash
# Builds the real servers that Kogge is compared with, and the real managers and clients that run on it, from their pinned
# Go modules.
#
#   real/build.sh                      everything the tests use
#   real/build.sh COMPONENT...         etcd kube-apiserver kube-controller-manager; core bootstrap controlplane capd;
#                                      helm manager (kubernetes, cluster-api and clients name these three groups)
#   real/build.sh --path GROUP         prints the folder a group is built into, and builds nothing
#
# The folder is ${KOGGE_REAL_CACHE:-${XDG_CACHE_HOME:-~/.cache}/kogge/real}/<group>-<hash of its pins, its sources here and
# the functions below that build it>:
#   kubernetes-*/{etcd,kube-apiserver,kube-controller-manager}
#   cluster-api-*/{core,bootstrap,controlplane,capd}/{manager,components.yaml}
#   cluster-api-*/capd/clusterclass-in-memory.yaml
#   clients-*/{helm,manager}
# What is there is not built again; two runs at once wait for each other. Needs Go, and kubectl for the components.yaml.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cache="${KOGGE_REAL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kogge/real}"

groups=(kubernetes cluster-api clients)
components_of() { # components_of GROUP
  case "$1" in
  kubernetes) echo etcd kube-apiserver kube-controller-manager ;;
  cluster-api) echo core bootstrap controlplane capd ;;
  clients) echo helm manager ;;
  esac
}

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
  copy=$(mktemp -d "$(dirname "$3")/config.XXXXXX")
  cp -r "$source/$2/config" "$copy/config"
  chmod -R u+w "$copy"
  kubectl kustomize "$copy/config/default" >"$copy/rendered.yaml"
  (cd "$here/cluster-api" && go run -mod=readonly ./manifests <"$copy/rendered.yaml") >"$3.unfinished"
  mv "$3.unfinished" "$3"
  rm -rf "$copy"
}

build_kubernetes() { # build_kubernetes COMPONENT FOLDER
  local version flags
  case "$1" in
  etcd)
    build kubernetes "" go.etcd.io/etcd/server/v3 "$2/etcd" ;;
  *)
    version=$(version_of kubernetes k8s.io/kubernetes)
    flags="$(version_flags k8s.io/component-base/version "$version") $(version_flags k8s.io/client-go/pkg/version "$version")"
    build kubernetes "$flags" "k8s.io/kubernetes/cmd/$1" "$2/$1" ;;
  esac
}

build_cluster_api() { # build_cluster_api COMPONENT FOLDER
  local version flags module=sigs.k8s.io/cluster-api folder
  version=$(version_of cluster-api sigs.k8s.io/cluster-api)
  flags=$(version_flags sigs.k8s.io/cluster-api/version "$version")
  case "$1" in
  core) folder=core ;;
  capd) module=sigs.k8s.io/cluster-api/test folder=infrastructure/docker ;;
  *) folder=$1/kubeadm ;;
  esac
  build cluster-api "$flags" "$module/$folder" "$2/$1/manager"
  manifests "$module" "$folder" "$2/$1/components.yaml"
  if [ "$1" = capd ]; then
    install -m 644 "$(source_of cluster-api "$module")/$folder/templates/clusterclass-in-memory.yaml" "$2/capd/"
  fi
}

build_clients() { # build_clients COMPONENT FOLDER
  case "$1" in
  helm) build clients "" helm.sh/helm/v4/cmd/helm "$2/helm" ;;
  *) build clients "" "./$1" "$2/$1" ;;
  esac
}

folder_of() { # folder_of GROUP: another group's pins do not change it, so nothing is built again for them
  local hash
  hash=$( (cd "$here/$1" && find . -type f | LC_ALL=C sort | xargs sha256sum
    declare -f version_of source_of version_flags build manifests "build_${1//-/_}") | sha256sum)
  echo "$cache/$1-${hash:0:16}"
}

if [ "${1:-}" = --path ]; then
  case " ${groups[*]} " in
  *" ${2:-} "*) folder_of "$2"; exit ;;
  *) echo "--path needs one of ${groups[*]}" >&2; exit 2 ;;
  esac
fi
command -v go >/dev/null || { echo "Go is needed (https://go.dev/dl)" >&2; exit 1; }

wanted=()
for name in "${@:-${groups[@]}}"; do
  found=
  for group in "${groups[@]}"; do
    for component in $(components_of "$group"); do
      [ "$name" = "$group" ] || [ "$name" = "$component" ] || continue
      found=1 wanted+=("$group $component")
    done
  done
  [ -n "$found" ] || { echo "unknown component $name; there are $(for group in "${groups[@]}"; do components_of "$group"; done | xargs)" >&2; exit 2; }
done
for one in "${wanted[@]}"; do
  read -r group component <<<"$one"
  folder=$(folder_of "$group")
  mkdir -p "$folder"
  ( flock 9; "build_${group//-/_}" "$component" "$folder" ) 9>"$folder/.lock"
  echo "$folder"
done | uniq
