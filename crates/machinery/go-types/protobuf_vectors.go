package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log"
	"reflect"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/util/intstr"
)

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
	case *apiextensionsv1.JSON:
		p.Raw = []byte(`{"a":[1]}`)
		return
	case *apiextensionsv1.JSONSchemaPropsOrBool:
		p.Allows = true
		p.Schema = &apiextensionsv1.JSONSchemaProps{Type: "string"}
		return
	case *apiextensionsv1.JSONSchemaPropsOrArray:
		p.JSONSchemas = []apiextensionsv1.JSONSchemaProps{{Type: "string"}, {Type: "object"}}
		return
	case *apiextensionsv1.JSONSchemaPropsOrStringArray:
		p.Property = []string{"a", "b"}
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
	case *apiextensionsv1.JSONSchemaProps:
		if inTemplate {
			p.Type = "string"
			return
		}
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
	case reflect.Float64:
		v.SetFloat(float64(counter) / 2)
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
				fill(v.Field(i), inTemplate || v.Type().Name() == "PodTemplateSpec" || v.Type().Name() == "JSONSchemaProps")
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

func writeProtobufVectors() {
	vectors, out := create("protobuf-vectors.jsonl")
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
