#![no_main]
//! Any path parses; any Accept and Content-Type header is answered.

use kogge_machinery::{negotiation, request_path};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (String, String, Option<String>, bool, bool)| {
    let (path, header, query, patch, custom) = input;
    let _ = request_path::parse(&path);
    let _ = negotiation::negotiate_answer(Some(&header), query.as_deref(), Some(&path));
    let _ = negotiation::body_encoding(Some(&header), patch, custom);
});
