//! Requests whose body, type, path or query is wrong, whatever object they are about.

use serde_json::{Value, json};

use super::case::{Case, Choice};
use super::seed::Seed;

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const PATCH: &str = "application/json-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// What the requests are made for: a kind that Go has a simple type for, one with a deep type, and a custom one.
const TARGETS: &[(&str, &str)] = &[
    ("/api/v1/namespaces/default/configmaps", "seed"),
    ("/apis/apps/v1/namespaces/default/deployments", "seed"),
    ("/apis/library.example.com/v1/namespaces/default/shelves", "seed"),
];

/// All of them for the targets, and the chosen ones of those with wrong metadata for the other seeds. All seeds have to be
/// stored.
pub(crate) fn all(seeds: &[Seed], choice: Choice) -> Vec<Case> {
    let (mut cases, mut others) = (Vec::new(), Vec::new());
    for seed in seeds.iter().filter(|seed| seed.stored) {
        if !TARGETS.iter().any(|(at, name)| seed.at == *at && seed.name() == *name) {
            Requests { seed, cases: &mut others }.other_objects();
            continue;
        }
        let mut requests = Requests { seed, cases: &mut cases };
        requests.truncated(choice);
        requests.damaged(choice);
        requests.no_objects();
        requests.content_types();
        requests.yaml();
        requests.protobuf(choice);
        requests.other_objects();
        requests.patches();
        requests.applies();
        requests.queries();
        requests.deletes();
        requests.reads();
    }
    others.sort_by_cached_key(|case| choice.number(&case.name));
    others.truncate(choice.count / 10);
    others.sort_by(|one, other| one.name.cmp(&other.name));
    cases.extend(others);
    cases
}

struct Requests<'a> {
    seed: &'a Seed,
    cases: &'a mut Vec<Case>,
}

impl Requests<'_> {
    fn add(&mut self, what: &str, method: &'static str, path: String, content_type: &str, body: impl Into<Vec<u8>>) {
        let name = format!("{}: {method} {what}", self.seed.title());
        let headers =
            if content_type.is_empty() { Vec::new() } else { vec![("content-type", content_type.to_owned())] };
        self.cases.push(Case { name, method, path, headers, body: body.into() });
    }

    /// A create of this body.
    fn post(&mut self, what: &str, content_type: &str, body: impl Into<Vec<u8>>) {
        self.add(what, "POST", format!("{}?dryRun=All", self.seed.at), content_type, body);
    }

    /// An update with this body.
    fn put(&mut self, what: &str, content_type: &str, body: impl Into<Vec<u8>>) {
        self.add(what, "PUT", format!("{}?dryRun=All", self.seed.path()), content_type, body);
    }

    fn patch(&mut self, content_type: &str, body: &str) {
        let path = if content_type == APPLY {
            format!("{}?dryRun=All&fieldManager=wrong-objects", self.seed.path())
        } else {
            format!("{}?dryRun=All", self.seed.path())
        };
        self.add(&format!("{content_type} {body}"), "PATCH", path, content_type, body);
    }

    /// A new object of the kind, as text.
    fn text(&self) -> String {
        let mut object = self.seed.object.clone();
        object["metadata"]["name"] = "other".into();
        object.to_string()
    }

    fn truncated(&mut self, choice: Choice) {
        let text = self.text();
        for part in 0..12 {
            let offset = choice.number(&format!("{} truncated {part}", self.seed.at)) % 7;
            let at = text.len() * part / 12 + usize::try_from(offset).unwrap_or_default();
            self.post(&format!("JSON that ends after {at} bytes"), JSON, &text.as_bytes()[..at]);
            self.put(&format!("JSON that ends after {at} bytes"), JSON, &text.as_bytes()[..at]);
            self.post(&format!("YAML that ends after {at} bytes"), YAML, &text.as_bytes()[..at]);
        }
    }

    /// One byte replaced by another.
    fn damaged(&mut self, choice: Choice) {
        let text = self.text();
        for part in 0..24_u64 {
            let number = choice.number(&format!("{} damaged {part}", self.seed.at));
            let at = usize::try_from(number % text.len() as u64).unwrap_or_default();
            let wrong =
                b"{}[],:\"\\ 0-.eE\x00\x01\n\tntf\xff\xc3'"[usize::try_from((number >> 32) % 24).unwrap_or_default()];
            let mut bytes = text.clone().into_bytes();
            bytes[at] = wrong;
            self.post(&format!("{part}: JSON with byte {wrong:#x} at {at}"), JSON, bytes.clone());
            self.put(&format!("{part}: JSON with byte {wrong:#x} at {at}"), JSON, bytes);
        }
    }

    fn no_objects(&mut self) {
        let text = self.text();
        let inner = text.trim_start_matches('{');
        let documents = [
            String::new(),
            " ".to_owned(),
            "null".to_owned(),
            "[]".to_owned(),
            "{}".to_owned(),
            "5".to_owned(),
            "\"text\"".to_owned(),
            "true".to_owned(),
            "{".to_owned(),
            "}".to_owned(),
            "nul".to_owned(),
            "[{}]".to_owned(),
            "{\"a\"}".to_owned(),
            "{\"a\":}".to_owned(),
            "{\"a\":1,}".to_owned(),
            "{a:1}".to_owned(),
            "{'a':1}".to_owned(),
            "{\"kind\":5}".to_owned(),
            "{\"apiVersion\":[]}".to_owned(),
            "{\"metadata\":[]}".to_owned(),
            "{\"metadata\":null}".to_owned(),
            "{\"metadata\":\"x\"}".to_owned(),
            "{\"metadata\":{\"name\":null}}".to_owned(),
            "{\"spec\":null}".to_owned(),
            "{\"spec\":[]}".to_owned(),
            "{\"metadata\":{\"labels\":{\"a\":1}}}".to_owned(),
            "{\"metadata\":{\"creationTimestamp\":\"yesterday\"}}".to_owned(),
            "{\"metadata\":{\"generation\":1e3}}".to_owned(),
            "{\"metadata\":{\"generation\":99999999999999999999}}".to_owned(),
            "{\"metadata\":{\"ownerReferences\":{}}}".to_owned(),
            "{\"a\":NaN}".to_owned(),
            "{\"a\":Infinity}".to_owned(),
            "{\"a\":01}".to_owned(),
            "{\"a\":-}".to_owned(),
            "{\"a\":1.}".to_owned(),
            "{\"a\":.5}".to_owned(),
            "{\"a\":1e}".to_owned(),
            "{\"a\":\"\\x\"}".to_owned(),
            "{\"a\":\"\\u12\"}".to_owned(),
            "{\"a\":\"\\ud800\"}".to_owned(),
            "{\"a\":\"\t\"}".to_owned(),
            "\u{feff}{}".to_owned(),
            "// {}\n{}".to_owned(),
            format!("{text} {text}"),
            format!("{text}}}"),
            format!("{text}\0"),
            format!("{{\"kind\":\"Other\",{inner}"),
            format!("{{\"metadata\":{{}},{inner}"),
            format!("{{\"Metadata\":{{}},{inner}"),
            format!("{{\"colour\":1,\"colour\":2,{inner}"),
            format!("{{\"\":1,{inner}"),
        ];
        for document in documents {
            let shown = document.replace(&text, "OBJECT").replace(inner, "OBJECT");
            self.post(&format!("{shown:?}"), JSON, document.clone());
            self.put(&format!("{shown:?}"), JSON, document);
        }
        for depth in [100, 9_000, 10_001, 300_000] {
            let deep =
                |open: &str, inner: &str, close: &str| format!("{}{inner}{}", open.repeat(depth), close.repeat(depth));
            self.post(&format!("{depth} lists"), JSON, deep("[", "", "]"));
            self.post(&format!("{depth} objects"), JSON, deep("{\"a\":", "1", "}"));
            self.post(
                &format!("{depth} lists in an unknown field"),
                JSON,
                format!("{{\"colour\":{},{inner}", deep("[", "", "]")),
            );
            self.post(&format!("{depth} beginnings"), JSON, "[".repeat(depth));
            self.post(&format!("{depth} lists of YAML"), YAML, deep("[", "", "]"));
        }
    }

    fn content_types(&mut self) {
        let text = self.text();
        let types = [
            "",
            "text/plain",
            "application/xml",
            "application/json; charset=utf-8",
            "application/json;;",
            "application",
            "/",
            "application/json, application/yaml",
            "APPLICATION/JSON",
            "application/*",
            "*/*",
            "application/cbor",
            "application/yaml",
            "application/x-yaml",
            MERGE,
            STRATEGIC,
            PATCH,
            APPLY,
            "application/json;as=Table",
            "application/json;stream=watch",
            "multipart/form-data; boundary=x",
        ];
        for content_type in types {
            self.post(&format!("of type {content_type:?}"), content_type, text.clone());
            self.put(&format!("of type {content_type:?}"), content_type, text.clone());
            let path = format!("{}?dryRun=All", self.seed.path());
            self.add(&format!("of type {content_type:?}"), "PATCH", path, content_type, "{}");
        }
        for accept in
            ["application/xml", "text/html", "application/json;as=Table;v=v2;g=meta.k8s.io", "x", "application/yaml"]
        {
            self.post(&format!("accepting {accept:?}"), JSON, text.clone());
            if let Some(case) = self.cases.last_mut() {
                case.headers.push(("accept", accept.to_owned()));
            }
        }
    }

    fn yaml(&mut self) {
        let documents = [
            "a: b: c",
            "\ta: b",
            "a: [",
            "a: {",
            "- a\nb: c",
            "a: &x 1\nb: *y",
            "a: 1\na: 2",
            "--- \na: 1\n---\nb: 2",
            "%YAML 9.9\n---\n{}",
            "a: !!binary x",
            "a: !other b",
            "metadata: {name: other, labels: {a: 1}}",
            "metadata: {name: yes}",
            "metadata: {name: 5}",
            "? [a]\n: b",
            "a: \"",
            "a: 'x",
            "metadata:\n  name: other\n  name: another",
            "metadata: {name: other, labels: {a: 1.50}}",
            "&a [*a]",
            "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]",
            "1: 2",
            "null: 1",
            "metadata: {name: 2026-01-02}",
            "@",
            "`",
        ];
        for document in documents {
            self.post(&format!("YAML {document:?}"), YAML, document);
            self.put(&format!("YAML {document:?}"), YAML, document);
            self.patch(APPLY, document);
        }
    }

    fn protobuf(&mut self, choice: Choice) {
        // The real server ends the connection where a custom resource comes as protobuf.
        if self.seed.at.contains("example.com") {
            return;
        }
        let mut bodies: Vec<(String, Vec<u8>)> = vec![
            ("nothing".to_owned(), Vec::new()),
            ("JSON".to_owned(), self.text().into_bytes()),
            ("half of the magic number".to_owned(), b"k8".to_vec()),
            ("only the magic number".to_owned(), b"k8s\0".to_vec()),
            ("another magic number".to_owned(), b"k8s\x01\x0a\x00".to_vec()),
            ("an empty envelope's type".to_owned(), b"k8s\0\x0a\x00".to_vec()),
            ("a length beyond the end".to_owned(), b"k8s\0\x0a\x7f\x0a".to_vec()),
            ("a field number 0".to_owned(), b"k8s\0\x02\x00".to_vec()),
            ("an unfinished number".to_owned(), b"k8s\0\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff".to_vec()),
            ("a group".to_owned(), b"k8s\0\x0b\x0c".to_vec()),
        ];
        for part in 0..8_u64 {
            let number = choice.number(&format!("protobuf {part}"));
            bodies.push((format!("{number:x}"), [&b"k8s\0"[..], &number.to_be_bytes()].concat()));
        }
        let (api_version, kind) = (self.seed.object["apiVersion"].as_str(), self.seed.object["kind"].as_str());
        if let (Some(api_version), Some(kind)) = (api_version, kind) {
            let field = |number: u8, bytes: &[u8]| {
                [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap_or_default()], bytes].concat()
            };
            let type_meta = field(1, &[field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat());
            for raw in [
                &b""[..],
                b"\x0a",
                b"\x0a\x05\x0a",
                b"\x0a\x03\x0a\x01a",
                b"\x0a\x03\x0a\x01\xff",
                b"\x08\x05",
                b"\xff\xff\xff",
            ] {
                let envelope = [&b"k8s\0"[..], &type_meta, &field(2, raw)].concat();
                bodies.push((format!("an envelope with {raw:?}"), envelope));
            }
        }
        for (what, body) in bodies {
            self.post(&format!("protobuf of {what}"), PROTOBUF, body);
        }
    }

    /// Objects that are not those the path names.
    fn other_objects(&mut self) {
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
            let what = format!("with {pointer} = {}", super::mutation::shortened(&value.to_string(), 80));
            self.put(&what, JSON, object.to_string());
            let path = format!("{}?dryRun=All&fieldManager=wrong-objects&force=true", self.seed.path());
            self.add(&format!("apply {what}"), "PATCH", path, APPLY, object.to_string());
            if *pointer != "/metadata/name" {
                object["metadata"]["name"] = "other".into();
            }
            self.post(&what, JSON, object.to_string());
        }
    }

    fn patches(&mut self) {
        for body in [
            "",
            "null",
            "[]",
            "{}",
            "5",
            "\"x\"",
            "{",
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
        ] {
            self.patch(PATCH, body);
        }
        let many = vec![json!({"op": "test", "path": "/kind", "value": "x"}); 10_001];
        let path = format!("{}?dryRun=All", self.seed.path());
        self.add("10001 operations", "PATCH", path, PATCH, Value::from(many).to_string());
        for content_type in [MERGE, STRATEGIC] {
            for body in [
                "",
                "null",
                "[]",
                "{}",
                "5",
                "\"x\"",
                "{",
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
            ] {
                self.patch(content_type, body);
            }
        }
    }

    fn applies(&mut self) {
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
    }

    fn queries(&mut self) {
        let (text, object) = (self.text(), self.seed.object.to_string());
        for query in [
            "dryRun=None",
            "dryRun=",
            "dryRun=All&dryRun=All",
            "dryRun=All&dryRun=x",
            "dryRun=All&fieldValidation=strict",
            "dryRun=All&fieldValidation=",
            "dryRun=All&fieldManager=a%00",
            "dryRun=All&force=true",
            "dryRun=All&pretty=maybe",
            "dryRun=All&timeout=x",
            "dryRun=All&timeout=-1s",
            "dryRun=All&colour=blue",
            "dryRun=all",
        ] {
            // Refused everywhere, or without an effect: the name is taken.
            let method_paths = [("POST", self.seed.at.clone(), &object), ("PUT", self.seed.path(), &text)];
            for (method, path, body) in method_paths {
                self.add(&format!("with {query}"), method, format!("{path}?{query}"), JSON, body.clone());
            }
            let path = format!("{}?{query}", self.seed.path());
            self.add(&format!("with {query}"), "PATCH", path, MERGE, "{\"metadata\":{\"resourceVersion\":\"1\"}}");
        }
        let path = self.seed.path();
        for (method, path) in [
            ("POST", path.clone()),
            ("PUT", self.seed.at.clone()),
            ("PATCH", self.seed.at.clone()),
            ("PUT", format!("{path}/status/x")),
            ("PUT", format!("{path}/colour")),
            ("POST", format!("{path}/status")),
            ("PUT", format!("{}/missing", self.seed.at)),
            ("PATCH", format!("{}/missing", self.seed.at)),
            ("DELETE", format!("{}/missing", self.seed.at)),
            ("POST", self.seed.at.replace("default", "missing")),
            ("PUT", path.replace("default", "missing")),
            ("OPTIONS", path.clone()),
            ("HEAD", path.clone()),
            ("TRACE", path.clone()),
            ("POST", self.seed.at.replace("/v1/", "/v9/")),
            ("POST", format!("{}/", self.seed.at)),
            ("PUT", format!("{path}/")),
            ("POST", self.seed.at.replace("default", "Bad_Name")),
            ("PUT", format!("{}/Bad_Name", self.seed.at)),
            ("PUT", format!("{}/a%2Fb", self.seed.at)),
            ("PUT", format!("{}/%zz", self.seed.at)),
        ] {
            if path.contains("%zz") {
                continue;
            }
            let content_type = if method == "PATCH" { MERGE } else { JSON };
            let body =
                if ["HEAD", "OPTIONS", "TRACE", "DELETE"].contains(&method) { String::new() } else { self.text() };
            self.add(&format!("at {path}"), method, format!("{path}?dryRun=All"), content_type, body);
        }
    }

    /// Options in the body are the only ones there are, so the dry run is said there.
    fn deletes(&mut self) {
        for body in [
            "[]",
            "5",
            "{",
            "\"x\"",
            r#"{"kind":"Other","dryRun":["All"]}"#,
            r#"{"kind":"DeleteOptions","dryRun":["All"]}"#,
            r#"{"kind":"DeleteOptions","apiVersion":"v1","dryRun":["All"],"colour":1}"#,
            r#"{"apiVersion":"a/b/c","kind":"DeleteOptions","dryRun":["All"]}"#,
            r#"{"dryRun":["All"],"gracePeriodSeconds":-5}"#,
            r#"{"dryRun":["All"],"gracePeriodSeconds":"x"}"#,
            r#"{"dryRun":["All"],"propagationPolicy":"Later"}"#,
            r#"{"dryRun":["All"],"propagationPolicy":"Orphan","orphanDependents":true}"#,
            r#"{"dryRun":["All"],"preconditions":{"uid":"x"}}"#,
            r#"{"dryRun":["All"],"preconditions":{"resourceVersion":"1"}}"#,
            r#"{"dryRun":["All"],"preconditions":5}"#,
            r#"{"dryRun":["x"]}"#,
            r#"{"dryRun":"All"}"#,
            r#"{"dryRun":["All","All"]}"#,
            r#"{"dryRun":["All"],"orphanDependents":"x"}"#,
            r#"{"dryRun":["All"],"ignoreStoreReadErrorWithClusterBreakingPotential":true}"#,
        ] {
            self.add(&format!("of {body}"), "DELETE", format!("{}?dryRun=All", self.seed.path()), JSON, body);
        }
        for query in [
            "gracePeriodSeconds=x",
            "propagationPolicy=x",
            "orphanDependents=x",
            "dryRun=x",
            "gracePeriodSeconds=-1&dryRun=All",
            "fieldSelector=x",
        ] {
            self.add(&format!("with {query}"), "DELETE", format!("{}?dryRun=All&{query}", self.seed.path()), "", "");
            self.add(
                &format!("of all with {query}"),
                "DELETE",
                format!("{}?dryRun=All&{query}&labelSelector=no%3Done", self.seed.at),
                "",
                "",
            );
        }
    }

    fn reads(&mut self) {
        for query in [
            "labelSelector=a%20b",
            "labelSelector=%3D",
            "labelSelector=a+in+b",
            "labelSelector=a+in+()",
            "labelSelector=a+notin+(b",
            "labelSelector=!a,",
            "labelSelector=a%3Db%20c",
            "labelSelector=a/b/c",
            "labelSelector=a%3E1",
            "labelSelector=a%3Ex",
            "labelSelector=A_%3DB&limit=1",
            "fieldSelector=x",
            "fieldSelector=spec.colour%3Da",
            "fieldSelector=metadata.name",
            "fieldSelector=metadata.name%3D%5C",
            "limit=x",
            "limit=-1",
            "continue=x",
            "continue=eyJ2Ijoibm8ifQ&limit=1",
            "resourceVersion=x",
            "resourceVersion=-1",
            "resourceVersionMatch=Exact",
            "resourceVersionMatch=x",
            "resourceVersionMatch=Exact&resourceVersion=0",
            "resourceVersionMatch=NotOlderThan",
            "watch=x",
            "timeoutSeconds=x",
            "allowWatchBookmarks=x",
            "watch=true&resourceVersion=x",
            "watch=true&resourceVersionMatch=Exact",
            "sendInitialEvents=true",
            "sendInitialEvents=true&watch=true",
            "watch=true&sendInitialEvents=x",
            "watch=true&limit=x",
            "watch=true&continue=x&limit=1",
            "watch=true&labelSelector=a%20b",
        ] {
            let path = format!("{}?{query}&timeoutSeconds=1", self.seed.at);
            self.add(&format!("with {query}"), "GET", path, "", "");
        }
        for query in ["resourceVersion=x", "pretty=x", "resourceVersion=-1", "resourceVersion=99999999999999999999"] {
            self.add(&format!("one with {query}"), "GET", format!("{}?{query}", self.seed.path()), "", "");
        }
    }
}
