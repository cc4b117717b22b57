// Writes vectors.jsonl: random Deployments, the patches kubectl would send to change them, and what the reference
// implementation makes of each. See README.md.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"math/rand"
	"os"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

type object = map[string]any

var random = rand.New(rand.NewSource(36))

func chance(percent int) bool { return random.Intn(100) < percent }

// A random selection of names in random order.
func some(names ...string) []string {
	random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	return names[:random.Intn(len(names)+1)]
}

func list(names []string, item func(name string) any) []any {
	items := []any{}
	for _, name := range names {
		items = append(items, item(name))
	}
	return items
}

func text() string { return fmt.Sprintf("v%d", random.Intn(3)) }

func container(name string) any {
	c := object{"name": name, "image": text()}
	if chance(60) {
		c["env"] = list(some("A", "B", "C", "D"), func(name string) any { return object{"name": name, "value": text()} })
	}
	if chance(40) {
		c["ports"] = list(some("80", "81", "82"), func(name string) any {
			var number int64
			fmt.Sscan(name, &number)
			return object{"containerPort": number, "name": text()}
		})
	}
	if chance(40) {
		c["args"] = list(some("x", "y", "z"), func(name string) any { return name })
	}
	if chance(30) {
		c["resources"] = object{"limits": object{"cpu": text(), "memory": text()}}
	}
	return c
}

func volume(name string) any {
	switch random.Intn(3) {
	case 0:
		return object{"name": name, "emptyDir": object{}}
	case 1:
		return object{"name": name, "secret": object{"secretName": text()}}
	}
	return object{"name": name, "configMap": object{"name": text()}}
}

func deployment() object {
	spec := object{"containers": list(some("a", "b", "c", "d"), container)}
	if chance(50) {
		spec["volumes"] = list(some("t", "u", "v", "w"), volume)
	}
	if chance(40) {
		spec["tolerations"] = list(some("k1", "k2"), func(name string) any { return object{"key": name} })
	}
	if chance(30) {
		spec["imagePullSecrets"] = list(some("p", "q", "r"), func(name string) any { return object{"name": name} })
	}
	if chance(30) {
		spec["hostAliases"] = list(some("1.1.1.1", "2.2.2.2"), func(name string) any {
			return object{"ip": name, "hostnames": []any{text()}}
		})
	}
	if chance(30) {
		spec["nodeSelector"] = object{"n" + text(): text()}
	}
	metadata := object{"name": "x"}
	if chance(50) {
		metadata["finalizers"] = list(some("f/1", "f/2", "f/3", "f/4"), func(name string) any { return name })
	}
	if chance(50) {
		metadata["labels"] = object{"l1": text(), "l" + text(): text()}
	}
	d := object{"metadata": metadata, "spec": object{"template": object{"spec": spec}}}
	if chance(50) {
		strategy := object{"type": "Recreate"}
		if chance(50) {
			strategy = object{"type": "RollingUpdate", "rollingUpdate": object{"maxSurge": int64(random.Intn(3))}}
		}
		d["spec"].(object)["strategy"] = strategy
	}
	return d
}

// Puts a directive or a null somewhere into a patch, as people do by hand.
func disturb(patch any) {
	switch node := patch.(type) {
	case object:
		for _, value := range node {
			if chance(50) {
				disturb(value)
			}
		}
		switch random.Intn(12) {
		case 0:
			node["$patch"] = "replace"
		case 1:
			node["$patch"] = "delete"
		case 2:
			for key := range node {
				if key[0] != '$' && key != "name" && key != "metadata" {
					node[key] = nil
				}
				break
			}
		}
	case []any:
		for _, value := range node {
			disturb(value)
		}
	}
}

func bytes(value any) []byte {
	encoded, err := json.Marshal(value)
	if err != nil {
		log.Fatal(err)
	}
	return encoded
}

func main() {
	file, err := os.Create("vectors.jsonl")
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	out := bufio.NewWriter(file)
	defer out.Flush()
	schema, err := strategicpatch.NewPatchMetaFromStruct(appsv1.Deployment{})
	if err != nil {
		log.Fatal(err)
	}
	for i := 0; i < 200; {
		original, modified, current := bytes(deployment()), bytes(deployment()), bytes(deployment())
		var patch []byte
		if chance(60) {
			patch, err = strategicpatch.CreateThreeWayMergePatch(original, modified, current, schema, true)
		} else {
			current = original
			patch, err = strategicpatch.CreateTwoWayMergePatchUsingLookupPatchMeta(original, modified, schema)
		}
		if err != nil {
			continue
		}
		if chance(25) {
			var loose any
			if err := json.Unmarshal(patch, &loose); err != nil {
				log.Fatal(err)
			}
			disturb(loose)
			patch = bytes(loose)
		}
		vector := object{"original": json.RawMessage(current), "patch": json.RawMessage(patch)}
		expected, err := strategicpatch.StrategicMergePatchUsingLookupPatchMeta(current, patch, schema)
		if err != nil {
			vector["error"] = err.Error()
		} else {
			again, err := strategicpatch.StrategicMergePatchUsingLookupPatchMeta(current, patch, schema)
			if err != nil || string(again) != string(expected) {
				continue // depends on the order of a Go map
			}
			vector["expected"] = json.RawMessage(expected)
		}
		out.Write(bytes(vector))
		out.WriteByte('\n')
		i++
	}
}
