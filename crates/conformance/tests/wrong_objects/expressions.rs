//! Expressions of rules: each of `expressions.yaml` with each of its values.
//!
//! A definition for each type of values has a property for each expression, with a rule that is always broken and whose
//! message shows the result; where there is none, the rule's error says why. One object then has them all evaluated.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::case::Case;
use super::servers::Servers;

const GROUP: &str = "expressions.example.com";

/// Expressions about values of one type.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Battery {
    of: String,
    schema: Value,
    expressions: Vec<String>,
    values: Vec<Value>,
}

/// Defines the kinds, and waits until both servers serve them.
pub(crate) async fn prepare(servers: &Servers) {
    let batteries = batteries();
    for battery in &batteries {
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        servers.ask_until(&battery.case("defined", path.to_owned(), &battery.definition()), 201).await;
    }
    for battery in &batteries {
        servers.ask_until(&battery.case("served", battery.path(), &battery.object(None)), 201).await;
    }
}

/// A create for each value.
pub(crate) fn all() -> Vec<Case> {
    let cases = |battery: &Battery| {
        let case = |value: &Value| battery.case(&value.to_string(), battery.path(), &battery.object(Some(value)));
        battery.values.iter().map(case).collect::<Vec<_>>()
    };
    batteries().iter().flat_map(cases).collect()
}

fn batteries() -> Vec<Battery> {
    serde_saphyr::from_str(include_str!("expressions.yaml")).unwrap_or_else(|error| panic!("expressions.yaml: {error}"))
}

impl Battery {
    fn definition(&self) -> Value {
        let property = |(number, expression): (usize, &String)| {
            let shown = format!("'%s'.format([{expression}])");
            let mut schema = self.schema.clone();
            schema["x-kubernetes-validations"] =
                json!([{"rule": format!("{shown} == 'never'"), "messageExpression": shown}]);
            (format!("e{number:03}"), schema)
        };
        let properties: Map<String, Value> = self.expressions.iter().enumerate().map(property).collect();
        let (plural, kind) = (format!("{}s", self.of), format!("Of{}", self.of));
        json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.{GROUP}")},
            "spec": {
                "group": GROUP,
                "scope": "Namespaced",
                "names": {"plural": plural, "kind": kind, "listKind": format!("{kind}List")},
                "versions": [{
                    "name": "v1",
                    "served": true,
                    "storage": true,
                    "schema": {"openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": {"type": "object", "properties": properties}},
                    }},
                }],
            },
        })
    }

    fn object(&self, value: Option<&Value>) -> Value {
        let mut object = json!({
            "apiVersion": format!("{GROUP}/v1"),
            "kind": format!("Of{}", self.of),
            "metadata": {"name": "one"},
        });
        if let Some(value) = value {
            let names = (0..self.expressions.len()).map(|number| format!("e{number:03}"));
            object["spec"] = names.map(|name| (name, value.clone())).collect::<Map<_, _>>().into();
        }
        object
    }

    fn path(&self) -> String {
        format!("/apis/{GROUP}/v1/namespaces/default/{}s?dryRun=All", self.of)
    }

    fn case(&self, what: &str, path: String, body: &Value) -> Case {
        let headers = vec![("content-type", "application/json".to_owned())];
        let name = format!("expressions of {}: {what}", self.of);
        Case { name, method: "POST", path, headers, body: body.to_string().into_bytes(), ..Case::default() }
    }
}
