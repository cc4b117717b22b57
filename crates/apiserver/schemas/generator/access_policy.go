package main

import (
	"bytes"
	"compress/zlib"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"
)

// policyFiles list the roles and bindings every cluster starts with. Kubernetes' own tests hold them to be what its
// server makes.
var policyFiles = []string{
	"cluster-roles", "controller-roles", "cluster-role-bindings", "controller-role-bindings",
	"namespace-roles", "namespace-role-bindings",
}

// writeAccessPolicy writes access-policy.json.zz, a list of rbac.authorization.k8s.io/v1 objects.
func writeAccessPolicy(source, output string) {
	objects := []any{}
	for _, name := range policyFiles {
		path := filepath.Join(source, "plugin/pkg/auth/authorizer/rbac/bootstrappolicy/testdata", name+".yaml")
		content, err := os.ReadFile(path)
		check(err)
		var list struct {
			Items []map[string]any `json:"items"`
		}
		check(yaml.Unmarshal(content, &list))
		for _, item := range list.Items {
			if item["rules"] == nil {
				delete(item, "rules")
			}
			objects = append(objects, item)
		}
	}
	raw, err := json.Marshal(objects)
	check(err)
	packed := pack(raw)
	check(os.WriteFile(filepath.Join(output, "access-policy.json.zz"), packed, 0o644))
	fmt.Printf("%-40s %4d objects     %8d bytes, %7d packed\n", "access policy", len(objects), len(raw), len(packed))
}

func pack(raw []byte) []byte {
	var packed bytes.Buffer
	writer, err := zlib.NewWriterLevel(&packed, zlib.BestCompression)
	check(err)
	_, err = writer.Write(raw)
	check(err)
	check(writer.Close())
	return packed.Bytes()
}
