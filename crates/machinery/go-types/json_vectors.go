package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log"
	"math/rand"
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	kjson "sigs.k8s.io/json"
)

// Bodies written for each kind.
const bodies = 12

// One body and what the real server makes of it.
type jsonVector struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Input      string   `json:"input"`
	Output     string   `json:"output,omitempty"`
	Error      string   `json:"error,omitempty"`
	Strict     []string `json:"strict,omitempty"`
}

// Writes bodies of a type: mostly right, now and then not.
type sampler struct {
	*rand.Rand
	// In thousandths: how often a value is wrong.
	wrong int
}

func (s *sampler) pick(texts ...string) string { return texts[s.Intn(len(texts))] }

func (s *sampler) happens(thousandths int) bool { return s.Intn(1000) < thousandths }

func (s *sampler) value(t reflect.Type, depth int) string {
	if s.happens(s.wrong) {
		return s.pick(`5`, `-1.5`, `"text"`, `true`, `[]`, `["x"]`, `{}`, `{"a":1}`, `3000000000`, `1e3`)
	}
	if s.happens(60) {
		return "null"
	}
	if t.Kind() == reflect.Pointer {
		return s.value(t.Elem(), depth)
	}
	bad := s.happens(s.wrong)
	switch special[t] {
	case "time":
		if bad {
			return s.pick(`"yesterday"`, `"2026-13-01T00:00:00Z"`, `"2026-02-30T00:00:00Z"`, `"2026-01-01"`, `""`, `"2026-01-01T00:00:00Zx"`, `"2026-01-01T25:00:00Z"`, `"2026-01-01T00:00:00+2:00"`, `"2026-01-01 00:00:00Z"`)
		}
		return s.pick(`"2026-01-02T03:04:05Z"`, `"2026-01-02T03:04:05.678Z"`, `"2026-01-02T03:04:05+02:00"`, `"0001-01-01T00:00:00Z"`, `"2026-01-02T3:04:05Z"`)
	case "microtime":
		if bad {
			return s.pick(`"2026-01-01T00:00:00Z"`, `"2026-01-01T00:00:00.5Z"`, `"yesterday"`, `"2026-01-01T00:00:00.1234567Z"`, `"2026-01-01T00:00:00.12345xZ"`)
		}
		return s.pick(`"2026-01-02T03:04:05.000000Z"`, `"2026-01-02T03:04:05.123456Z"`, `"2026-01-02T03:04:05.123456-07:30"`, `"2026-01-02T03:04:05,123456Z"`)
	case "json":
		return s.pick(`{}`, `{"a":[1,{"b":"c"}]}`, `"text"`, `[1,2]`, `5`)
	case "quantity":
		if bad {
			return s.pick(`"many"`, `"1Zi"`, `"1.2.3"`, `""`, `"1 Gi"`, `{}`, `true`, `"1e"`, `"."`, `"-"`)
		}
		return s.pick(`"1"`, `2`, `0.5`, `"0.5"`, `"100m"`, `"1000m"`, `"1024Mi"`, `"1.5Gi"`, `"1e3"`, `"12E2"`, `"-3"`, `"+4"`, `"007"`, `"0"`, `"0.0"`, `"1.234"`, `"1n"`, `"1500Ki"`, `" 2Gi "`, `"0.1Ki"`, `1000`, `"3000k"`, `"1e-3"`, `"8Ki"`, `"9Ki"`, `"12345678901234567890"`)
	case "intorstring":
		if bad {
			return s.pick(`1.5`, `true`, `[]`, `{}`, `3000000000`)
		}
		return s.pick(`5`, `"50%"`, `"http"`, `0`, `""`)
	case "schemaorbool":
		return s.pick(`true`, `false`, `{"type":"string"}`, `{}`)
	case "schemaorarray":
		return s.pick(`{"type":"string"}`, `[{"type":"string"}]`)
	case "schemaorstrings":
		return s.pick(`["a","b"]`, `{"type":"string"}`)
	}
	switch t.Kind() {
	case reflect.String:
		return s.pick(`"a"`, `"b-c"`, `""`, `"\u00e9\n<"`, `"Always"`)
	case reflect.Bool:
		return s.pick(`true`, `false`)
	case reflect.Int32, reflect.Int64:
		if bad {
			return s.pick(`1.0`, `1e2`, `"1"`, `99999999999999999999`)
		}
		return s.pick(`0`, `1`, `-7`, `2147483647`)
	case reflect.Float64:
		return s.pick(`0`, `1.5`, `-2`)
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			if bad {
				return s.pick(`"***"`, `"YQ"`, `"YQ="`, `"YQ==="`, `"Y"`, `"YWJj*"`, `"=YQ="`, `"YQ=a"`)
			}
			return s.pick(`"YQ=="`, `""`, `"YWJj"`, `"YW\nJj"`, `"YR=="`)
		}
		var items []string
		for range s.Intn(3) {
			items = append(items, s.value(t.Elem(), depth+1))
		}
		return "[" + strings.Join(items, ",") + "]"
	case reflect.Map:
		var entries []string
		for _, key := range []string{"k", "example.com/l"}[:s.Intn(3)] {
			entries = append(entries, fmt.Sprintf("%q:%s", key, s.value(t.Elem(), depth+1)))
			if s.happens(s.wrong) {
				entries = append(entries, fmt.Sprintf("%q:%s", key, s.value(t.Elem(), depth+1)))
			}
		}
		return "{" + strings.Join(entries, ",") + "}"
	case reflect.Struct:
		return "{" + strings.Join(s.members(t, depth), ",") + "}"
	}
	log.Fatalf("no sample of %v", t)
	return ""
}

func (s *sampler) members(t reflect.Type, depth int) []string {
	var names []string
	types := map[string]reflect.Type{}
	var collect func(reflect.Type)
	collect = func(t reflect.Type) {
		for i := range t.NumField() {
			field := t.Field(i)
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if name == "" && field.Type.Name() != "TypeMeta" {
				collect(field.Type)
			} else if name != "" && name != "-" {
				names = append(names, name)
				types[name] = field.Type
			}
		}
	}
	collect(t)
	s.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	wanted := 5 - depth/2
	if depth < 2 {
		wanted = len(names)
	}
	if depth > 7 {
		wanted = 0
	}
	var members []string
	for _, name := range names[:min(wanted, len(names))] {
		members = append(members, fmt.Sprintf("%q:%s", name, s.value(types[name], depth+1)))
		if s.happens(s.wrong) {
			members = append(members, fmt.Sprintf("%q:%s", name, s.value(types[name], depth+1)))
		}
		if s.happens(s.wrong) {
			members = append(members, s.pick(`"unknown":{"a":1}`, `"Metadata":5`, `"x y":null`))
		}
	}
	return members
}

// What is stored and answered: kinds stored as protobuf lose the difference between empty and absent.
func encoded(object any) string {
	type message interface {
		Marshal() ([]byte, error)
		Unmarshal([]byte) error
	}
	if m, ok := object.(message); ok && !strings.Contains(reflect.TypeOf(object).Elem().PkgPath(), "apiextensions") &&
		!strings.Contains(reflect.TypeOf(object).Elem().PkgPath(), "apiregistration") {
		wire, err := m.Marshal()
		if err != nil {
			log.Fatal(err)
		}
		stored := reflect.New(reflect.TypeOf(object).Elem()).Interface()
		if err := stored.(message).Unmarshal(wire); err != nil {
			log.Fatal(err)
		}
		object = stored
	}
	var out bytes.Buffer
	if err := json.NewEncoder(&out).Encode(object); err != nil {
		log.Fatal(err)
	}
	return strings.TrimSuffix(out.String(), "\n")
}

func vectorOf(apiVersion string, object runtime.Object, input string) jsonVector {
	decoded := reflect.New(reflect.TypeOf(object).Elem()).Interface()
	vector := jsonVector{APIVersion: apiVersion, Kind: reflect.TypeOf(object).Elem().Name(), Input: input}
	strict, err := kjson.UnmarshalStrict([]byte(input), decoded)
	if err != nil {
		vector.Error = err.Error()
		return vector
	}
	for _, finding := range strict {
		vector.Strict = append(vector.Strict, finding.Error())
	}
	vector.Output = encoded(decoded)
	return vector
}

func writeJSONVectors() {
	file, out := create("json-vectors.jsonl")
	write := func(vector jsonVector) {
		line, err := json.Marshal(vector)
		if err != nil {
			log.Fatal(err)
		}
		out.Write(line)
		out.WriteByte('\n')
	}
	for _, apiVersion := range sorted(kinds) {
		for _, object := range kinds[apiVersion] {
			random := rand.New(rand.NewSource(1))
			for body := range bodies {
				s := sampler{Rand: random, wrong: []int{0, 4, 0, 15}[body%4]}
				t := reflect.TypeOf(object).Elem()
				write(vectorOf(apiVersion, object, "{"+strings.Join(s.members(t, 1), ",")+"}"))
			}
		}
	}
	configMap := kinds["v1"][1]
	for _, input := range []string{
		``, ` `, `{`, `nonsense`, `[]`, `"text"`, `null`, `5`, `true`, `{} {}`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{a:1}`,
		`[1,]`, `[1 2]`, `{"a" 1}`, `{"a":1 "b":2}`, `{"a":tru}`, `{"a":nulL}`, `{"a":01}`, `{"a":-}`, `{"a":1.}`, `{"a":1e}`,
		`{"a":1.5.1}`, "{\"a\":\"\x01\"}", `{"a":"\x"}`, `{"a":"\u12g4"}`, `{"a":'b'}`, `{"a":"\ud800"}`,
		`{"data":{"k":"\ud83d\ude00\ud800x"}}`, `{"a":[}`, `{"metadata":{"name":"a"},"metadata":{"labels":{"x":"y"}}}`,
		`{"metadata":{"labels":{"a":"1","a":"2"}},"data":{"x":"1"},"data":{"y":"2"}}`, `{"metadata":5,"data":5}`,
		`{"data":5,"metadata":5}`, `{"binaryData":{"k":"*"},"data":5}`, `{"data":5,"metadata":{"creationTimestamp":"x"}}`,
		`{"metadata":{"creationTimestamp":5}}`, `{"metadata":{"creationTimestamp":{}}}`, `{"metadata":{"ownerReferences":[{"uid":5}]}}`,
		`{"binaryData":{"a":[1,255],"b":[256,"x"]}}`, `{"Data":{"a":"b"},"DATA":5}`,
	} {
		write(vectorOf("v1", configMap, input))
	}
	out.Flush()
	file.Close()
}
