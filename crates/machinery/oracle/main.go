// Command oracle answers, one JSON line for each line of input, what Kubernetes' own field manager makes of a sequence
// of writes on one object. The tests of server-side apply compare the Rust implementation with it.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"slices"
	"sort"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

type request struct {
	// Models are OpenAPI definitions by name; none means a kind without a schema.
	Models map[string]*spec.Schema `json:"models"`
	// SameModels says that the models are those of the last request, and not repeated.
	SameModels bool `json:"sameModels"`
	// StatusSubresource says that the main endpoint does not write status.
	StatusSubresource bool `json:"statusSubresource"`
	// Versions are the served apiVersions, the stored one first.
	Versions []string `json:"versions"`
	Steps    []step   `json:"steps"`
}

type step struct {
	Operation   string         `json:"operation"`
	Manager     string         `json:"manager"`
	Subresource string         `json:"subresource"`
	Force       bool           `json:"force"`
	Object      map[string]any `json:"object"`
}

type outcome struct {
	// Object is the state after the step; a refused step leaves it as it was.
	Object    map[string]any `json:"object"`
	Conflicts []string       `json:"conflicts,omitempty"`
	Error     string         `json:"error,omitempty"`
}

// versions serves a kind in one or two versions; the second calls spec.a of the first spec.z.
type versions struct{ served []schema.GroupVersion }

func (versions) Convert(in, out, context any) error { return errors.New("not used") }
func (served versions) ConvertToVersion(in runtime.Object, target runtime.GroupVersioner) (runtime.Object, error) {
	object := in.(*unstructured.Unstructured)
	from := object.GroupVersionKind()
	to, ok := target.KindForGroupVersionKinds([]schema.GroupVersionKind{from})
	if !ok {
		return nil, runtime.NewNotRegisteredErrForTarget("test", nil, target)
	}
	if to.GroupVersion() == from.GroupVersion() {
		return in, nil
	}
	if !slices.Contains(served.served, to.GroupVersion()) {
		return nil, runtime.NewNotRegisteredErrForKind("test", to)
	}
	converted := object.DeepCopy()
	converted.SetGroupVersionKind(to)
	old, new := "a", "z"
	if to.Version != "v2" {
		old, new = "z", "a"
	}
	if spec, ok := converted.Object["spec"].(map[string]any); ok {
		if renamed, ok := spec[old]; ok {
			delete(spec, old)
			spec[new] = renamed
		}
	}
	return converted, nil
}
func (versions) ConvertFieldLabel(_ schema.GroupVersionKind, label, value string) (string, string, error) {
	return label, value, nil
}
func (versions) Default(runtime.Object) {}
func (versions) New(kind schema.GroupVersionKind) (runtime.Object, error) {
	object := &unstructured.Unstructured{Object: map[string]any{}}
	object.SetGroupVersionKind(kind)
	return object, nil
}

// clock gives each step its own second, so that order by time is the order of steps.
func clock(step int) metav1.Time {
	return metav1.NewTime(time.Date(2026, 1, 1, 0, 0, step, 0, time.UTC))
}

func (request *request) served() versions {
	served := versions{}
	for _, version := range request.Versions {
		groupVersion, err := schema.ParseGroupVersion(version)
		if err != nil {
			log.Fatal(err)
		}
		served.served = append(served.served, groupVersion)
	}
	return served
}

func typeConverter(request *request) (managedfields.TypeConverter, error) {
	if len(request.Models) == 0 {
		return managedfields.NewDeducedTypeConverter(), nil
	}
	return managedfields.NewTypeConverter(request.Models, false)
}

func fieldManager(converter managedfields.TypeConverter, request *request, kind schema.GroupVersionKind, subresource string) (*managedfields.FieldManager, error) {
	filters := map[fieldpath.APIVersion]fieldpath.Filter{}
	version := fieldpath.APIVersion(kind.GroupVersion().String())
	if subresource == "status" {
		filters[version] = fieldpath.NewIncludeMatcherFilter(fieldpath.MakePrefixMatcherOrDie("status"))
	} else if request.StatusSubresource {
		filters[version] = fieldpath.NewExcludeSetFilter(fieldpath.NewSet(fieldpath.MakePathOrDie("status")))
	}
	served := request.served()
	return managedfields.NewDefaultCRDFieldManager(
		converter, served, served, served, kind, served.served[0], subresource, filters)
}

func run(converter managedfields.TypeConverter, request *request) ([]outcome, error) {
	outcomes := []outcome{}
	var live *unstructured.Unstructured
	for index, step := range request.Steps {
		given := &unstructured.Unstructured{Object: step.Object}
		kind := given.GroupVersionKind()
		manager, err := fieldManager(converter, request, kind, step.Subresource)
		if err != nil {
			return nil, err
		}
		before := live
		if before != nil && before.GroupVersionKind() != kind {
			converted, err := request.served().ConvertToVersion(before, kind.GroupVersion())
			if err != nil {
				return nil, err
			}
			before = converted.(*unstructured.Unstructured)
			live = before
		}
		if before == nil {
			before = &unstructured.Unstructured{Object: map[string]any{}}
			before.SetGroupVersionKind(kind)
		}
		var after runtime.Object
		if step.Operation == "apply" {
			after, err = manager.Apply(before.DeepCopy(), given, step.Manager, step.Force)
		} else {
			after, err = manager.Update(before.DeepCopy(), given, step.Manager)
		}
		result := outcome{}
		if err != nil {
			var status *apierrors.StatusError
			if errors.As(err, &status) && apierrors.IsConflict(err) {
				for _, cause := range status.ErrStatus.Details.Causes {
					result.Conflicts = append(result.Conflicts, cause.Field+": "+cause.Message)
				}
				sort.Strings(result.Conflicts)
			} else {
				result.Error = err.Error()
			}
		} else {
			// An apply answers the stored version.
			converted, err := request.served().ConvertToVersion(after, kind.GroupVersion())
			if err != nil {
				return nil, err
			}
			live = converted.(*unstructured.Unstructured)
			live.SetUID("1")
			// ObjectMeta has no null members; the real server's encoding drops them.
			metadata := live.Object["metadata"].(map[string]any)
			for name, value := range metadata {
				if value == nil {
					delete(metadata, name)
				}
			}
			entries := live.GetManagedFields()
			for entry := range entries {
				if entries[entry].Time != nil && entries[entry].Time.After(clock(3600).Time) {
					now := clock(index)
					entries[entry].Time = &now
				}
			}
			if entries != nil {
				live.SetManagedFields(entries)
			}
		}
		if live != nil {
			result.Object = live.DeepCopy().Object
		}
		outcomes = append(outcomes, result)
	}
	return outcomes, nil
}

func main() {
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(nil, 64<<20)
	output := bufio.NewWriter(os.Stdout)
	var converter managedfields.TypeConverter
	for input.Scan() {
		var request request
		if err := json.Unmarshal(input.Bytes(), &request); err != nil {
			log.Fatal(err)
		}
		for index := range request.Steps {
			// Numbers become int64 or float64, as in the real server.
			object := &unstructured.Unstructured{}
			raw, err := json.Marshal(request.Steps[index].Object)
			if err != nil {
				log.Fatal(err)
			}
			if err := object.UnmarshalJSON(raw); err != nil {
				log.Fatal(err)
			}
			request.Steps[index].Object = object.Object
		}
		if converter == nil || !request.SameModels {
			var err error
			if converter, err = typeConverter(&request); err != nil {
				log.Fatal(err)
			}
		}
		outcomes, err := run(converter, &request)
		if err != nil {
			log.Fatal(err)
		}
		encoded, err := json.Marshal(outcomes)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Fprintf(output, "%s\n", encoded)
		output.Flush()
	}
	if err := input.Err(); err != nil {
		log.Fatal(err)
	}
}
