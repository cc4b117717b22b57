//! Holds the boundaries between the crates, as CONTRIBUTING.md describes them.
//!
//! A boundary that only people remember is gone after the third hurried change; this one fails the build.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// What each crate may use of ours. Development dependencies are free.
const MAY_USE: &[(&str, &[&str])] = &[
    ("kogge-api", &[]),
    ("kogge-machinery", &[]),
    ("kogge-apiserver", &["kogge-machinery"]),
    ("kogge-conformance", &["kogge-api"]),
    ("kogge-stacks", &["kogge-api"]),
    ("kogge-operator", &["kogge-api", "kogge-stacks"]),
    ("kogge-simulator", &["kogge-apiserver"]),
    ("kogge-portal", &["kogge-api", "kogge-stacks"]),
];

/// Crates that do no I/O and read no clock: nothing that could do so may be a dependency.
const PURE: &[&str] = &["kogge-api", "kogge-machinery", "kogge-stacks"];
const IMPURE_DEPENDENCIES: &[&str] = &["tokio", "reqwest", "axum", "hyper", "redb", "rand", "uuid", "tempfile"];

fn metadata() -> Metadata {
    MetadataCommand::new().no_deps().exec().expect("cargo metadata answers")
}

fn normal_dependencies(package: &Package) -> BTreeSet<String> {
    package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind == DependencyKind::Normal)
        .map(|dependency| dependency.name.clone())
        .collect()
}

#[test]
fn crates_use_only_what_the_house_allows() {
    let metadata = metadata();
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    for package in &metadata.packages {
        let Some(may_use) = allowed.get(package.name.as_str()) else { continue };
        for used in normal_dependencies(package).iter().filter(|name| name.starts_with("kogge")) {
            assert!(may_use.contains(&used.as_str()), "{} must not use {used}", package.name);
        }
    }
}

#[test]
fn every_library_crate_is_listed_here() {
    let known: BTreeSet<&str> = MAY_USE.iter().map(|(name, _)| *name).collect();
    for package in &metadata().packages {
        let is_library = package.targets.iter().any(cargo_metadata::Target::is_lib);
        // The binary's own library and the tests' may use everything.
        if is_library && !["kogge", "kogge-testkit"].contains(&package.name.as_str()) {
            assert!(known.contains(package.name.as_str()), "{} has no row in MAY_USE", package.name);
        }
    }
}

#[test]
fn pure_crates_have_no_dependency_that_does_io() {
    for package in &metadata().packages {
        if !PURE.contains(&package.name.as_str()) {
            continue;
        }
        let dependencies = normal_dependencies(package);
        for impure in IMPURE_DEPENDENCIES {
            assert!(!dependencies.contains(*impure), "{} is pure and must not use {impure}", package.name);
        }
    }
}

#[test]
fn only_binaries_use_anyhow_and_choose_a_kubernetes_version() {
    for package in &metadata().packages {
        if !MAY_USE.iter().any(|(name, _)| *name == package.name.as_str()) {
            continue;
        }
        for dependency in package.dependencies.iter().filter(|found| found.kind == DependencyKind::Normal) {
            assert_ne!(dependency.name, "anyhow", "{} is a library", package.name);
            if dependency.name == "k8s-openapi" {
                let chosen = dependency.features.iter().find(|feature| feature.starts_with("v1_"));
                assert_eq!(chosen, None, "{} chooses a Kubernetes version", package.name);
            }
        }
    }
}

#[test]
fn source_files_of_pure_crates_read_no_clock_and_no_environment() {
    let root = metadata().workspace_root;
    for name in PURE {
        let source = root.join("crates").join(name.trim_start_matches("kogge-")).join("src");
        for file in rust_files(source.as_std_path()) {
            let text = std::fs::read_to_string(&file).expect("source files are readable");
            for forbidden in
                ["SystemTime::now", "Instant::now", "Timestamp::now", "Zoned::now", "std::env::", "std::fs::"]
            {
                // Tests below a `#[cfg(test)]` line may do what they like.
                let code = text.split("#[cfg(test)]").next().unwrap_or_default();
                assert!(!code.contains(forbidden), "{} uses {forbidden}; pass it in as an argument", file.display());
            }
        }
    }
}

fn rust_files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("source folders are readable").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}
