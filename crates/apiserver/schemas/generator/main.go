// Command schemas-generator writes the built-in kinds' names and schemas from the API description that the pinned
// k8s.io/kubernetes module publishes (api/discovery and api/openapi-spec/v3): resources.json with names, verbs and
// subresources as discovery shows them, one zlib file of OpenAPI definitions for each group version, and the roles and
// bindings every cluster starts with (access-policy.json.zz).
//
// Nothing of Kubernetes is compiled; only the module archive is downloaded. Run it in this folder:
//
//	go run . ..
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
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

// autoscaling/v1 describes the body of the scale subresource.
const scaleVersion = "autoscaling/v1"

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
		writeDefinitions(source, output, name, entry)
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

// writeDefinitions also notes in entry which definition describes which kind.
func writeDefinitions(source, output, name string, entry groupVersion) {
	schemas := readSchemas(source, name)
	// Bodies of subresources may come from another group version: Scale, Eviction, TokenRequest.
	for _, item := range entry.Resources {
		for _, sub := range item.Subresources {
			if sub.Version != "" {
				other := sub.Version
				if sub.Group != "" {
					other = sub.Group + "/" + sub.Version
				}
				for key, value := range readSchemas(source, other) {
					if _, there := schemas[key]; !there {
						schemas[key] = value
					}
				}
			}
		}
	}
	roots := map[string]bool{}
	for _, item := range entry.Resources {
		roots[item.Kind], roots[item.Kind+"List"] = true, true
		for _, sub := range item.Subresources {
			roots[sub.Kind] = true
		}
	}
	kept := map[string]any{}
	for key, value := range schemas {
		for _, gvk := range gvksOf(value) {
			if roots[gvk.Kind] && (gvk.join() == name || gvk.join() == scaleVersion || gvk.Kind == "Eviction" || gvk.Kind == "TokenRequest") {
				keep(key, schemas, kept)
			}
			for index := range entry.Resources {
				if item := &entry.Resources[index]; gvk.Kind == item.Kind && gvk.join() == name {
					item.Definition = key
				}
			}
		}
	}
	raw, err := json.Marshal(kept)
	check(err)
	packed := pack(raw)
	file := strings.ReplaceAll(name, "/", "_")
	if !strings.Contains(name, "/") {
		file = "core_" + name
	}
	check(os.WriteFile(filepath.Join(output, file+".json.zz"), packed, 0o644))
	keys := make([]string, 0, len(kept))
	for key := range kept {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	fmt.Printf("%-40s %4d definitions %8d bytes, %7d packed\n", name, len(keys), len(raw), len(packed))
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

// keep copies a definition and all it refers to.
func keep(key string, schemas map[string]map[string]any, kept map[string]any) {
	if _, done := kept[key]; done {
		return
	}
	schema := schemas[key]
	if schema == nil {
		log.Fatalf("no definition %s", key)
	}
	kept[key] = schema
	follow(schema, schemas, kept)
}

func follow(value any, schemas map[string]map[string]any, kept map[string]any) {
	switch value := value.(type) {
	case map[string]any:
		if reference, ok := value["$ref"].(string); ok {
			keep(strings.TrimPrefix(reference, "#/components/schemas/"), schemas, kept)
		}
		for _, member := range value {
			follow(member, schemas, kept)
		}
	case []any:
		for _, item := range value {
			follow(item, schemas, kept)
		}
	}
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
