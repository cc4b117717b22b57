use std::path::Path;

use super::*;

fn checked_in(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("crds").join(format!("{name}.yaml"))
}

/// Writes the definitions when `KOGGE_UPDATE=1` is set, and compares otherwise.
#[test]
fn the_checked_in_definitions_are_those_of_the_types() {
    for crd in all() {
        let name = crd.metadata.name.clone().unwrap_or_default();
        let generated = serde_saphyr::to_string(&crd).expect("definitions are plain data");
        if std::env::var_os("KOGGE_UPDATE").is_some() {
            std::fs::write(checked_in(&name), &generated).expect("the folder exists");
        }
        let stored = std::fs::read_to_string(checked_in(&name)).unwrap_or_default();
        assert!(
            stored == generated,
            "crds/{name}.yaml differs from the types: run the tests of kogge-api with KOGGE_UPDATE=1"
        );
    }
}
