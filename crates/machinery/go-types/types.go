package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"reflect"
	"strings"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsinstall "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/install"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/kube-aggregator/pkg/apis/apiregistration"
	apiregistrationinstall "k8s.io/kube-aggregator/pkg/apis/apiregistration/install"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	_ "k8s.io/kubernetes/pkg/apis/admissionregistration/install"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	_ "k8s.io/kubernetes/pkg/apis/authentication/install"
	_ "k8s.io/kubernetes/pkg/apis/authorization/install"
	_ "k8s.io/kubernetes/pkg/apis/autoscaling/install"
	_ "k8s.io/kubernetes/pkg/apis/batch/install"
	_ "k8s.io/kubernetes/pkg/apis/certificates/install"
	_ "k8s.io/kubernetes/pkg/apis/coordination/install"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	_ "k8s.io/kubernetes/pkg/apis/discovery/install"
	_ "k8s.io/kubernetes/pkg/apis/events/install"
	_ "k8s.io/kubernetes/pkg/apis/flowcontrol/install"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	_ "k8s.io/kubernetes/pkg/apis/node/install"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	_ "k8s.io/kubernetes/pkg/apis/rbac/install"
	_ "k8s.io/kubernetes/pkg/apis/scheduling/install"
	_ "k8s.io/kubernetes/pkg/apis/storage/install"
)

// Types with an encoding of their own.
var special = map[reflect.Type]string{
	reflect.TypeOf(metav1.Time{}):                                  "time",
	reflect.TypeOf(metav1.MicroTime{}):                             "microtime",
	reflect.TypeOf(metav1.FieldsV1{}):                              "json",
	reflect.TypeOf(runtime.RawExtension{}):                         "json",
	reflect.TypeOf(apiextensionsv1.JSON{}):                         "json",
	reflect.TypeOf(apiextensionsv1.JSONSchemaPropsOrBool{}):        "schemaorbool",
	reflect.TypeOf(apiextensionsv1.JSONSchemaPropsOrArray{}):       "schemaorarray",
	reflect.TypeOf(apiextensionsv1.JSONSchemaPropsOrStringArray{}): "schemaorstrings",
	reflect.TypeOf(resource.Quantity{}):                            "quantity",
	reflect.TypeOf(intstr.IntOrString{}):                           "intorstring",
}

func name(t reflect.Type) string {
	parts := strings.Split(t.PkgPath(), "/")
	return parts[len(parts)-2] + "." + parts[len(parts)-1] + "." + t.Name()
}

// A named list that is a message of its own, such as ExtraValue.
func isListMessage(t reflect.Type) bool {
	_, message := reflect.New(t).Interface().(interface{ Unmarshal([]byte) error })
	return t.Kind() == reflect.Slice && message
}

// How a type is written in types.txt, and how Go would name what that says.
func describe(t reflect.Type, types map[string]reflect.Type) string {
	text, derived := structure(t, types)
	if t.Kind() != reflect.Pointer && derived != t.String() {
		return t.String() + "=" + text
	}
	return text
}

func structure(t reflect.Type, types map[string]reflect.Type) (string, string) {
	if own, ok := special[t]; ok {
		goName := map[string]string{
			"time": "v1.Time", "microtime": "v1.MicroTime", "json": "runtime.RawExtension",
			"quantity": "resource.Quantity", "intorstring": "intstr.IntOrString",
		}[own]
		if goName == "" {
			goName = t.String()
		}
		return own, goName
	}
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Int32, reflect.Int64, reflect.Float64:
		return t.Kind().String(), t.Kind().String()
	case reflect.Pointer:
		return "*" + describe(t.Elem(), types), "*" + t.Elem().String()
	case reflect.Slice:
		if isListMessage(t) {
			return "strings", "v1.ExtraValue"
		}
		if t.Elem().Kind() == reflect.Uint8 {
			return "bytes", "[]uint8"
		}
		return "[]" + describe(t.Elem(), types), "[]" + t.Elem().String()
	case reflect.Map:
		return "{}" + describe(t.Elem(), types), "map[string]" + t.Elem().String()
	case reflect.Struct:
		collect(t, types)
		return name(t), t.String()
	}
	log.Fatalf("no way to write %v", t)
	return "", ""
}

func collect(t reflect.Type, types map[string]reflect.Type) {
	if _, known := types[name(t)]; known {
		return
	}
	types[name(t)] = t
	for i := range t.NumField() {
		if t.Field(i).Tag.Get("json") != "-" {
			describe(t.Field(i).Type, types)
		}
	}
}

// One line a field, in Go's order: number in protobuf, JSON name (`*` and the Go name of a struct whose fields merge
// into this one's), type, and `?` for omitempty, `!` for omitzero.
func fields(t reflect.Type, types map[string]reflect.Type) []string {
	var lines []string
	for i := range t.NumField() {
		field := t.Field(i)
		jsonName, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if jsonName == "-" {
			continue
		}
		if jsonName == "" {
			if !field.Anonymous || field.Type.Kind() != reflect.Struct {
				log.Fatalf("%v.%s has no JSON name", t, field.Name)
			}
			jsonName = "*" + field.Name
		}
		number := "0"
		if tag := field.Tag.Get("protobuf"); tag != "" {
			number = strings.Split(tag, ",")[1]
		}
		line := fmt.Sprintf("%s %s %s", number, jsonName, describe(field.Type, types))
		if strings.Contains(options, "omitzero") {
			line += " !"
		} else if strings.Contains(options, "omitempty") {
			line += " ?"
		}
		lines = append(lines, line)
	}
	return lines
}

// What an empty object of the server's internal type becomes in the served version, beyond zero values: ownership of a
// created object is found by comparing with it.
func empty(groupVersion schema.GroupVersion, object runtime.Object) string {
	scheme := legacyscheme.Scheme
	switch groupVersion.Group {
	case apiextensions.GroupName:
		scheme = runtime.NewScheme()
		apiextensionsinstall.Install(scheme)
	case apiregistration.GroupName:
		scheme = runtime.NewScheme()
		apiregistrationinstall.Install(scheme)
	}
	kind := reflect.TypeOf(object).Elem().Name()
	hub := schema.GroupVersion{Group: groupVersion.Group, Version: runtime.APIVersionInternal}
	internal, err := scheme.New(hub.WithKind(kind))
	if err != nil {
		log.Fatal(err)
	}
	served, err := scheme.ConvertToVersion(internal, groupVersion)
	if err != nil {
		log.Fatal(err)
	}
	served.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	zero := reflect.New(reflect.TypeOf(object).Elem()).Interface()
	text, err := json.Marshal(difference(generic(zero), generic(served)))
	if err != nil {
		log.Fatal(err)
	}
	if string(text) == "{}" {
		return ""
	}
	return string(text)
}

func generic(object any) map[string]any {
	text, err := json.Marshal(object)
	if err != nil {
		log.Fatal(err)
	}
	value := map[string]any{}
	if err := json.Unmarshal(text, &value); err != nil {
		log.Fatal(err)
	}
	return value
}

// The members of `to` that are not in `from`.
func difference(from, to map[string]any) map[string]any {
	found := map[string]any{}
	for key, value := range to {
		old, new := from[key], value
		inner, isMap := new.(map[string]any)
		oldInner, wasMap := old.(map[string]any)
		switch {
		case isMap && wasMap:
			if below := difference(oldInner, inner); len(below) > 0 {
				found[key] = below
			}
		case !reflect.DeepEqual(old, new) || from[key] == nil && new != nil:
			found[key] = new
		}
	}
	for key := range from {
		if _, kept := to[key]; !kept {
			log.Fatalf("%s is lost in conversion", key)
		}
	}
	return found
}

func writeTypes() {
	types := map[string]reflect.Type{}
	file, out := create("types.txt")
	fmt.Fprintln(out, "# Generated by main.go from k8s.io/api v0.36.3; see README.md for the format.")
	for _, apiVersion := range sorted(kinds) {
		for _, object := range kinds[apiVersion] {
			writeKind(out, apiVersion, object, types)
		}
	}
	for _, key := range sorted(types) {
		fmt.Fprintf(out, "type %s\n", key)
		for _, line := range fields(types[key], types) {
			fmt.Fprintln(out, line)
		}
	}
	out.Flush()
	file.Close()
}

func writeKind(out *bufio.Writer, apiVersion string, object runtime.Object, types map[string]reflect.Type) {
	t := reflect.TypeOf(object).Elem()
	fmt.Fprintf(out, "kind %s %s %s\n", apiVersion, t.Name(), name(t))
	collect(t, types)
	if t.Name() == "DeleteOptions" {
		return
	}
	groupVersion, _ := schema.ParseGroupVersion(apiVersion)
	if more := empty(groupVersion, object); more != "" {
		fmt.Fprintf(out, "empty %s %s %s\n", apiVersion, t.Name(), more)
	}
}
