//! Values of ClusterClass variables for one template.

use serde_json::{Map, Value, json};

use crate::object::Object;

/// Variables as patches see them: names to values, with `builtin` among them.
pub type Variables = Map<String, Value>;

/// The cluster-wide values: the class's defaults, overlaid with `spec.topology.variables`.
pub fn cluster_variables(class: &Object, cluster: &Object) -> Variables {
    let mut variables = Variables::new();
    for definition in class.list("/spec/variables") {
        if let (Some(name), Some(default)) =
            (definition["name"].as_str(), definition.pointer("/schema/openAPIV3Schema/default"))
        {
            variables.insert(name.to_owned(), default.clone());
        }
    }
    overlay(&mut variables, cluster.list("/spec/topology/variables"));
    variables.insert(
        "builtin".to_owned(),
        json!({"cluster": {
            "name": cluster.name(), "namespace": cluster.namespace(), "uid": cluster.uid(),
            "topology": {"version": cluster.text("/spec/topology/version"), "class": cluster.text("/spec/topology/classRef/name")},
            "network": {
                "pods": cluster.at("/spec/clusterNetwork/pods/cidrBlocks"),
                "services": cluster.at("/spec/clusterNetwork/services/cidrBlocks"),
                "serviceDomain": cluster.at("/spec/clusterNetwork/serviceDomain"),
            },
        }}),
    );
    variables
}

/// The values for one part of the topology (`controlPlane` or a machine deployment): its overrides and builtins on top.
pub fn part_variables(base: &Variables, part: &Value, builtin_name: &str, builtin: Value) -> Variables {
    let mut variables = base.clone();
    let overrides = part.pointer("/variables/overrides").and_then(Value::as_array);
    overlay(&mut variables, overrides.map_or(&[], Vec::as_slice));
    variables["builtin"][builtin_name] = builtin;
    variables
}

fn overlay(variables: &mut Variables, values: &[Value]) {
    for entry in values {
        if let Some(name) = entry["name"].as_str() {
            variables.insert(name.to_owned(), entry["value"].clone());
        }
    }
}

/// The value at a dotted path such as `workerFlavor`, `image.name` or `builtin.cluster.name`; list items as `list[0]`.
pub fn lookup<'a>(variables: &'a Variables, path: &str) -> Option<&'a Value> {
    let mut current: Option<&Value> = None;
    for segment in path.split('.') {
        let (name, indices) = segment.split_once('[').map_or((segment, ""), |(name, rest)| (name, rest));
        current = match current {
            None => variables.get(name),
            Some(value) => value.get(name),
        };
        for index in indices.split(['[', ']']).filter(|it| !it.is_empty()) {
            current = current?.get(index.parse::<usize>().ok()?);
        }
        current?;
    }
    current
}
