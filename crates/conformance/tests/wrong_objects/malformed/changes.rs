//! Objects that are not those the path names, and patches that are none.

use serde_json::{Value, json};

use super::super::mutation::shortened;
use super::{APPLY, JSON, MERGE, PATCH, Requests, STRATEGIC};

/// Bodies that are patches of no kind, or change nothing.
const NO_PATCHES: &[&str] = &["", "null", "[]", "{}", "5", "\"x\"", "{"];

impl Requests<'_> {
    /// Objects that are not those the path names.
    pub(super) fn other_objects(&mut self) {
        let changes: &[(&str, Value)] = &[
            ("/apiVersion", json!("v9")),
            ("/apiVersion", json!("")),
            ("/apiVersion", json!("a/b/c")),
            ("/apiVersion", json!("apps/v1")),
            ("/kind", json!("Other")),
            ("/kind", json!("")),
            ("/kind", json!("configmap")),
            ("/kind", json!("Deployment")),
            ("/metadata/name", json!("another")),
            ("/metadata/name", json!("")),
            ("/metadata/name", json!("Bad_Name")),
            ("/metadata/name", json!(".")),
            ("/metadata/name", json!("a/b")),
            ("/metadata/name", json!("a%b")),
            ("/metadata/name", json!("a".repeat(254))),
            ("/metadata/namespace", json!("other")),
            ("/metadata/namespace", json!("Bad_Name")),
            ("/metadata/uid", json!("11111111-2222-3333-4444-555555555555")),
            ("/metadata/resourceVersion", json!("1")),
            ("/metadata/resourceVersion", json!("x")),
            ("/metadata/resourceVersion", json!("0")),
            ("/metadata/generateName", json!("Bad_")),
            ("/metadata/creationTimestamp", json!("2020-01-01T00:00:00Z")),
            ("/metadata/deletionTimestamp", json!("2020-01-01T00:00:00Z")),
            ("/metadata/deletionGracePeriodSeconds", json!(-1)),
            ("/metadata/generation", json!(-5)),
            ("/metadata/selfLink", json!("x")),
            ("/metadata/labels", json!({"a": "b c"})),
            ("/metadata/labels", json!({"a/b/c": "d"})),
            ("/metadata/labels", json!({"": "d"})),
            ("/metadata/annotations", json!({"a b": "c"})),
            ("/metadata/annotations", json!({"a": "x".repeat(300_000)})),
            ("/metadata/finalizers", json!(["a"])),
            ("/metadata/finalizers", json!(["a.b/c", "a.b/c"])),
            ("/metadata/finalizers", json!(["A B"])),
            ("/metadata/finalizers", json!(["orphan", "foregroundDeletion"])),
            ("/metadata/ownerReferences", json!([{}])),
            ("/metadata/ownerReferences", json!([{"apiVersion": "v1", "kind": "Event", "name": "a", "uid": "b"}])),
            ("/metadata/ownerReferences", json!([{"apiVersion": "a/b/c", "kind": "", "name": "", "uid": ""}])),
            (
                "/metadata/ownerReferences",
                json!([{"apiVersion": "v1", "kind": "A", "name": "a", "uid": "b", "controller": true}, {"apiVersion": "v1", "kind": "A", "name": "c", "uid": "d", "controller": true}]),
            ),
            ("/metadata/managedFields", json!([{}])),
            ("/metadata/managedFields", json!([{"operation": "Write"}])),
            (
                "/metadata/managedFields",
                json!([{"manager": "x".repeat(200), "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV2", "fieldsV1": {"f:a": {}}}]),
            ),
            (
                "/metadata/managedFields",
                json!([{"manager": "a", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"x": {}}}]),
            ),
        ];
        for (pointer, value) in changes {
            let mut object = self.seed.object.clone();
            let (parent, name) = pointer.rsplit_once('/').unwrap_or_default();
            if let Some(members) = object.pointer_mut(parent).and_then(Value::as_object_mut) {
                members.insert(name.to_owned(), value.clone());
            }
            let what = format!("with {pointer} = {}", shortened(&value.to_string(), 80));
            self.put(&what, JSON, object.to_string());
            let path = format!("{}?dryRun=All&fieldManager=wrong-objects&force=true", self.seed.path());
            self.add(&format!("apply {what}"), "PATCH", path, APPLY, object.to_string());
            if *pointer != "/metadata/name" {
                object["metadata"]["name"] = "other".into();
            }
            self.post(&what, JSON, object.to_string());
        }
    }

    pub(super) fn patches(&mut self) {
        for body in NO_PATCHES.iter().copied().chain([
            "[{\"op\":\"remove\"}]",
            "[{}]",
            "[5]",
            "[null]",
            r#"[{"op":"remove","path":"/nothing/there"}]"#,
            r#"[{"op":"remove","path":""}]"#,
            r#"[{"op":"remove","path":"metadata"}]"#,
            r#"[{"op":"add","path":"/metadata/labels"}]"#,
            r#"[{"op":"add","path":"/a/b","value":1}]"#,
            r#"[{"op":"jump","path":"/metadata"}]"#,
            r#"[{"op":"test","path":"/kind","value":"Other"}]"#,
            r#"[{"op":"test","path":"/nothing","value":1}]"#,
            r#"[{"op":"test","path":"/kind"}]"#,
            r#"[{"op":"copy","path":"/spec","from":"/nothing"}]"#,
            r#"[{"op":"move","path":"/a","from":"/metadata"}]"#,
            r#"[{"op":"copy","path":"/a"}]"#,
            r#"[{"op":"replace","path":"/metadata/name","value":"other"}]"#,
            r#"[{"op":"replace","path":"/kind","value":"Other"}]"#,
            r#"[{"op":"replace","path":"/metadata","value":null}]"#,
            r#"[{"op":"replace","path":"","value":{}}]"#,
            r#"[{"op":"replace","path":"","value":5}]"#,
            r#"[{"op":"add","path":"/metadata/finalizers/5","value":"a.b/c"}]"#,
            r#"[{"op":"add","path":"/metadata/finalizers/-","value":"a.b/c"}]"#,
            r#"[{"op":"add","path":"/metadata/finalizers/x","value":"a.b/c"}]"#,
            r#"[{"op":"remove","path":"/metadata/finalizers/-1"}]"#,
            r#"[{"op":"add","path":"/metadata/labels","value":5}]"#,
            r#"[{"op":"add","path":"/metadata/~2","value":5}]"#,
            r#"{"op":"add"}"#,
            r#"[{"op":5,"path":"/metadata"}]"#,
            r#"[{"op":"add","path":5,"value":1}]"#,
            r#"[{"op":"add","path":"/colour","value":1,"other":2}]"#,
            r#"[{"op":"add","path":"","value":{"a":1}}]"#,
            r#"[{"op":"add","path":"/","value":1}]"#,
            r#"[{"op":"add","path":"/-","value":1}]"#,
            r#"[{"op":"add","path":"/metadata//x","value":1}]"#,
            r#"[{"op":"add","path":"/metadata/labels/-","value":"x"}]"#,
            r#"[{"op":"add","path":"/metadata/labels/~1~0","value":"x"}]"#,
            r#"[{"op":"add","path":"/metadata/labels/~","value":"x"}]"#,
            r#"[{"op":"add","path":"/metadata/name/x","value":"x"}]"#,
            r#"[{"op":"add","path":"/metadata/finalizers/01","value":"a.b/d"}]"#,
            r#"[{"op":"add","path":"/metadata/finalizers/+0","value":"a.b/d"}]"#,
            r#"[{"op":"add","path":"/metadata/finalizers/-1","value":"a.b/d"}]"#,
            r#"[{"op":"add","path":"/metadata/finalizers/-9","value":"a.b/d"}]"#,
            r#"[{"op":"add","path":"/metadata/finalizers/1e0","value":"a.b/d"}]"#,
            r#"[{"op":"add","path":"/metadata/finalizers/99999999999999999999","value":"a.b/d"}]"#,
            r#"[{"op":"replace","path":"/metadata/finalizers/-","value":"a.b/d"}]"#,
            r#"[{"op":"replace","path":"/metadata/labels"}]"#,
            r#"[{"op":"replace","path":"/nothing/there","value":1}]"#,
            r#"[{"op":"remove","path":"/metadata/finalizers/-"}]"#,
            r#"[{"op":"remove","path":"/metadata/labels/none"}]"#,
            r#"[{"op":"test","path":"/nothing","value":null}]"#,
            r#"[{"op":"test","path":"","value":{}}]"#,
            r#"[{"op":"test","path":"/metadata/finalizers/7","value":null}]"#,
            r#"[{"op":"copy","from":"","path":"/colour"}]"#,
            r#"[{"op":"copy","from":"/metadata","path":""}]"#,
            r#"[{"op":"copy","from":"/metadata/finalizers/9","path":"/colour"}]"#,
            r#"[{"op":"move","from":"/metadata","path":"/metadata/labels/x"}]"#,
            r#"[{"op":"move","from":"/metadata/name","path":"/metadata/name"}]"#,
            r#"[{"op":"move","from":"","path":"/colour"}]"#,
            r#"[{"op":"move","from":"x","path":"/colour"}]"#,
            r#"[{"op":null,"path":"/metadata"}]"#,
            r#"[{"op":"add","path":null,"value":1}]"#,
            r#"[{"OP":"remove","path":"/metadata/labels"}]"#,
            r#"[{"op":"add","op":"remove","path":"/metadata/labels"}]"#,
            r#"[{"op":"add","path":"/metadata/labels","value":{"a":"b","a":"c"}}]"#,
            r#"[{"op":"Remove","path":"/metadata/labels"}]"#,
            r#"[{"op":"","path":""}]"#,
            r#"[[{"op":"remove","path":"/metadata/labels"}]]"#,
            r#"[{"op":"add","path":"/metadata/labels/x","value":5}]"#,
            r#"[{"op":"add","path":"/metadata/generation","value":1.5}]"#,
            r#"[{"op":"add","path":"/metadata/creationTimestamp","value":"x"}]"#,
        ]) {
            self.patch(PATCH, body);
        }
        let many = vec![json!({"op": "test", "path": "/kind", "value": "x"}); 10_001];
        let path = format!("{}?dryRun=All", self.seed.path());
        self.add("10001 operations", "PATCH", path, PATCH, Value::from(many).to_string());
        for content_type in [MERGE, STRATEGIC] {
            for body in NO_PATCHES.iter().copied().chain([
                "{\"a\":1,\"a\":2}",
                r#"{"metadata":null}"#,
                r#"{"metadata":[]}"#,
                r#"{"metadata":{"name":"other"}}"#,
                r#"{"metadata":{"name":null}}"#,
                r#"{"metadata":{"labels":5}}"#,
                r#"{"metadata":{"labels":{"a":5}}}"#,
                r#"{"kind":"Other"}"#,
                r#"{"kind":null}"#,
                r#"{"apiVersion":"v9"}"#,
                r#"{"apiVersion":null}"#,
                r#"{"spec":null}"#,
                r#"{"spec":5}"#,
                r#"{"data":5}"#,
                r#"{"data":null}"#,
                r#"{"colour":"blue"}"#,
                r#"{"metadata":{"uid":"x"}}"#,
                r#"{"metadata":{"resourceVersion":"1"}}"#,
                r#"{"metadata":{"resourceVersion":"x"}}"#,
                r#"{"metadata":{"$patch":"delete"}}"#,
                r#"{"$patch":"delete"}"#,
                r#"{"$patch":"replace"}"#,
                r#"{"$patch":"other"}"#,
                r#"{"$patch":5}"#,
                r#"{"metadata":{"finalizers":[{"$patch":"replace"}]}}"#,
                r#"{"metadata":{"$deleteFromPrimitiveList/finalizers":["a"]}}"#,
                r#"{"metadata":{"$deleteFromPrimitiveList/finalizers":5}}"#,
                r#"{"metadata":{"$setElementOrder/finalizers":["x"]}}"#,
                r#"{"metadata":{"$setElementOrder/finalizers":["x"],"finalizers":["y.z/a"]}}"#,
                r#"{"metadata":{"$retainKeys":["name"],"labels":{"a":"b"}}}"#,
                r#"{"metadata":{"$retainKeys":5}}"#,
                r#"{"metadata":{"ownerReferences":[{"$patch":"delete"}]}}"#,
                r#"{"metadata":{"ownerReferences":[{"uid":"x","$patch":"other"}]}}"#,
                r#"{"metadata":{"ownerReferences":[5]}}"#,
                r#"{"metadata":{"ownerReferences":{"a":1}}}"#,
                r#"{"spec":{"template":{"spec":{"containers":[{"image":"b"}]}}}}"#,
                r#"{"spec":{"template":{"spec":{"containers":[{"name":"a","$patch":"delete"}]}}}}"#,
                r#"{"spec":{"template":{"spec":{"containers":null}}}}"#,
                r#"{"spec":{"template":{"spec":{"$setElementOrder/containers":[{"name":"z"}],"containers":[{"name":"a","image":"b"}]}}}}"#,
                r#"{"spec":{"strategy":{"$retainKeys":["type"],"type":"Recreate"}}}"#,
                r#"{"spec":{"strategy":{"type":"Recreate"}}}"#,
                r#"{"spec":{"template":{"spec":{"containers":[{"name":"a","ports":[{"protocol":"UDP"}]}]}}}}"#,
            ]) {
                self.patch(content_type, body);
            }
        }
    }

    /// What strategic merge patches say beside values, and the same as a merge patch.
    pub(super) fn directives(&mut self) {
        for content_type in [MERGE, STRATEGIC] {
            for body in [
                r#"{"":1}"#,
                r#"{"metadata":{"labels":{"a":{"b":1}}}}"#,
                r#"{"metadata":{"labels":{"a":"b","a":"c"}}}"#,
                r#"{"metadata":{"labels":{"$patch":"merge","x":"y"}}}"#,
                r#"{"metadata":{"labels":{"$patch":"replace","x":"y"}}}"#,
                r#"{"metadata":{"labels":{"$patch":"delete","x":"y"}}}"#,
                r#"{"metadata":{"labels":{"$patch":null}}}"#,
                r#"{"metadata":{"labels":{"$patch":["replace"]}}}"#,
                r#"{"metadata":{"labels":[{"a":"b"}]}}"#,
                r#"{"metadata":{"finalizers":{"$patch":"delete"}}}"#,
                r#"{"metadata":{"finalizers":[["a"]]}}"#,
                r#"{"metadata":{"finalizers":[5]}}"#,
                r#"{"metadata":{"finalizers":[1.5,true]}}"#,
                r#"{"metadata":{"finalizers":["a.b/d",{}]}}"#,
                r#"{"metadata":{"finalizers":[]}}"#,
                r#"{"metadata":{"finalizers":"x"}}"#,
                r#"{"metadata":{"ownerReferences":[{"uid":null}]}}"#,
                r#"{"metadata":{"ownerReferences":[{"uid":"x"},{"uid":"x"}]}}"#,
                r#"{"metadata":{"ownerReferences":[{"name":"x"}]}}"#,
                r#"{"metadata":{"ownerReferences":[{"$patch":"replace"}]}}"#,
                r#"{"metadata":{"ownerReferences":[{"$patch":"merge"}]}}"#,
                r#"{"metadata":{"ownerReferences":[{"$patch":5}]}}"#,
                r#"{"metadata":{"ownerReferences":[{"$patch":"delete","uid":"x"}]}}"#,
                r#"{"metadata":{"$setElementOrder/ownerReferences":[{"uid":"x"}]}}"#,
                r#"{"metadata":{"$setElementOrder/ownerReferences":[5]}}"#,
                r#"{"metadata":{"$setElementOrder/finalizers":5}}"#,
                r#"{"metadata":{"$setElementOrder/finalizers":null}}"#,
                r#"{"metadata":{"$setElementOrder/finalizers":["a.b/d"],"finalizers":5}}"#,
                r#"{"metadata":{"$setElementOrder/finalizers":["a.b/d"],"finalizers":null}}"#,
                r#"{"metadata":{"$setElementOrder/":["x"]}}"#,
                r#"{"$setElementOrder/colour":[1],"colour":[1,2]}"#,
                r#"{"metadata":{"$deleteFromPrimitiveList/finalizers":[5]}}"#,
                r#"{"metadata":{"$deleteFromPrimitiveList/finalizers":null}}"#,
                r#"{"metadata":{"$deleteFromPrimitiveList/":["a"]}}"#,
                r#"{"metadata":{"$deleteFromPrimitiveList/labels":["a"]}}"#,
                r#"{"metadata":{"$deleteFromPrimitiveList/colour":["a"]}}"#,
                r#"{"metadata":{"$retainKeys":[5]}}"#,
                r#"{"metadata":{"$retainKeys":[],"labels":null}}"#,
                r#"{"metadata":{"$retainKeys":["name","labels"],"labels":{"$patch":"replace","x":"y"}}}"#,
                r#"{"$retainKeys":["metadata"]}"#,
                r#"{"$other":1}"#,
                r#"{"metadata":{"$other/labels":1}}"#,
                r#"{"spec":{"template":{"spec":{"containers":[{"$patch":"delete"}]}}}}"#,
                r#"{"spec":{"template":{"spec":{"containers":[{"name":"a","ports":[{"containerPort":"x"}]}]}}}}"#,
                r#"{"spec":{"template":{"spec":{"containers":[{"name":"a","ports":[{"containerPort":80.5}]}]}}}}"#,
                r#"{"spec":{"template":{"spec":{"containers":[{"name":"a","env":[{"name":"x","value":5}]}]}}}}"#,
                r#"{"spec":{"template":{"spec":{"containers":[{"name":"a","env":{"name":"x"}}]}}}}"#,
                r#"{"spec":{"template":{"spec":{"tolerations":[{"key":"a"},{"key":5}]}}}}"#,
                r#"{"spec":{"template":{"spec":{"nodeSelector":["a"]}}}}"#,
                r#"{"spec":{"template":{"spec":{"volumes":[{"name":"v","emptyDir":{"sizeLimit":"x"}}]}}}}"#,
                r#"{"spec":{"template":{"spec":{"volumes":[{"name":"v","emptyDir":{},"$retainKeys":["name"]}]}}}}"#,
                r#"{"spec":{"replicas":2147483648}}"#,
                r#"{"spec":{"replicas":1e3}}"#,
                r#"{"spec":{"replicas":-1}}"#,
                r#"{"spec":{"paused":1}}"#,
                r#"{"spec":{"template":{"metadata":{"creationTimestamp":5}}}}"#,
                r#"{"data":{"a":["b"]}}"#,
                r#"{"data":{"a":null,"z":true}}"#,
                r#"{"binaryData":{"c":"%"}}"#,
                r#"{"binaryData":{"c":[1,256,-1]}}"#,
                r#"{"binaryData":{"c":[1,"x"]}}"#,
                r#"{"immutable":"true"}"#,
            ] {
                self.patch(content_type, body);
            }
        }
    }

    pub(super) fn applies(&mut self) {
        let (text, path) = (self.seed.object.to_string(), self.seed.path());
        for (what, query) in [
            ("without a manager", "dryRun=All"),
            ("with an empty manager", "dryRun=All&fieldManager="),
            ("with a manager that cannot be printed", "dryRun=All&fieldManager=a%0Ab"),
            ("with force that is no boolean", "dryRun=All&fieldManager=a&force=x"),
            ("that conflicts", "dryRun=All&fieldManager=a"),
        ] {
            self.add(&format!("an apply {what}"), "PATCH", format!("{path}?{query}"), APPLY, text.clone());
        }
        let long = format!("{path}?dryRun=All&fieldManager={}", "x".repeat(129));
        self.add("an apply with a long manager", "PATCH", long, APPLY, text.clone());
        let missing = format!("{}/missing?dryRun=All&fieldManager=a", self.seed.at);
        self.add("an apply under another name", "PATCH", missing, APPLY, text);
        for body in [
            "",
            "{}",
            "null",
            "[]",
            "5",
            "{\"metadata\":{\"managedFields\":[{}]}}",
            "{\"metadata\":{\"managedFields\":[]}}",
        ] {
            self.patch(APPLY, body);
        }
        let path = format!("{path}?dryRun=All&fieldManager=wrong-objects&force=true");
        let inner = self.seed.object.to_string().trim_start_matches('{').to_owned();
        for (what, beginning) in [
            ("a field that is there twice", "\"kind\":\"Other\",".to_owned()),
            ("metadata that are there twice", "\"metadata\":{\"name\":\"x\"},".to_owned()),
            ("an unknown field", "\"colour\":\"blue\",".to_owned()),
            ("a deep field", format!("\"colour\":{}{},", "[".repeat(9000), "]".repeat(9000))),
            ("a status that is a text", "\"status\":\"x\",".to_owned()),
            ("a status with an unknown field", "\"status\":{\"colour\":1},".to_owned()),
            ("a wrong escape", "\"colour\":\"\\ud800\",".to_owned()),
        ] {
            for validation in ["", "&fieldValidation=Strict", "&fieldValidation=Ignore"] {
                let what = format!("an apply of {what}{validation}");
                let body = format!("{{{beginning}{inner}");
                self.add(&what, "PATCH", format!("{path}{validation}"), APPLY, body);
            }
        }
    }
}
