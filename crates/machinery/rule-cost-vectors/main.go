// Writes what rules may cost, as the reference implementation estimates it, into costs.json. See README.md.
package main

import (
	"bytes"
	"encoding/json"
	"log"
	"os"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/model"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/environment"
)

type rule struct {
	Expression string `json:"expression"`
	// What one evaluation may cost.
	Cost uint64 `json:"cost"`
}

type document struct {
	Schema json.RawMessage `json:"schema"`
	// How often a value of the schema can be in a request.
	MostInRequest uint64 `json:"mostInRequest"`
	Rules         []rule `json:"rules"`
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func main() {
	const file = "costs.json"
	var documents []document
	if err := json.Unmarshal(must(os.ReadFile(file)), &documents); err != nil {
		log.Fatal(err)
	}
	environments := environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion())
	for d := range documents {
		document := &documents[d]
		var external v1.JSONSchemaProps
		if err := json.Unmarshal(document.Schema, &external); err != nil {
			log.Fatal(err)
		}
		for _, rule := range document.Rules {
			external.XValidations = append(external.XValidations, v1.ValidationRule{Rule: rule.Expression})
		}
		var internal apiextensions.JSONSchemaProps
		if err := v1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(&external, &internal, nil); err != nil {
			log.Fatal(err)
		}
		structural := must(schema.NewStructural(&internal))
		declared := model.SchemaDeclType(structural, structural.XEmbeddedResource)
		results := must(cel.Compile(structural, declared, celconfig.PerCallLimit, environments, cel.NewExpressionsEnvLoader()))
		for i, result := range results {
			if result.Error != nil {
				log.Fatalf("%s: %s", document.Rules[i].Expression, result.Error.Detail)
			}
			document.Rules[i].Cost = result.MaxCost
			document.MostInRequest = result.MaxCardinality
		}
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(documents); err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
		log.Fatal(err)
	}
}
