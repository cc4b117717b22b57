#![no_main]
//! Any JSON body is read or refused, as anything and as built-in kinds; a kind's form does not change when it is read again.

use kogge_machinery::typed_object::{
    EmptyContainers, TypedKind, canonicalize_metadata, check_syntax, object_problem, read_anything,
};
use libfuzzer_sys::fuzz_target;

const KINDS: [(&str, &str); 6] = [
    ("v1", "Pod"),
    ("v1", "Secret"),
    ("apps/v1", "Deployment"),
    ("batch/v1", "CronJob"),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
];

fuzz_target!(|input: (u8, &[u8])| {
    let (choice, body) = input;
    let read = read_anything(body);
    let _ = object_problem(body, "fuzz.Object");
    assert!(check_syntax(body).is_ok() || read.is_err());
    if let Ok(read) = read {
        // Of numbers only the value counts, so one reading of what was written must be the last.
        let again = read_anything(read.object.to_string().as_bytes()).map(|again| again.object);
        assert_eq!(again.as_ref(), Ok(&read.object));
        let mut metadata = read.object.clone();
        let _ = canonicalize_metadata(&mut metadata);
    }
    let (api_version, name) = KINDS[usize::from(choice) % KINDS.len()];
    let Some(kind) = TypedKind::of(api_version, name) else { return };
    let _ = kind.decode_sent(body).map(|sent| EmptyContainers::of(&sent.object));
    if let Ok(decoded) = kind.decode(body) {
        let text = kind.encode(&decoded.object);
        let again = kind.decode(text.as_bytes()).map(|again| again.object);
        assert_eq!(again.as_ref(), Ok(&decoded.object), "{text}");
        let mut stored = decoded.object.clone();
        kind.canonicalize_stored(&mut stored);
        let mut converted = decoded.object;
        let _ = kind.convert(&mut converted);
    }
});
