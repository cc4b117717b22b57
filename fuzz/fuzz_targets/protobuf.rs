#![no_main]
//! Any body decodes or is refused, with or without its envelope.

use kogge_machinery::protobuf::decode;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let _ = decode(body, ("v1", "Pod"));
    let pod = [b"k8s\0\x0a\x09\x0a\x02v1\x12\x03Pod\x12", &[u8::try_from(body.len().min(127)).unwrap_or(0)][..], body]
        .concat();
    let _ = decode(&pod, ("", ""));
});
