#![no_main]
//! Any bytes are YAML or refused, and what is written of them reads the same again.

use kogge_machinery::yaml::{decode, to_text};
use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: {
        // The scanner's panics are caught where it is called; only those that are not caught count.
        let _ = std::panic::take_hook();
    },
    |bytes: &[u8]| {
        let Ok(decoded) = decode(bytes) else { return };
        let _ = decoded.strict_error();
        if let Ok(text) = to_text(&decoded.value) {
            let again = decode(text.as_bytes()).map(|again| again.value);
            assert_eq!(again.as_ref(), Ok(&decoded.value), "{text}");
        }
    }
);
