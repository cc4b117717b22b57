// Writes messages.txt (how each Kubernetes message is laid out on the wire and named in JSON) and vectors.jsonl (objects
// in both encodings, for the tests) from the Go types of k8s.io/api. See README.md.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"reflect"
	"sort"
	"strings"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	eventsv1 "k8s.io/api/events/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Kinds whose protobuf bodies are understood; everything they refer to follows.
var kinds = map[string][]runtime.Object{
	"v1": {
		&corev1.Binding{}, &corev1.ConfigMap{}, &corev1.Endpoints{}, &corev1.Event{}, &corev1.LimitRange{},
		&corev1.Namespace{}, &corev1.Node{}, &corev1.PersistentVolume{}, &corev1.PersistentVolumeClaim{}, &corev1.Pod{},
		&corev1.PodTemplate{}, &corev1.ReplicationController{}, &corev1.ResourceQuota{}, &corev1.Secret{},
		&corev1.Service{}, &corev1.ServiceAccount{}, &metav1.DeleteOptions{},
	},
	"admissionregistration.k8s.io/v1": {
		&admissionregistrationv1.MutatingAdmissionPolicy{}, &admissionregistrationv1.MutatingAdmissionPolicyBinding{},
		&admissionregistrationv1.MutatingWebhookConfiguration{}, &admissionregistrationv1.ValidatingAdmissionPolicy{},
		&admissionregistrationv1.ValidatingAdmissionPolicyBinding{},
		&admissionregistrationv1.ValidatingWebhookConfiguration{},
	},
	"apps/v1": {
		&appsv1.ControllerRevision{}, &appsv1.DaemonSet{}, &appsv1.Deployment{}, &appsv1.ReplicaSet{},
		&appsv1.StatefulSet{},
	},
	"authentication.k8s.io/v1": {
		&authenticationv1.SelfSubjectReview{}, &authenticationv1.TokenRequest{}, &authenticationv1.TokenReview{},
	},
	"authorization.k8s.io/v1": {
		&authorizationv1.LocalSubjectAccessReview{}, &authorizationv1.SelfSubjectAccessReview{},
		&authorizationv1.SelfSubjectRulesReview{}, &authorizationv1.SubjectAccessReview{},
	},
	"autoscaling/v1":                  {&autoscalingv1.HorizontalPodAutoscaler{}, &autoscalingv1.Scale{}},
	"autoscaling/v2":                  {&autoscalingv2.HorizontalPodAutoscaler{}},
	"batch/v1":                        {&batchv1.CronJob{}, &batchv1.Job{}},
	"certificates.k8s.io/v1":          {&certificatesv1.CertificateSigningRequest{}},
	"coordination.k8s.io/v1":          {&coordinationv1.Lease{}},
	"discovery.k8s.io/v1":             {&discoveryv1.EndpointSlice{}},
	"events.k8s.io/v1":                {&eventsv1.Event{}},
	"flowcontrol.apiserver.k8s.io/v1": {&flowcontrolv1.FlowSchema{}, &flowcontrolv1.PriorityLevelConfiguration{}},
	"networking.k8s.io/v1": {
		&networkingv1.IPAddress{}, &networkingv1.Ingress{}, &networkingv1.IngressClass{}, &networkingv1.NetworkPolicy{},
		&networkingv1.ServiceCIDR{},
	},
	"node.k8s.io/v1": {&nodev1.RuntimeClass{}},
	"policy/v1":      {&policyv1.Eviction{}, &policyv1.PodDisruptionBudget{}},
	"rbac.authorization.k8s.io/v1": {
		&rbacv1.ClusterRole{}, &rbacv1.ClusterRoleBinding{}, &rbacv1.Role{}, &rbacv1.RoleBinding{},
	},
	"scheduling.k8s.io/v1": {&schedulingv1.PriorityClass{}},
	"storage.k8s.io/v1": {
		&storagev1.CSIDriver{}, &storagev1.CSINode{}, &storagev1.CSIStorageCapacity{}, &storagev1.StorageClass{},
		&storagev1.VolumeAttachment{}, &storagev1.VolumeAttributesClass{},
	},
}

// Types with an encoding of their own.
var special = map[reflect.Type]string{
	reflect.TypeOf(metav1.Time{}):          "time",
	reflect.TypeOf(metav1.MicroTime{}):     "microtime",
	reflect.TypeOf(metav1.FieldsV1{}):      "json",
	reflect.TypeOf(runtime.RawExtension{}): "json",
	reflect.TypeOf(resource.Quantity{}):    "quantity",
	reflect.TypeOf(intstr.IntOrString{}):   "intorstring",
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

func encoding(t reflect.Type, messages map[string]reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if own, ok := special[t]; ok {
		return own
	}
	switch t.Kind() {
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "bool"
	case reflect.Int, reflect.Int32, reflect.Int64:
		return "int"
	case reflect.Slice:
		if isListMessage(t) {
			return "strings"
		}
		if t.Elem().Kind() == reflect.Uint8 {
			return "bytes"
		}
		return "[]" + encoding(t.Elem(), messages)
	case reflect.Map:
		return "{}" + encoding(t.Elem(), messages)
	case reflect.Struct:
		collect(t, messages)
		return name(t)
	}
	log.Fatalf("no encoding for %v", t)
	return ""
}

func collect(t reflect.Type, messages map[string]reflect.Type) {
	if _, known := messages[name(t)]; known {
		return
	}
	messages[name(t)] = t
	for i := range t.NumField() {
		if t.Field(i).Tag.Get("protobuf") != "" {
			encoding(t.Field(i).Type, messages)
		}
	}
}

// One line a field: number, JSON name (`*` merges into the parent), encoding, and `?` where the zero value is left out.
func describe(t reflect.Type, messages map[string]reflect.Type) []string {
	var lines []string
	for i := range t.NumField() {
		field := t.Field(i)
		tag := field.Tag.Get("protobuf")
		if tag == "" {
			continue
		}
		number := strings.Split(tag, ",")[1]
		jsonName, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if jsonName == "-" {
			continue
		}
		if jsonName == "" {
			jsonName = "*"
		}
		line := fmt.Sprintf("%s %s %s", number, jsonName, encoding(field.Type, messages))
		if field.Type.Kind() != reflect.Pointer && strings.Contains(options, "omit") {
			line += " ?"
		}
		lines = append(lines, line)
	}
	return lines
}

var counter int

// Gives every field a value of its own.
func fill(v reflect.Value, inTemplate bool) {
	counter++
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), inTemplate)
		return
	}
	switch p := v.Addr().Interface().(type) {
	case *metav1.Time:
		*p = metav1.NewTime(time.Unix(1700000000+int64(counter), 0).UTC())
		return
	case *metav1.MicroTime:
		*p = metav1.NewMicroTime(time.Unix(1700000000, int64(counter)*1000).UTC())
		return
	case *metav1.FieldsV1:
		p.SetRawBytes([]byte(`{"f:a":{}}`))
		return
	case *runtime.RawExtension:
		p.Raw = []byte(`{"apiVersion":"v1","kind":"Thing"}`)
		return
	case *resource.Quantity:
		*p = resource.MustParse(fmt.Sprintf("%dMi", counter))
		return
	case *intstr.IntOrString:
		if counter%2 == 0 {
			*p = intstr.FromInt32(int32(counter))
		} else {
			*p = intstr.FromString(fmt.Sprintf("%d%%", counter%100))
		}
		return
	case *metav1.TypeMeta:
		return
	case *corev1.PodSpec:
		if inTemplate {
			p.Containers = []corev1.Container{{Name: "c", Image: "i"}}
			return
		}
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("s%d", counter))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(int64(counter))
		if counter%3 == 0 {
			v.SetInt(-int64(counter))
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte{0, 255, byte(counter)})
			return
		}
		length := 1
		if v.Type().Elem().Kind() == reflect.String {
			length = 2
		}
		v.Set(reflect.MakeSlice(v.Type(), length, length))
		for i := range length {
			fill(v.Index(i), inTemplate)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for _, key := range []string{"k1", "example.com/k2"} {
			value := reflect.New(v.Type().Elem()).Elem()
			fill(value, inTemplate)
			v.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), value)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Tag.Get("protobuf") != "" {
				fill(v.Field(i), inTemplate || v.Type().Name() == "PodTemplateSpec")
			}
		}
	default:
		log.Fatalf("cannot fill %v", v.Type())
	}
}

type vector struct {
	Name     string         `json:"name"`
	Protobuf string         `json:"protobuf"`
	JSON     runtime.Object `json:"json"`
}

func emit(out *bufio.Writer, serializer *protobuf.Serializer, variant string, object runtime.Object) {
	var encoded strings.Builder
	if err := serializer.Encode(object, &encoded); err != nil {
		log.Fatal(err)
	}
	kind := object.GetObjectKind().GroupVersionKind()
	line, err := json.Marshal(vector{
		Name:     fmt.Sprintf("%s %s %s", variant, kind.GroupVersion(), kind.Kind),
		Protobuf: base64.StdEncoding.EncodeToString([]byte(encoded.String())),
		JSON:     object,
	})
	if err != nil {
		log.Fatal(err)
	}
	out.Write(line)
	out.WriteByte('\n')
}

func create(path string) (*os.File, *bufio.Writer) {
	file, err := os.Create(path)
	if err != nil {
		log.Fatal(err)
	}
	return file, bufio.NewWriter(file)
}

func sorted[V any](m map[string]V) []string {
	var keys []string
	for key := range m {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}

func main() {
	messages := map[string]reflect.Type{}
	tables, out := create("messages.txt")
	fmt.Fprintln(out, "# Generated by main.go from k8s.io/api v0.36.0; see README.md for the format.")
	for _, apiVersion := range sorted(kinds) {
		for _, object := range kinds[apiVersion] {
			t := reflect.TypeOf(object).Elem()
			fmt.Fprintf(out, "kind %s %s %s\n", apiVersion, t.Name(), name(t))
			collect(t, messages)
		}
	}
	for _, key := range sorted(messages) {
		fmt.Fprintf(out, "message %s\n", key)
		for _, line := range describe(messages[key], messages) {
			fmt.Fprintln(out, line)
		}
	}
	out.Flush()
	tables.Close()

	vectors, out := create("vectors.jsonl")
	scheme := runtime.NewScheme()
	serializer := protobuf.NewSerializer(scheme, scheme)
	for _, apiVersion := range sorted(kinds) {
		groupVersion, _ := schema.ParseGroupVersion(apiVersion)
		for _, object := range kinds[apiVersion] {
			kind := groupVersion.WithKind(reflect.TypeOf(object).Elem().Name())
			for _, variant := range []string{"empty", "full"} {
				object := reflect.New(reflect.TypeOf(object).Elem()).Interface().(runtime.Object)
				if variant == "full" {
					counter = 0
					fill(reflect.ValueOf(object).Elem(), false)
				}
				object.GetObjectKind().SetGroupVersionKind(kind)
				emit(out, serializer, variant, object)
			}
		}
	}
	out.Flush()
	vectors.Close()
}
