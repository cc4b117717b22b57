//! The pages under `docs/` that are made from the types: every field of a description and of a profile, every code.
//! Accept a wanted change with `KOGGE_UPDATE=1`.

use std::fmt::Write as _;
use std::path::Path;

use kogge_api::problem::{CATALOGUE, Severity};
use kogge_api::{crd, provider_profile};
use serde_json::Value;

#[path = "documentation/change.rs"]
mod change;
#[path = "documentation/fields.rs"]
mod fields;

use change::Change;
use fields::{Field, fields_of};

fn check(name: &str, generated: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    if std::env::var_os("KOGGE_UPDATE").is_some() {
        std::fs::write(&file, generated).unwrap();
    }
    let stored = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(stored == generated, "docs/{name} is out of date: run this test with KOGGE_UPDATE=1");
}

fn specification(mut schema: Value) -> Value {
    schema["properties"]["spec"].take()
}

/// One heading for each part of the specification, one for each field in it.
fn page(fields: &[Field], with_field: impl Fn(&Field) -> String) -> String {
    let mut page = String::new();
    for field in fields {
        let level = if field.path.contains('.') { "###" } else { "##" };
        let _ = write!(page, "\n{level} `{}`\n\n{}\n\n{}", field.path, field.text, with_field(field));
    }
    page
}

#[test]
fn every_field_of_a_description_is_documented() {
    let example: Value = serde_saphyr::from_str(include_str!("../../../examples/full.yaml")).unwrap();
    let fields = fields_of(&specification(crd::kubernetes_cluster_schema()), &example["spec"]);
    let mut text = String::from(
        "# The description of a cluster\n\nMade from the types; do not edit.\n\n\
         A description is a `KubernetesCluster` of `kogge.dev/v1alpha1`. The same document is a file for `kogge`, the body of\n\
         the [REST API](rest.md) and an object for kubectl. Name, profile and version are enough:\n\n```yaml\n",
    );
    let first = include_str!("../../../examples/first-cluster.yaml");
    text.extend(first.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")));
    text += "```\n\nAll paths below start at `spec`; `[]` stands for every item of a list. [examples/full.yaml](../examples/full.yaml)\n\
             has every field once. What only a provider knows (its regions, flavors, versions, limits) is in its\n\
             [profile](provider-profile.md), and `kogge cluster plan` says what a change would do before it is done.\n\n\
             `metadata.name` names the cluster: up to 20 characters `a-z`, `0-9` and `-`, beginning with a letter, not ending\n\
             with `-`, without `--`. The namespace is the tenant. Neither can be changed.\n\n## What a change does\n\n\
             | | |\n|---|---|\n";
    for change in Change::ALL {
        let _ = writeln!(text, "| **{}** | {} |", change.word(), change.meaning());
    }
    text += &page(&fields, |field| {
        let mut lines = field.facts();
        if field.is_leaf {
            let change = Change::of(&field.path).unwrap_or_else(|| panic!("{}: what does a change do?", field.path));
            let _ = writeln!(lines, "- Change: **{}**", change.word());
            let example = field.example.clone().or_else(|| change::example(&field.path));
            let example = example.unwrap_or_else(|| panic!("{}: give an example", field.path));
            let _ = writeln!(lines, "- Example: `{}: {example}`", field.name());
        }
        lines
    });
    check("description.md", &text);
}

#[test]
fn every_field_of_a_profile_is_documented() {
    let profile = serde_json::to_value(provider_profile::simulation()).unwrap();
    let fields = fields_of(&specification(crd::provider_profile_schema()), &profile["spec"]);
    let mut text = String::from(
        "# The profile of a provider\n\nMade from the types; do not edit.\n\n\
         A `ProviderProfile` of `kogge.dev/v1alpha1` says what a provider offers: regions and zones, flavors, Kubernetes\n\
         versions, capabilities, defaults and limits. Whoever runs Kogge writes it; descriptions name it in\n\
         `spec.provider.profile` and are checked against it before anything is stored. Profiles belong to no tenant. The\n\
         examples are from the built-in profile [`sim`](../crates/api/profiles/sim.yaml), which `kogge up` installs unless there\n\
         is one of that name.\n\nAll paths start at `spec`; `[]` stands for every item of a list. A change of a profile touches no\n\
         cluster by itself; it counts when a description is checked or planned the next time.\n",
    );
    text += &page(&fields, |field| {
        let mut lines = field.facts();
        if let Some(example) = field.example.as_ref().filter(|_| field.is_leaf) {
            let _ = writeln!(lines, "- Example: `{}: {example}`", field.name());
        }
        lines
    });
    check("provider-profile.md", &text);
}

#[test]
fn every_problem_code_is_listed() {
    let mut text = String::from(
        "# Problem codes\n\nMade from the catalogue; do not edit.\n\n\
         A code stands in `status.problems` of a cluster, in the errors of the [REST API](rest.md) and in what `kogge` prints, and\n\
         never changes its meaning. `kogge explain CODE` shows its page. *Who* has to act: the **User**, who writes descriptions;\n\
         the **Provider**, who runs the cloud and Kogge; or the **Platform**, Kogge itself. *Retried* problems go away by\n\
         themselves once their cause is removed. Warnings refuse nothing.\n\n\
         | Code | Who | Retried | | Title |\n|---|---|---|---|---|\n",
    );
    for entry in CATALOGUE {
        let retried = if entry.retryable { "yes" } else { "no" };
        let severity = if entry.severity == Severity::Warning { "warning" } else { "" };
        let (code, actor, title) = (entry.code, entry.actor, entry.title);
        let _ = writeln!(
            text,
            "| [{code}](../crates/api/problems/{code}.md) | {actor} | {retried} | {severity} | {title} |"
        );
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("problems").join(format!("{code}.md"));
        assert!(page.exists(), "{code}");
    }
    check("problems.md", &text);
}
