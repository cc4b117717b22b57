//! Bodies that are no documents, or of no type the server reads.

use super::super::case::Choice;
use super::{APPLY, JSON, MERGE, PATCH, PROTOBUF, Requests, STRATEGIC, YAML};

impl Requests<'_> {
    pub(super) fn truncated(&mut self, choice: Choice) {
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
    pub(super) fn damaged(&mut self, choice: Choice) {
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

    pub(super) fn no_objects(&mut self) {
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

    pub(super) fn content_types(&mut self) {
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
            self.with_header("accept", accept);
        }
    }

    /// Bodies that are encoded otherwise than they say, or than anybody reads.
    pub(super) fn encodings(&mut self) {
        let text = self.text();
        let zipped: &[u8] =
            &[31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 171, 86, 74, 84, 178, 50, 172, 5, 0, 175, 172, 27, 86, 7, 0, 0, 0];
        for encoding in ["gzip", "br", "identity", "deflate"] {
            for (what, body) in [
                ("plain text", text.as_bytes()),
                ("a zipped text", zipped),
                ("the beginning of a zipped text", &zipped[..zipped.len() / 2]),
                ("nothing", b""),
            ] {
                self.post(&format!("{what} with content-encoding {encoding}"), JSON, body);
                self.with_header("content-encoding", encoding);
            }
        }
        for charset in ["utf-8", "UTF-16", "latin1", "\"utf-8\"", ""] {
            self.post(&format!("with charset {charset}"), &format!("{JSON}; charset={charset}"), text.clone());
            self.put(&format!("with charset {charset}"), &format!("{YAML};charset={charset}"), text.clone());
        }
        let wide = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
        let marked = |mark: &[u8], rest: &[u8]| [mark, rest].concat();
        for (what, body) in [
            ("UTF-8 with a byte order mark", marked(b"\xef\xbb\xbf", text.as_bytes())),
            ("UTF-16 of little ends", marked(b"\xff\xfe", &wide(u16::to_le_bytes))),
            ("UTF-16 of big ends", marked(b"\xfe\xff", &wide(u16::to_be_bytes))),
            ("UTF-16 without a mark", wide(u16::to_le_bytes)),
            ("UTF-16 that ends too early", marked(b"\xff\xfe", &wide(u16::to_le_bytes)[1..])),
        ] {
            self.post(&format!("{what} as JSON"), JSON, body.clone());
            self.post(&format!("{what} as YAML"), YAML, body);
        }
        for (part, octets) in
            [&b"\xff"[..], b"\xc0\x80", b"\xe2\x28", b"\xe2", b"\xed\xa0\x80", b"\x7f", b"\x00", b"\xc2\x85"]
                .iter()
                .enumerate()
        {
            let body = [&b"metadata: {name: other, annotations: {a: \""[..], octets, b"\"}}"].concat();
            self.post(&format!("{part}: octets {octets:x?} in YAML"), YAML, body);
            let body = [&b"{\"metadata\":{\"name\":\"other\",\"annotations\":{\"a\":\""[..], octets, b"\"}}}"].concat();
            self.post(&format!("{part}: octets {octets:x?} in JSON"), JSON, body);
        }
    }

    pub(super) fn yaml(&mut self) {
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
            "a: |\n  x\n b: c",
            "a: >\n",
            "- a\n-b",
            "a:\n\t- b",
            "a: [b, c",
            "a: {b: c]",
            "a: b\nc",
            "key: *",
            "a: !<x b",
            "a: !!",
            "%TAG ! x\na: b",
            "<<: 5\na: b",
            "a: &a\n  b: *a",
            "a: 0x\nb: 0o7\nc: 1__0\nd: .5",
            "metadata: {name: other, labels: {a: no}}",
            "metadata: {name: other, labels: {a: 0x10}}",
            "metadata: {name: other, labels: {a: ~}}",
            "metadata: {name: other, annotations: {a: !!binary /w==}}",
            "metadata: {name: other, creationTimestamp: 2026-01-02}",
            "true: 1\n1.5: 2\n.inf: 3",
            "a: .nan",
            "...",
            "---",
            "# nothing",
            "a: 1 # \u{e9}\nb: \"\\q\"",
            "a: \"\\ud800\"",
            "\"a\": 1 \"b\": 2",
        ];
        for document in documents {
            self.post(&format!("YAML {document:?}"), YAML, document);
            self.put(&format!("YAML {document:?}"), YAML, document);
            self.patch(APPLY, document);
        }
    }

    pub(super) fn protobuf(&mut self, choice: Choice) {
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
}
