// Command schemas-generator writes the built-in kinds' names from the API description that the pinned
// k8s.io/kubernetes module publishes (api/discovery and api/openapi-spec/v3): resources.json with names, verbs and
// subresources as discovery shows them, and the roles and bindings every cluster starts with (access-policy.json.zz).
// The definitions beside them are those of a running server: the test published_api of crates/conformance writes them.
//
// Nothing of Kubernetes is compiled; only the module archive is downloaded. Run it in this folder:
//
//	go run . ..
package main

import (
	"encoding/json"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const module = "k8s.io/kubernetes"

// groupVersions are served; alpha and beta versions are off by default in the real server as well.
var groupVersions = []string{
	"v1",
	"admissionregistration.k8s.io/v1",
	"apiextensions.k8s.io/v1",
	"apiregistration.k8s.io/v1",
	"apps/v1",
	"authentication.k8s.io/v1",
	"authorization.k8s.io/v1",
	"autoscaling/v2",
	"autoscaling/v1",
	"batch/v1",
	"certificates.k8s.io/v1",
	"coordination.k8s.io/v1",
	"discovery.k8s.io/v1",
	"events.k8s.io/v1",
	"flowcontrol.apiserver.k8s.io/v1",
	"networking.k8s.io/v1",
	"node.k8s.io/v1",
	"policy/v1",
	"rbac.authorization.k8s.io/v1",
	"scheduling.k8s.io/v1",
	"storage.k8s.io/v1",
}

type resource struct {
	Name         string        `json:"name"`
	Kind         string        `json:"kind"`
	Definition   string        `json:"definition"`
	Group        string        `json:"group,omitempty"`
	Version      string        `json:"version,omitempty"`
	SingularName string        `json:"singularName,omitempty"`
	ShortNames   []string      `json:"shortNames,omitempty"`
	Categories   []string      `json:"categories,omitempty"`
	Namespaced   bool          `json:"namespaced,omitempty"`
	Verbs        []string      `json:"verbs"`
	Subresources []subresource `json:"subresources,omitempty"`
}

type subresource struct {
	Name    string   `json:"name"`
	Kind    string   `json:"kind"`
	Group   string   `json:"group,omitempty"`
	Version string   `json:"version,omitempty"`
	Verbs   []string `json:"verbs"`
}

type groupVersion struct {
	GroupVersion string     `json:"groupVersion"`
	Resources    []resource `json:"resources"`
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: go run . OUTPUT_DIRECTORY")
	}
	source, output := moduleDirectory(), os.Args[1]
	catalogue := []groupVersion{}
	for _, name := range groupVersions {
		entry := readDiscovery(source, name)
		catalogue = append(catalogue, entry)
		nameDefinitions(source, name, entry)
	}
	encoded, err := json.MarshalIndent(catalogue, "", " ")
	check(err)
	check(os.WriteFile(filepath.Join(output, "resources.json"), append(encoded, '\n'), 0o644))
	writeAccessPolicy(source, output)
}

func moduleDirectory() string {
	listed, err := exec.Command("go", "mod", "download", "-json", module).Output()
	check(err)
	var answer struct{ Dir string }
	check(json.Unmarshal(listed, &answer))
	return answer.Dir
}

// pathName is how the published files name a group version: api__v1, apis__apps__v1.
func pathName(name string) string {
	if !strings.Contains(name, "/") {
		return "api__" + name
	}
	return "apis__" + strings.ReplaceAll(name, "/", "__")
}

func readDiscovery(source, name string) groupVersion {
	var list struct {
		Resources []resource `json:"resources"`
	}
	readJSON(filepath.Join(source, "api", "discovery", pathName(name)+".json"), &list)
	entry := groupVersion{GroupVersion: name}
	subresources := map[string][]subresource{}
	for _, item := range list.Resources {
		if owner, sub, ok := strings.Cut(item.Name, "/"); ok {
			subresources[owner] = append(subresources[owner], subresource{
				Name: sub, Kind: item.Kind, Group: item.Group, Version: item.Version, Verbs: item.Verbs,
			})
		} else {
			entry.Resources = append(entry.Resources, item)
		}
	}
	for index := range entry.Resources {
		entry.Resources[index].Subresources = subresources[entry.Resources[index].Name]
	}
	return entry
}

// nameDefinitions notes in entry which definition describes which kind.
func nameDefinitions(source, name string, entry groupVersion) {
	for key, value := range readSchemas(source, name) {
		for _, gvk := range gvksOf(value) {
			for index := range entry.Resources {
				if item := &entry.Resources[index]; gvk.Kind == item.Kind && gvk.join() == name {
					item.Definition = key
				}
			}
		}
	}
}

type gvk struct {
	Group, Version, Kind string
}

func (g gvk) join() string {
	if g.Group == "" {
		return g.Version
	}
	return g.Group + "/" + g.Version
}

func gvksOf(schema map[string]any) []gvk {
	encoded, err := json.Marshal(schema["x-kubernetes-group-version-kind"])
	check(err)
	var list []gvk
	check(json.Unmarshal(encoded, &list))
	return list
}

func readSchemas(source, name string) map[string]map[string]any {
	var document struct {
		Components struct {
			Schemas map[string]map[string]any `json:"schemas"`
		} `json:"components"`
	}
	readJSON(filepath.Join(source, "api", "openapi-spec", "v3", pathName(name)+"_openapi.json"), &document)
	return document.Components.Schemas
}

func readJSON(path string, into any) {
	content, err := os.ReadFile(path)
	check(err)
	check(json.Unmarshal(content, into))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
