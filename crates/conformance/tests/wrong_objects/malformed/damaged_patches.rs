//! Patches whose text is damaged, or deeper than anything real.

use super::{APPLY, MERGE, PATCH, Requests, STRATEGIC};

impl Requests<'_> {
    pub(super) fn damaged_patches(&mut self) {
        let path = format!("{}?dryRun=All&fieldManager=wrong-objects", self.seed.path());
        for content_type in [MERGE, STRATEGIC, PATCH, APPLY] {
            let (before, after) = if content_type == PATCH {
                ("[{\"op\":\"add\",\"path\":\"/colour\",\"value\":", "}]")
            } else {
                ("{\"colour\":", "}")
            };
            let values: &[(&str, Vec<u8>)] = &[
                ("no UTF-8", b"\"\xff\"".to_vec()),
                ("half a surrogate pair", b"\"\\ud800\"".to_vec()),
                ("an unknown escape", b"\"\\x\"".to_vec()),
                ("a control character", b"\"\x01\"".to_vec()),
                ("a large number", b"99999999999999999999".to_vec()),
                ("a number that is too large", b"1e999".to_vec()),
                ("a number that begins with zero", b"01".to_vec()),
                ("a word", b"nul".to_vec()),
                ("9000 lists", format!("{}{}", "[".repeat(9_000), "]".repeat(9_000)).into_bytes()),
                ("9000 objects", format!("{}1{}", "{\"a\":".repeat(9_000), "}".repeat(9_000)).into_bytes()),
                ("10001 lists", format!("{}{}", "[".repeat(10_001), "]".repeat(10_001)).into_bytes()),
            ];
            for (what, value) in values {
                let body = [before.as_bytes(), value, after.as_bytes()].concat();
                self.add(&format!("{content_type} with {what}"), "PATCH", path.clone(), content_type, body);
            }
            let marked = [&b"\xef\xbb\xbf"[..], before.as_bytes(), b"1", after.as_bytes()].concat();
            self.add(&format!("{content_type} after a byte order mark"), "PATCH", path.clone(), content_type, marked);
            let twice = format!("{before}1{after}{before}1{after}");
            self.add(&format!("{content_type} twice"), "PATCH", path.clone(), content_type, twice);
            for encoding in ["gzip", "br"] {
                let body = format!("{before}1{after}");
                self.add(
                    &format!("{content_type} with content-encoding {encoding}"),
                    "PATCH",
                    path.clone(),
                    content_type,
                    body,
                );
                self.with_header("content-encoding", encoding);
            }
        }
        let nested: Vec<String> = (0..30)
            .map(|_| "{\"op\":\"copy\",\"from\":\"/metadata\",\"path\":\"/metadata/labels\"}".to_owned())
            .collect();
        self.add("copies into itself", "PATCH", path, PATCH, format!("[{}]", nested.join(",")));
    }
}
