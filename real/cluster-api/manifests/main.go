// Command manifests reads a rendered `config/default` of a Cluster API manager and writes what an API server can hold
// that has no pods, no Services and no cert-manager: definitions, the manager's identity and rights, its webhooks.
//
// Aggregated ClusterRoles are filled in, because that is the work of a controller a bare API server does not have.
// Webhooks keep `clientConfig.service`: only who starts the manager knows its address.
package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"

	"sigs.k8s.io/yaml"
)

type object = map[string]any

// kinds in the order they have to be created in.
var kinds = []string{
	"Namespace", "CustomResourceDefinition", "ServiceAccount", "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding",
	"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration",
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "manifests:", err)
		os.Exit(1)
	}
}

func run(input io.Reader, output io.Writer) error {
	rendered, err := io.ReadAll(input)
	if err != nil {
		return err
	}
	objects := make(map[string][]object)
	for _, document := range bytes.Split(rendered, []byte("\n---\n")) {
		var found object
		if err := yaml.Unmarshal(document, &found); err != nil {
			return err
		}
		kind, _ := found["kind"].(string)
		if annotations, ok := at(found, "metadata")["annotations"].(object); ok {
			delete(annotations, "cert-manager.io/inject-ca-from")
		}
		objects[kind] = append(objects[kind], found)
	}
	aggregate(objects["ClusterRole"])
	for _, kind := range kinds {
		for _, found := range objects[kind] {
			text, err := yaml.Marshal(found)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(output, "---\n%s", text); err != nil {
				return err
			}
		}
	}
	return nil
}

func at(parent object, field string) object {
	child, _ := parent[field].(object)
	return child
}

// aggregate gives each role with an aggregationRule the rules of the roles it selects.
func aggregate(roles []object) {
	for _, role := range roles {
		selectors, ok := at(role, "aggregationRule")["clusterRoleSelectors"].([]any)
		if !ok {
			continue
		}
		rules := []any{}
		for _, selector := range selectors {
			wanted := at(selector.(object), "matchLabels")
			for _, other := range roles {
				if selects(wanted, at(at(other, "metadata"), "labels")) {
					given, _ := other["rules"].([]any)
					rules = slices.Concat(rules, given)
				}
			}
		}
		role["rules"] = rules
	}
}

func selects(wanted, labels object) bool {
	for key, value := range wanted {
		if labels[key] != value {
			return false
		}
	}
	return len(wanted) > 0
}
